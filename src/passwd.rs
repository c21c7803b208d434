//! `iothub passwd`: makes and changes password files, in the manner of mosquitto_passwd.

mod typed;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use identity::{Cost, Hash, Kind, PasswordFile, Replacement, Secret, UserLines, check_user};
use zeroize::Zeroizing;

pub use typed::password as typed_password;

/// Add users to a password file, change their passwords, delete them, in the manner of mosquitto_passwd.
///
/// The password is asked for twice, or is read from standard input where that is no terminal. The file takes the place of
/// the one before at once, with its owner and mode. Mosquitto's files can be changed, and mosquitto takes these
/// (before 2.1 without argon2id).
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct PasswdArgs {
    /// Begin a file; one that is there is replaced
    #[arg(short, long, conflicts_with_all = ["delete", "upgrade"])]
    create: bool,
    /// Take the password from the command line, where other users of this machine can see it
    #[arg(short, long, requires = "password", conflicts_with_all = ["delete", "upgrade"])]
    batch: bool,
    /// Delete the user
    #[arg(short = 'D', long, conflicts_with = "upgrade")]
    delete: bool,
    /// Hash the passwords that are in the file as they were typed
    #[arg(short = 'U', long, conflicts_with = "user")]
    upgrade: bool,
    /// How passwords are hashed
    #[arg(short = 'H', long, value_name = "HASH", value_enum, default_value_t = HashName::Argon2id)]
    hash: HashName,
    /// Iterations of sha512-pbkdf2
    #[arg(short = 'I', long, value_name = "N")]
    iterations: Option<u32>,
    /// The password file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER", required_unless_present = "upgrade")]
    user: Option<String>,
    /// The password, only with --batch
    #[arg(value_name = "PASSWORD", requires = "batch")]
    password: Option<String>,
}

/// By mosquitto_passwd's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HashName {
    Argon2id,
    Sha512Pbkdf2,
    Sha512,
}

pub fn run(args: &PasswdArgs) -> ExitCode {
    told("passwd", change(args))
}

/// A line for each warning, and the exit code.
pub fn told(command: &str, outcome: Result<Vec<String>, String>) -> ExitCode {
    let (lines, code) = match outcome {
        Ok(warnings) => (warnings.join("\n"), ExitCode::SUCCESS),
        Err(sentence) => (sentence, ExitCode::FAILURE),
    };
    for line in lines.lines() {
        // A standard error that fails has nobody who could be told of it.
        let _ = writeln!(io::stderr(), "iothub {command}: {line}");
    }
    code
}

/// Does it, and gives what is to be warned of.
fn change(args: &PasswdArgs) -> Result<Vec<String>, String> {
    let cost = cost(args)?;
    let user = args.user.as_deref().unwrap_or_default();
    if !args.upgrade {
        check_user(user).map_err(|error| error.to_string())?;
    }
    // Hashed before the file is opened: nobody else has to wait while somebody types.
    let hash = match args.delete || args.upgrade {
        true => None,
        false => Some(hash(args, cost)?),
    };
    rewrite(&args.file, args.create, |lines| {
        match &hash {
            Some(hash) => _ = lines.set(user, hash, |_| true),
            None if args.delete && !lines.remove(user, |_| true) => {
                return Err(format!("there is no user `{user}` in {}", args.file.display()));
            }
            None if args.upgrade => {
                lines.upgrade(cost).map_err(|error| format!("{}: {error}", args.file.display()))?;
            }
            None => {}
        }
        Ok(())
    })?;
    Ok(warnings(&args.file))
}

/// Changes the text of a file of users, and puts it in its place.
pub fn rewrite(
    path: &Path,
    is_begun: bool,
    change: impl FnOnce(&mut UserLines) -> Result<(), String>,
) -> Result<(), String> {
    if !is_begun && !path.exists() {
        return Err(format!("there is no file {}: -c begins one", path.display()));
    }
    let replacement = Replacement::begin(path).map_err(|error| error.to_string())?;
    let before = match is_begun {
        true => Zeroizing::default(),
        false => identity::read_file(path, identity::FILE_BYTES_MAX).map_err(|error| error.to_string())?,
    };
    let mut lines = UserLines::parse(&before);
    change(&mut lines)?;
    replacement.finish(&lines.bytes()).map_err(|error| error.to_string())
}

fn cost(args: &PasswdArgs) -> Result<Cost, String> {
    let cost = match args.hash {
        HashName::Argon2id => Kind::Argon2id,
        HashName::Sha512Pbkdf2 => Kind::Pbkdf2,
        HashName::Sha512 => Kind::Sha512,
    }
    .cost();
    match args.iterations {
        None => Ok(cost),
        Some(rounds) if args.hash == HashName::Sha512Pbkdf2 => Ok(Cost { rounds, ..cost }),
        Some(_) => {
            Err("-I is for -H sha512-pbkdf2: the other hashes have no iterations to choose".to_owned())
        }
    }
}

fn hash(args: &PasswdArgs, cost: Cost) -> Result<Hash, String> {
    let password = match &args.password {
        Some(password) => Secret::new(password.as_bytes()),
        None => typed_password()?,
    };
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    Hash::make(password.expose(), cost).map_err(|error| error.to_string())
}

/// What a broker would say to the file as it is.
fn warnings(path: &Path) -> Vec<String> {
    let mut warnings = open_to_others(path);
    // It was just written: one that cannot be read has its warning already.
    if let Ok(bytes) = identity::read_file(path, identity::FILE_BYTES_MAX)
        && let Err(problems) = PasswordFile::parse(&path.to_string_lossy(), &bytes)
    {
        warnings.extend(
            problems
                .iter()
                .take(PROBLEMS_TOLD)
                .map(|problem| format!("a broker refuses the file: {problem}")),
        );
    }
    warnings
}

pub fn open_to_others(path: &Path) -> Vec<String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o026 != 0 => {
            let path = path.display();
            vec![format!(
                "others on this machine can read or change {path}, so a broker refuses it: chmod 600 {path}"
            )]
        }
        _ => Vec::new(),
    }
}

const PROBLEMS_TOLD: usize = 5;
