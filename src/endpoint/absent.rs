//! The flags of mosquitto's tools that are not here. They are known, and help does not show them, so that who brings them
//! along reads what is the matter, and not that some other flag is spelled alike.

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind, parser::ValueSource,
};

#[derive(Debug)]
pub struct AbsentArgs;

impl Args for AbsentArgs {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, _)| {
            let arg = Arg::new(*name).long(*name).hide(true);
            command.arg(arg.action(ArgAction::Append).allow_hyphen_values(true))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        AbsentArgs::augment_args(command)
    }
}

impl FromArgMatches for AbsentArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<AbsentArgs, Error> {
        let is_given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        match FLAGS.iter().find(|(name, _)| is_given(name)) {
            None => Ok(AbsentArgs),
            Some((name, why)) => {
                Err(Error::raw(ErrorKind::UnknownArgument, format!("there is no --{name}: {why}\n")))
            }
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = AbsentArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Each flag, all of which have a value, and why it is not here.
const FLAGS: [(&str, &str); 8] = [
    ("ciphers", "only strong ciphers are spoken, and the two sides choose the best of them"),
    ("keyform", "keys are read from PEM files"),
    ("proxy", "connections go straight to the broker"),
    ("psk", "TLS with keys that both sides share is not spoken; use certificates"),
    ("psk-identity", "TLS with keys that both sides share is not spoken; use certificates"),
    ("tls-engine", "keys are read from PEM files"),
    ("tls-engine-kpass-sha1", "keys are read from PEM files"),
    ("tls-keylog", "the keys of a session are not written down"),
];
