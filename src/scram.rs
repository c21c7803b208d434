//! `iothub scram`: makes and changes files of SCRAM's keys.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use identity::{
    Secret, check_user,
    scram::{Credential, ITERATIONS_DEFAULT, Mechanism},
};

use crate::passwd;

/// Add users to a file of SCRAM's keys, change and delete them.
///
/// With SCRAM a client proves its password in AUTH packets (MQTT 5.0) and never sends it. The password is asked for twice, or is
/// read from standard input where that is no terminal. A user can have a key for each mechanism.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct ScramArgs {
    /// Begin a file; one that is there is replaced
    #[arg(short, long, conflicts_with = "delete")]
    create: bool,
    /// Take the password from the command line, where other users of this machine can see it
    #[arg(short, long, requires = "password", conflicts_with = "delete")]
    batch: bool,
    /// Delete the user's key for this mechanism
    #[arg(short = 'D', long)]
    delete: bool,
    /// The mechanism
    #[arg(short = 'H', long, value_name = "HASH", value_enum, default_value_t = HashName::Sha256)]
    hash: HashName,
    /// How often a client has to hash its password at each login
    #[arg(short = 'I', long, value_name = "N", default_value_t = ITERATIONS_DEFAULT)]
    iterations: u32,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    /// The password, only with --batch
    #[arg(value_name = "PASSWORD", requires = "batch")]
    password: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HashName {
    Sha256,
    Sha512,
}

pub fn run(args: &ScramArgs) -> ExitCode {
    passwd::told("scram", change(args))
}

fn change(args: &ScramArgs) -> Result<Vec<String>, String> {
    check_user(&args.user).map_err(|error| error.to_string())?;
    let mechanism = match args.hash {
        HashName::Sha256 => Mechanism::Sha256,
        HashName::Sha512 => Mechanism::Sha512,
    };
    let credential = match args.delete {
        true => None,
        false => Some(credential(args, mechanism)?),
    };
    passwd::rewrite(&args.file, args.create, |lines| {
        let is_same = |stored: &str| Credential::is_text_of(mechanism, stored);
        match &credential {
            Some(credential) => _ = lines.set(&args.user, credential, is_same),
            None if !lines.remove(&args.user, is_same) => {
                let (name, user) = (mechanism.name(), &args.user);
                return Err(format!(
                    "there is no key of user `{user}` for {name} in {}",
                    args.file.display()
                ));
            }
            None => {}
        }
        Ok(())
    })?;
    Ok(passwd::open_to_others(&args.file))
}

fn credential(args: &ScramArgs, mechanism: Mechanism) -> Result<Credential, String> {
    let password = match &args.password {
        Some(password) => Secret::new(password.as_bytes()),
        None => passwd::typed_password()?,
    };
    match password.is_empty() {
        true => Err("the password is empty".to_owned()),
        false => {
            Credential::make(mechanism, password.expose(), args.iterations).map_err(|error| error.to_string())
        }
    }
}
