//! The physical log against a naive oracle and a disk in memory that tears, loses and alters blocks.
#![allow(clippy::unwrap_used)]

mod crash;
mod damage;
mod disk;
mod fetching;
mod history;
mod random;
mod space;
mod written;
