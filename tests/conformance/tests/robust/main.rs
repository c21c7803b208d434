//! What other brokers get wrong: cases that the specification implies without a numbered statement.
#![allow(clippy::unwrap_used)]

mod load;
mod loss;
mod names;
mod segments;
