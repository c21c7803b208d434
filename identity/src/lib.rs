//! Who is it? Passwords, certificates, tokens and call-outs, judged once per process on threads of their own.
//!
//! What is here may block and may be slow: a hash of argon2id takes a core for 50 ms. So nothing here runs on a shard, save
//! what is decided in microseconds. It knows no shard, no packet and no runtime; whoever starts the broker joins them. Start at
//! `front.rs` for the way of a question to its answer, at `chain.rs` for who decides, and at `provider/` for how.

#![deny(unsafe_code)]

mod ages;
mod ask;
mod attempt;
mod cache;
mod chain;
mod exchanges;
mod front;
mod http;
mod judgement;
pub mod jwt;
mod known;
mod line;
mod named_file;
pub mod password;
mod password_file;
mod permissions;
mod priority;
mod private_file;
pub mod provider;
mod queue;
mod replacement;
pub mod scram;
mod scram_file;
mod throttle;
mod user_lines;
mod users;
mod waiting;

pub use ask::{Ask, Certificate, Enhanced};
pub use cache::CacheLimits;
pub use chain::{Aspects, Chain, Chains, Provider};
pub use exchanges::ExchangeId;
pub use front::{Figures, Front, FrontLimits};
pub use http::{Asked, Http, HttpError, HttpOptions, Questions};
pub use judgement::{Answer, Exchange, Identity, Judgement, Reason, Rejection};
pub use known::{Gone, Known, Rights};
pub use named_file::{FILE_BYTES_MAX, FileError, Holds, read as read_file};
pub use password::{Cost, Hash, HashError, Kind};
pub use password_file::{LoadError, Match, PasswordFile, Problem, ProblemKind, Warning};
pub use priority::give_way;
pub use private_file::{read as read_private, read_open_rights, read_rights, read_secret};
pub use replacement::{ReplaceError, Replacement};
pub use scram_file::ScramFile;
pub use secret::Secret;
pub use throttle::{Patience, ThrottleLimits};
pub use user_lines::{UpgradeError, UserError, UserLines, check_user};
pub use users::{UserRecord, UserTable};
