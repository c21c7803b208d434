//! The ways to tell who a client is, one file for each.

mod anonymous;
mod certificate;
mod passwords;
mod scram;

pub use anonymous::Anonymous;
pub use certificate::{ByCertificate, CertificateName};
pub use passwords::Passwords;
pub use scram::Scram;
