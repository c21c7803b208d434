//! `iothub ctl`: the HTTP API from a terminal, with tables for people and JSON for programs.

mod act;
mod client;
pub mod comings;
mod events;
mod list;
mod log;
mod message;
mod pages;
mod published;
mod table;
pub mod target;
mod trouble;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use self::{
    act::{PublishArgs, UserArgs},
    events::EventsArgs,
    list::{
        BansArgs, ClientsArgs, PrefixesArgs, QueueArgs, QueuesArgs, RetainedArgs, RolesArgs,
        SubscriptionsArgs, TopArgs, UsersArgs,
    },
    log::LogArgs,
    message::MessageArgs,
    published::PublishedArgs,
    target::TargetArgs,
};
pub use self::{
    list::{NOBODY_BANNED, table_of_bans},
    pages::all_rows,
    table::shown,
};
use crate::{
    ban::{BanningArgs, WhomArgs},
    output,
    remote::{REFUSED, UNREACHABLE, Unasked},
};

/// Look at a broker that runs, and steer it.
///
/// The broker is found by its control socket, as by the other commands, or by --url with a token. Exit codes: 0 done, 1 refused,
/// 2 the broker could not be asked.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_help_heading = "Commands")]
pub struct CtlArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print JSON, a line for each row
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: CtlCommand,
}

#[derive(Debug, Subcommand)]
enum CtlCommand {
    /// The broker itself: version, uptime, listeners
    Broker,
    /// What each shard holds
    Shards,
    /// List clients, connected or with a session
    Clients(ClientsArgs),
    /// All about one client
    Client(ClientArgs),
    /// List sessions for which messages wait
    Queues(QueuesArgs),
    /// List the messages that wait for a client
    Queue(QueueArgs),
    /// The clients with the most of something, or nearest to a limit
    Top(TopArgs),
    /// The first levels of topics, and where topics become more
    Prefixes(PrefixesArgs),
    /// List subscriptions
    Subscriptions(SubscriptionsArgs),
    /// List retained messages
    Retained(RetainedArgs),
    /// The retained message of a topic
    Message(MessageArgs),
    /// On which topics clients publish, and how often, until you press Ctrl-C
    Published(PublishedArgs),
    /// What happens to clients as it happens, until you press Ctrl-C
    Events(EventsArgs),
    /// End the connection of a client; its session lives on
    Disconnect(ClientArgs),
    /// End the connection and the session of a client
    Kick(ClientArgs),
    /// Drop what waits for a client
    Purge(ClientArgs),
    /// Drop the retained messages that match a topic filter
    Drop(FilterArgs),
    /// Publish a message
    Publish(PublishArgs),
    /// List the users of the user database
    Users(UsersArgs),
    /// Add, change and delete users of the user database
    User(UserArgs),
    /// List the roles that the rules of access make
    Roles(RolesArgs),
    /// The token that asks, and its role
    Caller,
    /// The broker's log as it is written, until you press Ctrl-C
    Log(LogArgs),
    /// List the bans that hold
    Bans(BansArgs),
    /// Ban a client id, a user or an address, for ever or for a time
    Ban(BanningArgs),
    /// Lift a ban that was ordered
    Unban(WhomArgs),
    /// Have the configuration and its files read again
    Reload(ReloadArgs),
    /// Copy the data directory to the folder of store.backup_dir, and look at the copies
    Backup(BackupArgs),
    /// End the broker in order
    Drain,
}

#[derive(Debug, Args)]
struct ClientArgs {
    /// The client id
    #[arg(value_name = "ID")]
    client_id: String,
}

#[derive(Debug, Args)]
struct FilterArgs {
    /// The topic filter
    filter: String,
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// Without it a copy is made, and waited for
    #[command(subcommand)]
    command: Option<BackupCommand>,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// The names of the copies that are there
    List,
    /// The copy that is being made, and what became of the last
    Status,
}

#[derive(Debug, Args)]
struct ReloadArgs {
    /// Say what would change, and change nothing
    #[arg(long)]
    plan: bool,
}

/// Why there is nothing to show.
pub enum Failure {
    /// The broker has said so.
    Refused(Vec<String>),
    /// The broker has said that what was asked about is not there.
    Absent(Vec<String>),
    /// It could not be asked.
    Unreachable(String),
    /// It could not be found.
    Unasked(Unasked),
}

impl Failure {
    /// Says so in the name of the command, and gives back its exit code.
    pub fn tell(&self, command: &str) -> ExitCode {
        match self {
            Failure::Refused(sentences) | Failure::Absent(sentences) => {
                sentences.iter().for_each(|sentence| output::complain(command, sentence));
                ExitCode::from(REFUSED)
            }
            Failure::Unreachable(sentence) => {
                output::complain(command, sentence);
                ExitCode::from(UNREACHABLE)
            }
            Failure::Unasked(unasked) => unasked.tell(command),
        }
    }

    /// In one line, for who has no more room.
    pub fn sentence(&self) -> String {
        match self {
            Failure::Refused(sentences) | Failure::Absent(sentences) => sentences.join("; "),
            Failure::Unreachable(sentence) => sentence.clone(),
            Failure::Unasked(unasked) => unasked.sentence(),
        }
    }
}

/// What is printed: rows for programs, and how people see them.
#[derive(Default)]
pub struct Shown {
    rows: Vec<Value>,
    text: String,
    /// What is no row, in a line each on standard error.
    notes: Vec<String>,
    /// Something of what was asked for was not done: the text says what.
    is_short: bool,
}

pub fn run(args: &CtlArgs) -> ExitCode {
    match carry_out(args) {
        Ok(shown) => {
            let printed = match args.json {
                true => {
                    output::print_json(&shown.rows.iter().map(|row| format!("{row}\n")).collect::<String>())
                }
                false => output::print(&shown.text),
            };
            if let Err(why) = printed {
                return Failure::Unreachable(why).tell("iothub ctl");
            }
            shown.notes.iter().for_each(|note| output::complain("iothub ctl", note));
            ExitCode::from(if shown.is_short { REFUSED } else { 0 })
        }
        Err(failure) => failure.tell("iothub ctl"),
    }
}

fn carry_out(args: &CtlArgs) -> Result<Shown, Failure> {
    let target = args.target.open()?;
    let is_json = args.json;
    match &args.command {
        CtlCommand::Broker => list::broker(&target),
        CtlCommand::Shards => list::shards(&target),
        CtlCommand::Clients(args) => list::clients(&target, args, is_json),
        CtlCommand::Client(args) => client::client(&target, &args.client_id),
        CtlCommand::Subscriptions(args) => list::subscriptions(&target, args, is_json),
        CtlCommand::Retained(args) => list::retained(&target, args, is_json),
        CtlCommand::Message(args) => message::message(&target, args),
        CtlCommand::Users(args) => list::users(&target, args, is_json),
        CtlCommand::Queues(args) => list::queues(&target, args, is_json),
        CtlCommand::Queue(args) => list::queue(&target, args, is_json),
        CtlCommand::Top(args) => list::top(&target, args),
        CtlCommand::Prefixes(args) => list::prefixes(&target, args),
        CtlCommand::Roles(args) => list::roles(&target, args, is_json),
        CtlCommand::Caller => list::caller(&target),
        CtlCommand::Log(which) => log::follow(&target, which, args.json),
        CtlCommand::Bans(args) => list::bans(&target, args, is_json),
        CtlCommand::Published(which) => published::follow(&target, which, args.json),
        CtlCommand::Events(which) => events::follow(&target, which, args.json),
        CtlCommand::Disconnect(args) => act::disconnect(&target, &args.client_id),
        CtlCommand::Kick(args) => act::kick(&target, &args.client_id),
        CtlCommand::Purge(args) => act::purge(&target, &args.client_id),
        CtlCommand::Drop(args) => act::drop_retained(&target, &args.filter),
        CtlCommand::Publish(args) => act::publish(&target, args),
        CtlCommand::User(args) => act::user(&target, args),
        CtlCommand::Reload(args) => act::reload(&target, args.plan),
        CtlCommand::Ban(ban) => act::ban(&target, ban),
        CtlCommand::Unban(whom) => act::unban(&target, whom),
        CtlCommand::Backup(BackupArgs { command }) => match command {
            None => act::backup(&target),
            Some(BackupCommand::List) => list::backups(&target),
            Some(BackupCommand::Status) => list::backup_status(&target),
        },
        CtlCommand::Drain => act::drain(&target),
    }
}

#[cfg(test)]
mod tests;
