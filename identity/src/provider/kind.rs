//! The kinds of providers: a listener has one of each at most.

pub const ANONYMOUS: &str = "anonymous";
pub const CALL_OUT: &str = "call-out";
pub const DATABASE: &str = "user database";
pub const PASSWORDS: &str = "password file";
pub const SCRAM: &str = "SCRAM file";
pub const TOKEN: &str = "token";
