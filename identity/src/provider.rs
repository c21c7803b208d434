//! The ways to tell who a client is, one file for each.

mod anonymous;
mod certificate;
mod passwords;

pub use anonymous::Anonymous;
pub use certificate::{ByCertificate, CertificateName};
pub use passwords::Passwords;
