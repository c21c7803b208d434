//! `iothub user`: changes the user database.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Subcommand};
use identity::{
    Hash, Kind, Replacement, Secret, UserRecord, UserTable, check_user,
    scram::{Credential, ITERATIONS_DEFAULT, Mechanism},
};

use crate::{acl, output, passwd, vocabulary::Vocabulary};

/// Add, change, delete and list the users of a user database.
///
/// The database is a file with a user on each line, as JSON. Each change takes the place of what was there at once. Passwords
/// are asked for twice, or read from standard input where that is no terminal.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_help_heading = "Commands")]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user
    Add(AddArgs),
    /// Change a user: what is not named stays
    Set(SetArgs),
    /// Delete a user
    Delete(WhichArgs),
    /// List users, without anything that is secret
    List(FileArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The user database
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct WhichArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The user
    #[arg(value_name = "USER")]
    user: String,
}

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Begin a database if there is none
    #[arg(short, long)]
    create: bool,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    secrets: SecretArgs,
}

#[derive(Debug, Args)]
struct SetArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Ask for another password
    #[arg(short, long)]
    password: bool,
    /// Let the user in
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Do not let the user in
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    secrets: SecretArgs,
}

#[derive(Debug, Args)]
struct RightsArgs {
    /// Be in this group, and in those of further --group; an empty one stands for none
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Have this role, and those of further --role; an empty one stands for none
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The broker's configuration, to hear of groups and roles that its rules do not know
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SecretArgs {
    /// Keep keys for SCRAM as well, by which the password need not be sent
    #[arg(long)]
    scram: bool,
}

pub fn run(args: &UserArgs) -> ExitCode {
    let outcome = match &args.command {
        UserCommand::Add(args) => add(args),
        UserCommand::Set(args) => set(args),
        UserCommand::Delete(args) => delete(args),
        UserCommand::List(args) => list(&args.file),
    };
    passwd::told("user", outcome)
}

fn add(args: &AddArgs) -> Result<Vec<String>, String> {
    let WhichArgs { file: FileArgs { file }, user } = &args.which;
    check_user(user).map_err(|error| error.to_string())?;
    if !args.create && !file.exists() {
        return Err(format!("there is no file {}: -c begins one", file.display()));
    }
    let mut record = UserRecord::default();
    args.rights.give(&mut record)?;
    let unknown = args.rights.unknown(&record)?;
    args.secrets.give(&mut record)?;
    let warnings = change(file, |table| match table.records.contains_key(user.as_str()) {
        true => Err(format!("there is a user `{user}` already; `iothub user set` changes it")),
        false => {
            table.records.insert(user.as_str().into(), record);
            Ok(())
        }
    })?;
    Ok([unknown, warnings].concat())
}

fn set(args: &SetArgs) -> Result<Vec<String>, String> {
    let WhichArgs { file: FileArgs { file }, user } = &args.which;
    if args.secrets.scram && !args.password {
        return Err("keys for SCRAM are made of the password: --scram needs --password".to_owned());
    }
    // Everything that may take its time comes before the file is changed.
    let mut secrets = UserRecord::default();
    if args.password {
        args.secrets.give(&mut secrets)?;
    }
    let mut given = UserRecord::default();
    args.rights.give(&mut given)?;
    let unknown = args.rights.unknown(&given)?;
    let warnings = change(file, |table| {
        let record = table.records.get_mut(user.as_str()).ok_or_else(|| nobody(user, file))?;
        if args.password {
            (record.password, record.scram) = (secrets.password, secrets.scram);
        }
        record.is_disabled = (record.is_disabled || args.disable) && !args.enable;
        args.rights.give(record)
    })?;
    Ok([unknown, warnings].concat())
}

fn delete(args: &WhichArgs) -> Result<Vec<String>, String> {
    let WhichArgs { file: FileArgs { file }, user } = args;
    change(file, |table| match table.records.remove(user.as_str()) {
        Some(_) => Ok(()),
        None => Err(nobody(user, file)),
    })
}

fn list(file: &Path) -> Result<Vec<String>, String> {
    let mut text = String::new();
    for (user, record) in &read(file)?.records {
        let mut words = vec![user.to_string()];
        let marks = [
            (record.is_disabled, "disabled".to_owned()),
            (record.password.is_none() && record.scram.is_empty(), "without a password".to_owned()),
            (!record.scram.is_empty(), "SCRAM".to_owned()),
            (!record.groups.is_empty(), format!("groups: {}", record.groups.join(", "))),
            (!record.roles.is_empty(), format!("roles: {}", record.roles.join(", "))),
        ];
        words.extend(marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word));
        text.push_str(&words.join("\t"));
        text.push('\n');
    }
    output::print(&text).map(|()| Vec::new())
}

/// Changes the table and puts it in its place; gives what is to be warned of.
fn change(
    file: &Path,
    change: impl FnOnce(&mut UserTable) -> Result<(), String>,
) -> Result<Vec<String>, String> {
    change_table(file, change)?;
    Ok(passwd::open_to_others(file))
}

/// Whoever reads the file finds it as it was or as it is to be. With an error it is as it was.
pub fn change_table<E: From<String>>(
    file: &Path,
    change: impl FnOnce(&mut UserTable) -> Result<(), E>,
) -> Result<(), E> {
    let replacement = Replacement::begin(file).map_err(|error| error.to_string())?;
    let mut table = if file.exists() { read(file)? } else { UserTable::default() };
    change(&mut table)?;
    replacement.finish(&table.bytes()).map_err(|error| E::from(error.to_string()))
}

/// Also a file that others can read: a broker refuses it, and this is how it is mended.
pub fn read(file: &Path) -> Result<UserTable, String> {
    let bytes = identity::read_file(file, identity::FILE_BYTES_MAX).map_err(|error| error.to_string())?;
    UserTable::parse(&file.to_string_lossy(), &bytes)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn nobody(user: &str, file: &Path) -> String {
    format!("there is no user `{user}` in {}", file.display())
}

impl RightsArgs {
    fn give(&self, record: &mut UserRecord) -> Result<(), String> {
        for (given, place) in [(&self.groups, &mut record.groups), (&self.roles, &mut record.roles)] {
            if let Some(name) = given.iter().find(|name| name.contains(char::is_control)) {
                return Err(format!("`{}` is no name: it has control characters", name.escape_debug()));
            }
            if !given.is_empty() {
                *place = given
                    .iter()
                    .filter(|name| !name.is_empty())
                    .map(|name| Arc::from(name.as_str()))
                    .collect();
            }
        }
        Ok(())
    }
}

impl RightsArgs {
    /// What of it the rules of the configuration do not know, a sentence for each.
    fn unknown(&self, record: &UserRecord) -> Result<Vec<String>, String> {
        let Some(config) = &self.config else { return Ok(Vec::new()) };
        let rules = acl::rules_of(config).map_err(|sentences| sentences.join("\n"))?;
        Ok(Vocabulary::of(&rules).warnings_of(record))
    }
}

impl SecretArgs {
    fn give(&self, record: &mut UserRecord) -> Result<(), String> {
        give_password(record, &passwd::typed_password()?, self.scram)
    }
}

/// Its hash, and with `scram` the keys by which it need not be sent. Takes a tenth of a second and more.
pub fn give_password(record: &mut UserRecord, password: &Secret, scram: bool) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    let hash = Hash::make(password.expose(), Kind::Argon2id.cost()).map_err(|error| error.to_string())?;
    record.password = Some(hash);
    if scram {
        let made = Mechanism::ALL.map(|name| Credential::make(name, password.expose(), ITERATIONS_DEFAULT));
        let made: Result<Vec<Credential>, _> = made.into_iter().collect();
        record.scram = made.map_err(|error| error.to_string())?;
    }
    Ok(())
}
