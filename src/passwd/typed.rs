//! A password that somebody types, or that a program writes to standard input.

use std::io::{self, BufRead, IsTerminal};

use identity::Secret;
use zeroize::{Zeroize, Zeroizing};

/// From a terminal twice and without an echo; else the first line of standard input.
pub fn password() -> Result<Secret, String> {
    match io::stdin().is_terminal() {
        true => from_terminal(),
        false => from(io::stdin().lock()),
    }
}

fn from_terminal() -> Result<Secret, String> {
    let ask = |prompt: &str| {
        let typed = rpassword::prompt_password(prompt);
        typed
            .map(Secret::from)
            .map_err(|error| format!("the password cannot be read from the terminal: {error}"))
    };
    let (first, second) = (ask("Password: ")?, ask("Reenter password: ")?);
    match first == second {
        true => Ok(first),
        false => Err("the passwords differ; nothing is changed".to_owned()),
    }
}

fn from(input: impl BufRead) -> Result<Secret, String> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 2));
    let read = input.take(PASSWORD_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line);
    read.map_err(|error| format!("the password cannot be read from standard input: {error}"))?;
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let secret = Secret::new(text);
    let is_long = text.len() > PASSWORD_BYTES_MAX;
    line.zeroize();
    match is_long {
        true => {
            Err(format!("the password is longer than {PASSWORD_BYTES_MAX} bytes, which no client can send"))
        }
        false => Ok(secret),
    }
}

/// [MQTT-3.1.3.6] A longer one does not fit into a CONNECT.
const PASSWORD_BYTES_MAX: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (input, password) in [("a b\nc\n", "a b"), ("a\r\n", "a"), ("a", "a"), ("", ""), (" \n", " ")] {
            assert_eq!(from(input.as_bytes()).expect(input).expose(), password.as_bytes());
        }
        assert!(from("x".repeat(65_536).as_bytes()).is_err());
        assert!(from("x".repeat(65_535).as_bytes()).is_ok());
    }
}
