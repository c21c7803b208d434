//! `iothub token`: who may ask the HTTP API, in the file that the broker reads.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use identity::Replacement;
use zeroize::Zeroizing;

use crate::{
    api::{
        self,
        token_list::{Role, Token, TokenList},
    },
    config::{self, Flags},
    output, passwd,
};

/// Make, remove and list tokens of the HTTP API.
///
/// A change counts at once; the broker need not be told. The file holds hashes only: what a token is, is printed when it is made,
/// and never again.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it
    Add(AddArgs),
    /// Remove a token: whoever has it is refused from now on
    Remove(RemoveArgs),
    /// List names and roles
    List(PlaceArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// By what the logs call whoever has it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it allows: viewer looks, operator acts on clients and messages, admin does everything
    #[arg(long, value_enum, default_value_t = Role::Viewer)]
    role: Role,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The name of the token
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which file.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// The configuration file of the broker
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory of the broker
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The file of tokens itself
    #[arg(long, value_name = "PATH", conflicts_with_all = ["config", "data_dir"])]
    file: Option<PathBuf>,
}

pub fn run(args: &TokenArgs) -> ExitCode {
    let outcome = match &args.command {
        TokenCommand::Add(args) => args.place.path().and_then(|path| add(&path, args)),
        TokenCommand::Remove(args) => args.place.path().and_then(|path| remove(&path, &args.name)),
        TokenCommand::List(place) => place.path().and_then(|path| list(&path)),
    };
    passwd::told("token", outcome.map(|()| Vec::new()))
}

fn add(path: &Path, args: &AddArgs) -> Result<(), String> {
    // Told before it is kept: nobody finds it out of the file.
    change(path, |list| {
        let secret = list.add(&args.name, args.role)?;
        output::print(&Zeroizing::new(format!("{}\n", *secret)))
    })
}

fn remove(path: &Path, name: &str) -> Result<(), String> {
    change(path, |list| match list.remove(name) {
        true => Ok(()),
        false => Err(format!("there is no token {name} in {}", path.display())),
    })
}

fn list(path: &Path) -> Result<(), String> {
    let line = |token: &Token| format!("{}\t{}\n", token.name, token.role.word());
    output::print(&TokenList::load(path)?.tokens.iter().map(line).collect::<String>())
}

/// Whoever reads the file finds it as it was or as it is to be.
fn change(path: &Path, change: impl FnOnce(&mut TokenList) -> Result<(), String>) -> Result<(), String> {
    let replacement = Replacement::begin(path).map_err(|error| error.to_string())?;
    let mut list = if path.exists() { TokenList::load(path)? } else { TokenList::default() };
    change(&mut list)?;
    replacement.finish(&list.bytes()).map(drop).map_err(|error| error.to_string())
}

impl PlaceArgs {
    fn path(&self) -> Result<PathBuf, String> {
        if let Some(path) = &self.file {
            return Ok(path.clone());
        }
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let loaded = config::load(self.config.as_deref(), env::vars_os(), &flags).map_err(|problems| {
            let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
            sentences.join("\n")
        })?;
        let named =
            loaded.origin("api", "tokens_file").filter(|_| !loaded.settings.api.tokens_file.is_empty());
        if let (Some(dir), Some(origin)) = (&self.data_dir, named) {
            return Err(format!(
                "--data-dir {dir} says nothing beside api.tokens_file of {origin}, which says where the tokens are: leave \
                 --data-dir out, or name the file (--file PATH)"
            ));
        }
        loaded.tell_override("store", "dir");
        api::token_path(&loaded.settings).ok_or_else(|| {
            "a broker without a data directory keeps no tokens. Name its configuration (-c FILE), its data directory \
             (--data-dir DIR) or the file (--file PATH; api.tokens_file)"
                .to_owned()
        })
    }
}
