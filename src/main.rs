//! The `iothub` command.

fn main() {}
