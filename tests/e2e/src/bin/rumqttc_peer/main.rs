//! A peer of the end-to-end tests on the crate rumqttc: publishes and ends, or subscribes and prints.
#![allow(clippy::unwrap_used)] // A peer that is surprised ends, and its test shows what it said.

mod v311;
mod v5;

use std::env;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["pub", port, version, qos_list, topic, payload] => {
            let port = port.parse().unwrap();
            let messages: Vec<(u8, String)> =
                qos_list.split(',').map(|qos| (qos.parse().unwrap(), format!("{payload}-{qos}"))).collect();
            match version {
                "311" => v311::publish(port, topic, &messages),
                "5" => v5::publish(port, topic, &messages),
                _ => panic!("rumqttc does not speak {version}"),
            }
        }
        ["sub", port, version, qos, filter, count, ref session @ ..] => {
            let (port, qos, count) = (port.parse().unwrap(), qos.parse().unwrap(), count.parse().unwrap());
            match version {
                "311" => v311::subscribe(port, qos, filter, count, session),
                "5" => v5::subscribe(port, qos, filter, count, session),
                _ => panic!("rumqttc does not speak {version}"),
            }
        }
        _ => panic!("unexpected arguments: {words:?}"),
    }
}

fn client_id() -> String {
    format!("rumqttc-peer-{}", std::process::id())
}

/// The programs of this package have the same value.
const SESSION_EXPIRY_S: u32 = 600;

/// Packets of this size are taken; the crate's own limit is ten kilobytes.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// Requests that may wait for the event loop; a peer has a handful.
const REQUESTS_MAX: usize = 16;
