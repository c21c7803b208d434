//! Every way in and who is let in: TLS, WebSocket, sockets in the file system, one port for all; passwords, certificates,
//! rules of access. With real clients.
#![allow(clippy::unwrap_used)]

mod audit;
mod bans;
mod brought;
mod control;
mod flows;
mod hanging;
mod held;
mod identity;
mod listeners;
mod makers;
mod mounts;
mod options;
mod permission;
mod proved;
mod proxied;
mod rates;
mod reload;
mod strangers;
mod taken_back;
mod tokens;
mod transports;
mod watched;
mod ways;
mod wiped;

use std::process::Command;

use e2e::{Process, program};

/// `mosquitto_pub` or `mosquitto_sub` at a port of this machine.
fn mosquitto(tool: &str, port: u16, args: &[&str]) -> Command {
    // Into a pipe the tools write whole blocks, unless they are told to write lines.
    let mut command = program::command(program::installed("stdbuf"));
    command
        .arg("-oL")
        .arg(program::installed(tool))
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(args);
    command
}

/// What a publisher of one message ends with.
fn publish(port: u16, args: &[&str]) -> Process {
    let mut process =
        Process::start("mosquitto_pub", &mut mosquitto("mosquitto_pub", port, &[args, &["-d"]].concat()));
    process.wait();
    process
}
