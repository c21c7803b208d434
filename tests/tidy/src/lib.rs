//! Layout and style, checked as tests. Each check is a plain function over text, so that a bad sample proves that it
//! can fail; `tests/tree.rs` runs them all over the repository.

pub mod arrows;
pub mod comments;
pub mod documents;
pub mod functions;
pub mod layout;
pub mod manifest;
pub mod masked;
pub mod names;
pub mod offence;
pub mod purity;
pub mod source;

pub use masked::Masked;
pub use offence::{Offence, assert_none};
pub use source::{Source, Tree};
