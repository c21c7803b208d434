//! `iothub completions`: what a shell has to know to complete commands and flags.

use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use crate::{cli::Cli, output, remote::REFUSED};

/// Write what a shell completes commands and flags of iothub by.
///
/// For bash: iothub completions bash > ~/.local/share/bash-completion/completions/iothub. For zsh into a file _iothub in a folder of $fpath, for fish into
/// ~/.config/fish/completions/iothub.fish.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Known,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

impl Known {
    fn shell(self) -> Shell {
        match self {
            Known::Bash => Shell::Bash,
            Known::Zsh => Shell::Zsh,
            Known::Fish => Shell::Fish,
        }
    }
}

pub fn run(args: &CompletionsArgs) -> ExitCode {
    match output::print_bytes(&script(args.shell)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("iothub completions: {why}");
            ExitCode::from(REFUSED)
        }
    }
}

fn script(shell: Known) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell.shell(), &mut Cli::command(), "iothub", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_of_commands_and_flags() {
        for shell in [Known::Bash, Known::Zsh, Known::Fish] {
            let script = String::from_utf8(script(shell)).expect("a text");
            for word in ["iothub", "completions", "retained", "data-dir"] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
            let formats = ["\"text json\"", "(text json)", "text\\t''\njson\\t''"];
            assert!(formats.iter().any(|words| script.contains(words)), "{shell:?}: formats of the log");
        }
    }
}
