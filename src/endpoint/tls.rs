//! The TLS flags of mosquitto's tools. They are known, and help does not show them, so that who brings them along
//! reads what is the matter, and not that some other flag is spelled alike.

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind, parser::ValueSource,
};

#[derive(Debug)]
pub struct TlsArgs;

impl Args for TlsArgs {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (name, has_value)| {
            let arg = Arg::new(*name).long(*name).hide(true);
            command.arg(match has_value {
                true => arg.action(ArgAction::Append).allow_hyphen_values(true),
                false => arg.action(ArgAction::Count),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        TlsArgs::augment_args(command)
    }
}

impl FromArgMatches for TlsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<TlsArgs, Error> {
        let is_given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        match FLAGS.iter().find(|(name, _)| is_given(name)) {
            None => Ok(TlsArgs),
            Some((name, _)) => Err(Error::raw(
                ErrorKind::UnknownArgument,
                format!("TLS is not built yet, so there is no --{name}\n"),
            )),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = TlsArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Each flag, and whether a value follows it.
const FLAGS: [(&str, bool); 15] = [
    ("cafile", true),
    ("capath", true),
    ("cert", true),
    ("ciphers", true),
    ("insecure", false),
    ("key", true),
    ("keyform", true),
    ("psk", true),
    ("psk-identity", true),
    ("tls-alpn", true),
    ("tls-engine", true),
    ("tls-engine-kpass-sha1", true),
    ("tls-keylog", true),
    ("tls-use-os-certs", false),
    ("tls-version", true),
];
