//! The command line. What a flag's value may be is decided where the configuration is checked, not here.

use std::{ffi::OsStr, path::PathBuf};

use clap::{
    Arg, ArgAction, Args, Error, Parser, Subcommand,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

use crate::{
    acl::AclArgs,
    ban::BanArgs,
    completions::CompletionsArgs,
    config::{Flags, Key},
    ctl::CtlArgs,
    drops::DropsArgs,
    health::HealthArgs,
    passwd::PasswdArgs,
    publish::PublishArgs,
    reload::ReloadArgs,
    scram::ScramArgs,
    store::StoreArgs,
    subscribe::SubscribeArgs,
    token::TokenArgs,
    top::TopArgs,
    trace::TraceArgs,
    user::UserArgs,
    why::WhyArgs,
};

/// An MQTT broker (3.1, 3.1.1 and 5.0) with one shard per core.
///
/// Without arguments it serves this machine only, on 127.0.0.1:1883 and [::1]:1883. docs/configuration.md describes
/// the settings, config.toml lists them.
#[derive(Debug, Parser)]
#[command(name = "iothub", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    pub serve: ServeArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask what rules of access allow
    Acl(AclArgs),
    /// Ban clients, users and addresses while the broker runs
    Ban(BanArgs),
    /// Write what a shell completes commands and flags by
    Completions(CompletionsArgs),
    /// Look at a broker that runs, and steer it: clients, subscriptions, messages, users
    Ctl(CtlArgs),
    /// List which messages were lost, whose they were and why
    Drops(DropsArgs),
    /// Ask whether a broker answers: exit code 0 if it does
    Health(HealthArgs),
    /// Add users to a password file, change and delete them, in the manner of mosquitto_passwd
    Passwd(PasswdArgs),
    /// Ask a broker to read its configuration and its files again
    Reload(ReloadArgs),
    /// Add users to a file of keys for SCRAM, change and delete them
    Scram(ScramArgs),
    /// Look at a data directory, mend it, copy it and bring it back
    Store(StoreArgs),
    /// Publish messages, in the manner of mosquitto_pub.
    #[command(name = "pub")]
    Publish(PublishArgs),
    /// Subscribe and print what arrives, in the manner of mosquitto_sub.
    #[command(name = "sub")]
    Subscribe(SubscribeArgs),
    /// Make, remove and list tokens of the HTTP API
    Token(TokenArgs),
    /// Look at the last packets of a client, or at packets as they go by
    Trace(TraceArgs),
    /// Show what a broker does, live on the whole screen
    Top(TopArgs),
    /// Add, change, delete and list the users of a user database
    User(UserArgs),
    /// Ask why a client gets a message, or does not
    Why(WhyArgs),
}

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Read this configuration file; config.toml in the source tree has every key
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen on this port, in place of the port of each listen address, not of each [[listener]]; 0 lets the system choose
    #[arg(short, long, value_name = "PORT", conflicts_with = "listen", allow_hyphen_values = true)]
    pub port: Option<String>,
    /// Listen here instead, for example tcp://0.0.0.0:1883 for the network; can be repeated
    #[arg(long, value_name = "tcp://HOST:PORT")]
    pub listen: Vec<String>,
    /// Keep sessions, their queues and retained messages in this directory, across restarts and crashes
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Run this many shards; 0 is one per core that the process may use
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub shards: Option<String>,
    /// Write the log as text or json
    #[arg(long, value_name = "FORMAT", value_parser = Offered { section: "log", name: "format" }, hide_possible_values = true)]
    pub log_format: Option<String>,
    /// Log more; twice for everything
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log less; twice for errors only
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,
    /// Check the configuration, say what it sets, and end
    #[arg(long)]
    pub test_config: bool,
}

impl ServeArgs {
    /// The part that belongs to the configuration.
    pub fn flags(&self) -> Flags {
        Flags {
            listen: self.listen.clone(),
            port: self.port.clone(),
            data_dir: self.data_dir.clone(),
            shards: self.shards.clone(),
            log_format: self.log_format.clone(),
            louder: self.verbose,
            quieter: self.quiet,
        }
    }
}

/// Words that a shell completes. Any other is taken here as well: the configuration says what is wrong with it.
#[derive(Debug, Clone, Copy)]
struct Offered {
    section: &'static str,
    name: &'static str,
}

impl TypedValueParser for Offered {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = Key::find(self.section, self.name)?.words();
        Some(Box::new(words.iter().map(|word| PossibleValue::new(*word))))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_arrive_as_they_were_typed() {
        let cli = Cli::try_parse_from([
            "iothub",
            "--listen",
            "tcp://a:1",
            "--listen",
            "b:2",
            "--shards",
            "-1",
            "-vv",
        ])
        .expect("a right command line");
        let flags = cli.serve.flags();
        assert_eq!(flags.listen, ["tcp://a:1", "b:2"]);
        assert_eq!(flags.shards.as_deref(), Some("-1"));
        assert_eq!((flags.louder, flags.quieter), (2, 0));
    }

    #[test]
    fn port_and_listen_exclude_each_other() {
        assert!(Cli::try_parse_from(["iothub", "-p", "1", "--listen", "tcp://a:1"]).is_err());
        assert!(Cli::try_parse_from(["iothub", "-v", "-q"]).is_err());
    }
}
