//! The commands beside the table of operations: whatever the API can be asked, a terminal can ask.

use clap::{CommandFactory, Parser};

use crate::{api, cli::Cli};

/// An operation and the command that asks it. Where two operations are one thing, by a path and by a body, so is the command.
const COMMANDS: &[(&str, &str)] = &[
    ("GET /v1/broker", "ctl broker"),
    ("GET /v1/caller", "ctl caller"),
    ("GET /v1/log", "ctl log"),
    ("GET /v1/events", "ctl events"),
    ("GET /v1/published", "ctl published"),
    ("GET /v1/shards", "ctl shards"),
    ("GET /v1/clients", "ctl clients"),
    ("GET /v1/clients/{client_id}", "ctl client pump"),
    ("POST /v1/client", "ctl client pump"),
    ("DELETE /v1/clients/{client_id}", "ctl kick pump"),
    ("POST /v1/client/kick", "ctl kick pump"),
    ("POST /v1/clients/{client_id}/disconnect", "ctl disconnect pump"),
    ("POST /v1/client/disconnect", "ctl disconnect pump"),
    ("GET /v1/clients/{client_id}/queue", "ctl queue pump"),
    ("POST /v1/client/queue", "ctl queue pump"),
    ("DELETE /v1/clients/{client_id}/queue", "ctl purge pump"),
    ("POST /v1/client/purge", "ctl purge pump"),
    ("GET /v1/queues", "ctl queues"),
    ("GET /v1/top", "ctl top queued"),
    ("GET /v1/prefixes", "ctl prefixes"),
    ("GET /v1/subscriptions", "ctl subscriptions"),
    ("GET /v1/retained", "ctl retained"),
    ("POST /v1/retained", "ctl retained"),
    ("GET /v1/retained/one", "ctl message a/b"),
    ("POST /v1/retained/one", "ctl message a/b"),
    ("DELETE /v1/retained", "ctl drop a/#"),
    ("POST /v1/retained/drop", "ctl drop a/#"),
    ("POST /v1/publish", "ctl publish -t a/b -m x"),
    ("GET /v1/users", "ctl users"),
    ("POST /v1/users", "ctl user add ada"),
    ("GET /v1/users/{user}", "ctl user show ada"),
    ("PATCH /v1/users/{user}", "ctl user set ada --disable"),
    ("DELETE /v1/users/{user}", "ctl user delete ada"),
    ("GET /v1/roles", "ctl roles"),
    ("GET /v1/reload", "ctl reload --plan"),
    ("POST /v1/reload", "ctl reload"),
    ("GET /v1/bans", "ctl bans"),
    ("POST /v1/bans", "ctl ban --client-id pump --for 1h"),
    ("DELETE /v1/bans", "ctl unban --client-id pump"),
    ("POST /v1/backup", "ctl backup"),
    ("GET /v1/backup", "ctl backup list"),
    ("GET /v1/backup", "ctl backup status"),
    ("POST /v1/drain", "ctl drain"),
    // What people ask most has commands of its own.
    ("GET /v1/clients/{client_id}/packets", "trace pump --last"),
    ("POST /v1/client/packets", "trace pump --last"),
    ("GET /v1/trace", "trace --follow"),
    ("GET /v1/why", "why --client pump --topic a/b"),
    ("POST /v1/why", "why --client pump --topic a/b"),
    ("GET /v1/drops", "drops"),
    ("POST /v1/drops", "drops"),
    ("GET /v1/drops/topics", "drops --topics"),
    ("GET /v1/drops/causes", "drops --causes"),
    ("GET /v1/drops/others", "drops --others"),
];

/// What only programs ask, with the program.
const OF_PROGRAMS: &[(&str, &str)] = &[
    ("GET /livez", "whoever supervises the process"),
    ("GET /readyz", "whoever sends clients to it"),
    ("GET /metrics", "Prometheus"),
    ("GET /v1/openapi.json", "whoever makes a client of the API"),
];

#[test]
fn every_operation_has_a_command() {
    let operations: Vec<String> =
        api::operations().map(|operation| format!("{} {}", operation.method, operation.path)).collect();
    let known = || COMMANDS.iter().chain(OF_PROGRAMS).map(|(operation, _)| *operation);
    for operation in &operations {
        assert!(known().any(|known| known == operation), "{operation} has no command");
    }
    for operation in known() {
        assert!(operations.iter().any(|known| known == operation), "{operation} is no operation");
    }
}

#[test]
fn every_command_is_one_and_none_is_left_out() {
    for (operation, line) in COMMANDS {
        let parsed = Cli::try_parse_from(["iothub"].into_iter().chain(line.split(' ')));
        assert!(
            parsed.is_ok(),
            "{operation}: iothub {line}: {}",
            parsed.err().map_or(String::new(), |error| error.to_string())
        );
    }
    let cli = Cli::command();
    let ctl = cli.find_subcommand("ctl").expect("it is there");
    for command in ctl.get_subcommands().map(clap::Command::get_name) {
        let is_named = COMMANDS.iter().any(|(_, line)| line.split(' ').nth(1) == Some(command));
        assert!(is_named, "ctl {command} asks no operation");
    }
}

#[test]
fn a_list_of_no_rows_cannot_be_asked_for() {
    for line in ["ctl clients -n 0", "ctl retained -n 0", "ctl top -n 0", "ctl prefixes -n 0"] {
        assert!(Cli::try_parse_from(["iothub"].into_iter().chain(line.split(' '))).is_err(), "{line}");
    }
}

#[test]
fn options_that_say_which_broker_stand_apart_in_the_help() {
    let mut cli = Cli::command();
    cli.build();
    for path in
        [&["ctl", "clients"][..], &["ctl", "queue"], &["why"], &["drops"], &["trace"], &["ban", "add"]]
    {
        let command = path.iter().try_fold(&mut cli, |command, name| command.find_subcommand_mut(name));
        let help = command.expect("it is a command").render_long_help().to_string();
        let (own, broker) = help.split_once("Which broker:").unwrap_or((&help, ""));
        assert!(!own.contains("--data-dir") && broker.contains("--data-dir"), "{path:?}: {help}");
    }
}
