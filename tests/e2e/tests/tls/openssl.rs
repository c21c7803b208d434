//! `openssl s_client`: what a stranger's TLS makes of the broker's.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::program;
use e2e::socket;

/// What it said, on both streams, and whether it ended well.
pub struct Said {
    pub text: String,
    pub is_success: bool,
}

/// One run of `openssl s_client`.
pub struct Client {
    command: Command,
}

impl Client {
    /// To a port of this machine, trusting nobody else than this authority.
    pub fn to(port: u16, authority: &Path) -> Client {
        // It has no time limit of its own.
        let mut command = program::command(program::installed("timeout"));
        command.arg("20").arg(program::installed("openssl"));
        command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"]).arg(authority);
        command.args(["-verify_return_error"]);
        Client { command }
    }

    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Client {
        self.command.args(args);
        self
    }

    /// With a certificate of its own, by the name of its files.
    pub fn showing(mut self, folder: &Path, name: &str) -> Client {
        self.command.arg("-cert").arg(folder.join(format!("{name}.pem")));
        self.command.arg("-key").arg(folder.join(format!("{name}.key")));
        self
    }

    /// Connects as an MQTT client and leaves. Both have ended when this comes back.
    pub fn visit(mut self) -> Said {
        self.command.arg("-nocommands");
        self.say(&visit("openssl"))
    }

    /// Types this, and stays until the broker closes.
    pub fn say(self, bytes: &[u8]) -> Said {
        self.say_in_turn(bytes, None)
    }

    /// Types this, and the rest once it has said something of its own that begins so.
    pub fn say_in_turn(mut self, bytes: &[u8], rest: Option<(&str, &[u8])>) -> Said {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        // It stays open until the end: s_client leaves when there is nothing more to type.
        let mut typing = child.stdin.take().unwrap();
        let _ = typing.write_all(bytes);
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        if let Some((sign, rest)) = rest {
            while errors.read_line(&mut text).unwrap() > 0 {
                if text.lines().next_back().is_some_and(|line| line.starts_with(sign)) {
                    break;
                }
            }
            let _ = typing.write_all(rest);
        }
        let mut left = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut left).unwrap();
        errors.read_to_end(&mut left).unwrap();
        text.push_str(&String::from_utf8_lossy(&left));
        Said { text, is_success: child.wait().unwrap().success() }
    }
}

/// What an MQTT client says that asks once whether the broker is there, and leaves.
pub fn visit(client_id: &str) -> Vec<u8> {
    [&socket::connect(client_id, true)[..], &[0xC0, 0, 0xE0, 0]].concat()
}

impl Said {
    pub fn says(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// It got a CONNACK that accepts and a PINGRESP.
    pub fn was_served(&self) -> bool {
        // PINGRESP begins with a byte that is no text.
        self.text.contains("\u{20}\u{2}\0\0") && self.text.contains("\u{FFFD}\0")
    }
}
