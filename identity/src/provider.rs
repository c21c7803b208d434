//! The ways to tell who a client is, one file for each.

mod anonymous;
mod call_out;
mod certificate;
mod database;
pub mod kind;
mod passwords;
mod scram;
mod tokens;

pub use anonymous::Anonymous;
pub use call_out::CallOut;
pub use certificate::{ByCertificate, CertificateName};
pub use database::Database;
pub(crate) use database::Users;
pub use passwords::Passwords;
pub use scram::Scram;
pub use tokens::{KeySource, Tokens};
