//! `iothub reload`: asks a broker that runs to read its configuration again, or what would change if it did.

use std::{
    env,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use crate::{
    api::{self, RELOAD},
    config::{self, Flags},
};

/// Ask a broker to read its configuration and every file that it names again.
///
/// All of it counts then, or, with anything wrong in it, nothing. The broker is found as it finds its control socket: by the same
/// configuration. Exit codes: 0 done, 1 refused and nothing changed, 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// The configuration file that the broker was started with
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory that the broker was started with
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The broker's control socket itself
    #[arg(long, value_name = "PATH", conflicts_with_all = ["config", "data_dir"])]
    socket: Option<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    plan: bool,
}

pub fn run(args: &ReloadArgs) -> ExitCode {
    let answer = sockets(args).and_then(|paths| connect(&paths)).and_then(|stream| ask(stream, args.plan));
    match answer {
        Ok((status, answer)) => {
            let (text, code) = told(status, &answer);
            // Who does not read it still gets the code.
            let _ = match code {
                0 => io::stdout().write_all(text.as_bytes()),
                _ => io::stderr().write_all(text.as_bytes()),
            };
            ExitCode::from(code)
        }
        Err(sentence) => {
            eprintln!("iothub reload: {sentence}");
            ExitCode::from(UNREACHABLE)
        }
    }
}

/// Where the broker with this configuration listens.
fn sockets(args: &ReloadArgs) -> Result<Vec<PathBuf>, String> {
    if let Some(path) = &args.socket {
        return Ok(vec![path.clone()]);
    }
    let flags = Flags { data_dir: args.data_dir.clone(), ..Flags::default() };
    let settings = match config::load(args.config.as_deref(), env::vars_os(), &flags) {
        Ok(loaded) => loaded.settings,
        Err(problems) => {
            // The broker may run with what was there before, but where it listens is not known.
            let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(format!(
                "the configuration does not say where the broker is (--socket PATH does): {}",
                sentences.join("; ")
            ));
        }
    };
    match api::places(&settings) {
        paths if paths.is_empty() => {
            Err("control.socket is empty: a broker with this configuration has no control socket. Send it SIGHUP instead"
                .to_owned())
        }
        paths => Ok(paths),
    }
}

fn connect(paths: &[PathBuf]) -> Result<UnixStream, String> {
    let mut sentences = Vec::new();
    for path in paths {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => sentences.push(why_not(path, &error)),
        }
    }
    Err(sentences.join("; "))
}

fn why_not(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "no broker is at {shown}. Name its configuration (-c FILE), its data directory (--data-dir DIR) or its control \
             socket (--socket PATH), or send it SIGHUP"
        ),
        io::ErrorKind::ConnectionRefused => {
            format!("{shown} is what a broker that has ended left behind: there is none to reload")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{shown} is for the broker's user and for root alone: run this command as one of them")
        }
        _ => format!("{shown}: {error}"),
    }
}

fn ask(mut stream: UnixStream, is_plan: bool) -> Result<(u16, Value), String> {
    let failed = |error: io::Error| format!("the broker did not answer: {error}. Its log says what it does");
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let method = if is_plan { "GET" } else { "POST" };
    let request = format!(
        "{method} {RELOAD} HTTP/1.1\r\nHost: iothub\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(failed)?;
    parse(&answer)
        .ok_or_else(|| "what is there answers nothing that is known: is it another program?".to_owned())
}

/// The status, and the body after the head.
fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..at]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, serde_json::from_slice(&answer[at + 4..]).ok()?))
}

/// What is printed, and the exit code.
fn told(status: u16, answer: &Value) -> (String, u8) {
    let list = |name: &str| -> Vec<&str> {
        answer[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let mut text = String::new();
    if status != 200 {
        list("problems").iter().for_each(|problem| text.push_str(&format!("iothub reload: {problem}\n")));
        let (end, code) = match status {
            409 => ("nothing is changed", REFUSED),
            _ => ("the broker was not asked", UNREACHABLE),
        };
        text.push_str(&format!("iothub reload: {end}\n"));
        return (text, code);
    }
    let changes = list("changes");
    let head = match (answer["outcome"] == "planned", changes.is_empty()) {
        (true, true) => "a reload would change nothing",
        (true, false) => "a reload would change:",
        (false, true) => "reloaded; nothing has changed",
        (false, false) => "reloaded:",
    };
    let pid = &answer["pid"];
    text.push_str(&format!("broker {pid}: {head}\n"));
    changes.iter().for_each(|change| text.push_str(&format!("  {change}\n")));
    let waiting = list("waiting");
    if !waiting.is_empty() {
        text.push_str(&format!("waits for the next start: {}\n", waiting.join(", ")));
    }
    list("warnings").iter().for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    (text, 0)
}

const REFUSED: u8 = 1;
const UNREACHABLE: u8 = 2;

/// Longer than the broker takes for the slowest.
const PATIENCE: Duration = Duration::from_secs(40);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_of_it_is_told_with_its_exit_code() {
        let done = json!({ "outcome": "done", "pid": 7, "changes": ["a"], "waiting": ["b", "c"], "warnings": ["d"] });
        assert_eq!(
            told(200, &done),
            ("broker 7: reloaded:\n  a\nwaits for the next start: b, c\nwarning: d\n".to_owned(), 0)
        );
        let planned = json!({ "outcome": "planned", "pid": 7, "changes": [] });
        assert_eq!(told(200, &planned), ("broker 7: a reload would change nothing\n".to_owned(), 0));
        let refused = json!({ "outcome": "refused", "problems": ["x:3: wrong"] });
        assert_eq!(
            told(409, &refused),
            ("iothub reload: x:3: wrong\niothub reload: nothing is changed\n".to_owned(), 1)
        );
        assert_eq!(told(503, &json!({ "problems": [] })).1, 2);
    }

    #[test]
    fn an_answer_is_read_after_its_head() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"pid\":1}";
        assert_eq!(parse(answer), Some((200, json!({ "pid": 1 }))));
        for nonsense in [&b"hello"[..], b"HTTP/1.1 200 OK\r\n\r\nno", b"SSH-2.0\r\n\r\n{}"] {
            assert_eq!(parse(nonsense), None);
        }
    }
}
