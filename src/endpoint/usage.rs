//! How a wrong command line is told: every line that reports an error begins with `Error: `.

use std::{error::Error as _, path::Path, process::ExitCode};

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Shows help, the version or what is wrong, each on its own stream, and gives the exit code.
pub fn show(error: &Error) -> ExitCode {
    if error.use_stderr() {
        eprint!("{}", text(error));
    } else {
        // A reader that has gone away has read enough.
        _ = error.print();
    }
    ExitCode::from(error.exit_code() as u8)
}

fn text(error: &Error) -> String {
    if let Some(sentence) = own_sentence(error) {
        return format!("Error: {sentence}\n");
    }
    if let Some(name) = order_to_start(error) {
        return format!(
            "Error: there is no subcommand {name}: a broker starts without one, `iothub` or `iothub -c FILE`\n"
        );
    }
    if let Some(name) = file_in_place_of_a_subcommand(error) {
        let remedy = match name.ends_with(".conf") {
            true => {
                ". A mosquitto.conf is not read: docs/from-mosquitto.md has a table with what to write for each of its keys"
            }
            false => "",
        };
        return format!(
            "Error: there is no subcommand {name}: to start a broker with a file write `iothub -c {name}`{remedy}\n"
        );
    }
    let text = error.render().to_string();
    text.strip_prefix("error: ").map_or(text.clone(), |rest| format!("Error: {rest}"))
}

/// Sentences of our own name the value and say what to write instead: nothing is to be added. Those of the standard library do not.
fn own_sentence(error: &Error) -> Option<String> {
    let sentence = error.source().filter(|_| error.kind() == ErrorKind::ValueValidation)?.to_string();
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return Some(sentence);
    };
    sentence.contains(&format!("'{value}'")).then_some(sentence)
}

/// Of the command itself, not of one of its subcommands.
fn unknown_subcommand(error: &Error) -> Option<&str> {
    let is_first = error.render().to_string().contains(" iothub <COMMAND>");
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) if is_first => Some(name),
        _ => None,
    }
}

/// Other servers are started so.
fn order_to_start(error: &Error) -> Option<&str> {
    unknown_subcommand(error).filter(|name| ["start", "serve", "server", "run", "broker"].contains(name))
}

/// Other brokers take their file so.
fn file_in_place_of_a_subcommand(error: &Error) -> Option<&str> {
    let is_file = |name: &&str| {
        name.contains('/')
            || [".conf", ".toml"].iter().any(|end| name.ends_with(end))
            || Path::new(name).is_file()
    };
    unknown_subcommand(error).filter(is_file)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn told(line: &str) -> String {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        text(&Cli::try_parse_from(words).expect_err("a wrong command line"))
    }

    #[test]
    fn errors_begin_alike_and_name_what_to_write() {
        for (line, expected) in [
            ("iothub pub -t a -n -p abc", "Error: invalid port 'abc': a number from 1 to 65535\n"),
            ("iothub sub -t a -p 0", "Error: invalid port '0': a number from 1 to 65535\n"),
            ("iothub sub -t a -C -1", "Error: invalid message count '-1': a whole number from 1\n"),
            ("iothub sub -t a -W 1.5", "Error: invalid timeout '1.5': a whole number of seconds from 1\n"),
            ("iothub sub -t a -q 3", "Error: invalid QoS '3': 0, 1 or 2\n"),
            (
                "iothub sub -t a -k -1",
                "Error: invalid keep-alive '-1': a number of seconds from 0 to 65535\n",
            ),
            ("iothub pub -t '' -n", "Error: invalid topic ''''"),
            ("iothub sub -t $share/g", "Error: invalid shared subscription '$share/g': write"),
            ("iothub sub -t a --psk 12", "Error: there is no --psk: TLS with keys that both sides share"),
            (
                "iothub pub -t a -n --ws-path x",
                "Error: invalid path 'x': it begins with / and has no spaces\n",
            ),
            ("iothub pub -t a -n --cert x", "Error: the following required arguments were not provided"),
            ("iothub pub -t a -n --unix /s -p 1", "Error: the argument '--unix <PATH>' cannot be used with"),
            ("iothub top --every abc", "Error: invalid value 'abc' for '--every <SECONDS>': invalid digit"),
            ("iothub top --every 61", "Error: invalid value '61' for '--every <SECONDS>': 61 is not in"),
            ("iothub sub -t a --bogus", "Error: unexpected argument '--bogus' found"),
            (
                "iothub mosquitto.conf",
                "Error: there is no subcommand mosquitto.conf: to start a broker with a file write `iothub -c",
            ),
            ("iothub /etc/broker", "Error: there is no subcommand /etc/broker: "),
            ("iothub -v x.toml", "Error: there is no subcommand x.toml: "),
            ("iothub serve", "Error: there is no subcommand serve: a broker starts without one, `iothub` or"),
            ("iothub ctl start", "Error: unrecognized subcommand 'start'"),
            ("iothub strat", "Error: unrecognized subcommand 'strat'"),
            ("iothub sub", "Error: the following required arguments were not provided"),
        ] {
            let told = told(line);
            let expected = expected.replace("''''", "''");
            assert!(told.starts_with(&expected), "{line}: {told}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_option_counts_and_texts_may_begin_with_a_hyphen() {
        for line in [
            "iothub pub -p 1 -p 2 -q 0 -q 1 -t -x -t -y -m -1 -m -2 -d -d -i -a -i b -u -u -u v -r -r",
            "iothub sub -p 1 -p 2 -q 0 -q 1 -t -x -C 1 -C 2 -W 1 -W 2 -v -v -F -%p -F %t -R -R -V 5 -V 311",
            "iothub sub -L mqtt://h/a -L mqtt://h/b --retained-only --remove-retained --retain-as-published",
            "iothub pub -L mqtt://h/a -I x -h ::1 -n",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn help_shows_transports_under_a_heading_of_their_own() {
        let help = Cli::try_parse_from(["iothub", "sub", "--help"]).expect_err("help").render().to_string();
        let (rest, transports) = help.split_once("\nTransport:\n").expect("the heading");
        for flag in ["--unix <PATH>", "--ws", "--cafile <FILE>", "--tls-version <VERSION>"] {
            assert!(transports.contains(flag) && !rest.contains(flag), "{flag}: {help}");
        }
        for flag in ["--topic <FILTER>", "--host <HOST>", "--will-topic <TOPIC>"] {
            assert!(rest.contains(flag) && !transports.contains(flag), "{flag}: {help}");
        }
        assert!(!help.contains("--psk"), "{help}");
    }
}
