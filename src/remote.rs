//! Asking a broker that runs, by its control socket: how the commands for operators find it and speak to it.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{self, Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    api,
    config::{self, Control, Flags, Loaded, Problem},
    output,
    store::quoted,
};

/// Options that say which broker stand together in the help.
pub const BROKER: &str = "Which broker";

/// Which broker.
#[derive(Debug, Args)]
pub struct RemoteArgs {
    /// The configuration file that the broker was started with
    #[arg(short, long, value_name = "FILE", help_heading = BROKER)]
    config: Option<PathBuf>,
    /// The data directory that the broker was started with
    #[arg(long, value_name = "DIR", help_heading = BROKER)]
    data_dir: Option<String>,
    /// The broker's control socket itself
    #[arg(long, value_name = "PATH", help_heading = BROKER, conflicts_with_all = ["config", "data_dir"])]
    socket: Option<PathBuf>,
}

/// What is asked, as HTTP says it.
pub struct Question<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: Option<Body>,
}

/// What goes with it. It may be a password: it is wiped with what was written of it.
pub struct Body(Value);

impl Body {
    pub fn text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(BODY_BYTES));
        serde_json::to_writer(&mut *text, &self.0).expect("a vector takes everything");
        text
    }
}

impl From<Value> for Body {
    fn from(value: Value) -> Body {
        Body(value)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(values) => values.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Why a broker was not asked.
#[derive(Debug)]
pub enum Unasked {
    /// What would say where it is has mistakes.
    Mistaken(Vec<Problem>),
    Unreachable(String),
}

impl From<String> for Unasked {
    fn from(sentence: String) -> Unasked {
        Unasked::Unreachable(sentence)
    }
}

impl Unasked {
    pub fn sentence(&self) -> String {
        match self {
            Unasked::Mistaken(problems) => {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            Unasked::Unreachable(sentence) => sentence.clone(),
        }
    }

    /// Says so in the name of the command, and gives back its exit code.
    pub fn tell(&self, command: &str) -> ExitCode {
        match self {
            Unasked::Mistaken(problems) => {
                problems.iter().for_each(|problem| output::complain(command, &problem.to_string()));
                output::complain(command, "the broker was not asked");
            }
            Unasked::Unreachable(sentence) => output::complain(command, sentence),
        }
        ExitCode::from(UNREACHABLE)
    }
}

impl RemoteArgs {
    pub fn at(config: Option<PathBuf>, data_dir: Option<String>, socket: Option<PathBuf>) -> RemoteArgs {
        RemoteArgs { config, data_dir, socket }
    }

    /// The status and the answer.
    pub fn ask(&self, question: &Question<'_>) -> Result<(u16, Value), Unasked> {
        let paths = sockets(self)?;
        connect(&paths).and_then(|stream| ask(stream, question)).map_err(Unasked::Unreachable)
    }

    /// By which another command finds the same broker.
    pub fn flags(&self) -> String {
        let paths = [("-c", self.config.as_deref()), ("--socket", self.socket.as_deref())];
        let data_dir = self.data_dir.as_ref().map(|dir| ("--data-dir", Path::new(dir)));
        flags(paths.into_iter().filter_map(|(flag, path)| Some((flag, path?))).chain(data_dir))
    }

    /// Says what of the file does not count beside the data directory.
    pub fn tell_overridden(&self) {
        if self.data_dir.is_some()
            && let Ok(loaded) = self.load()
        {
            loaded.tell_override("store", "dir");
        }
    }

    fn load(&self) -> Result<Loaded, Unasked> {
        let flags = Flags { data_dir: self.data_dir.clone(), ..Flags::default() };
        let loaded =
            config::load(self.config.as_deref(), env::vars_os(), &flags).map_err(Unasked::Mistaken)?;
        let socket = loaded.settings.control.socket.as_str();
        let is_named = socket != Control::AUTO && !socket.is_empty();
        match (&self.data_dir, loaded.origin("control", "socket").filter(|_| is_named)) {
            (Some(dir), Some(origin)) => Err(Unasked::Unreachable(format!(
                "--data-dir {dir} says nothing beside control.socket of {origin}, which says where the broker is asked: leave \
                 --data-dir out, or name the socket (--socket PATH)"
            ))),
            _ => Ok(loaded),
        }
    }

    /// The configuration that is named, from the root of the file system: the broker has a working directory of its own.
    pub fn config(&self) -> Option<PathBuf> {
        let path = self.config.as_ref()?;
        Some(path::absolute(path).unwrap_or_else(|_| path.clone()))
    }

    pub fn follow(&self, path: &str) -> Result<Followed, Unasked> {
        let paths = sockets(self)?;
        connect(&paths).and_then(|stream| follow(stream, path)).map_err(Unasked::Unreachable)
    }
}

/// Where the broker with this configuration listens.
fn sockets(args: &RemoteArgs) -> Result<Vec<PathBuf>, Unasked> {
    if let Some(path) = &args.socket {
        return Ok(vec![path.clone()]);
    }
    let loaded = args.load()?;
    match api::places(&loaded.settings) {
        paths if paths.is_empty() => Err(Unasked::Unreachable(
            "control.socket is empty: a broker with this configuration has no control socket. A reload can be had by SIGHUP"
                .to_owned(),
        )),
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
             socket (--socket PATH)"
        ),
        io::ErrorKind::ConnectionRefused => {
            format!("{shown} is what a broker that has ended left behind: nobody is there to be asked")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{shown} is for the broker's user and for root alone: run this command as one of them")
        }
        _ => format!("{shown}: {error}"),
    }
}

/// As a shell takes them.
pub fn flags<'a>(flags: impl Iterator<Item = (&'a str, &'a Path)>) -> String {
    flags.map(|(flag, value)| format!(" {flag} {}", quoted(&value.to_string_lossy()))).collect()
}

fn ask(mut stream: UnixStream, question: &Question<'_>) -> Result<(u16, Value), String> {
    let failed = |error: io::Error| format!("the broker did not answer: {error}. Its log says what it does");
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let Question { method, path, body } = question;
    let body = body.as_ref().map(|body| body.text()).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: iothub\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).map_err(failed)?;
    stream.write_all(&body).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(failed)?;
    parse(&answer)
        .ok_or_else(|| "what is there answers nothing that is known: is it another program?".to_owned())
}

/// What becomes of a question for an answer that goes on.
pub enum Followed {
    /// From behind its head.
    Lines(BufReader<UnixStream>),
    /// With the status and the body.
    Refused(u16, Value),
}

/// In words of HTTP/1.0, whose bodies come as they are and end with the connection.
fn follow(mut stream: UnixStream, path: &str) -> Result<Followed, String> {
    let failed = |error: io::Error| format!("the broker did not answer: {error}. Its log says what it does");
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: iothub\r\n\r\n").as_bytes()).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let (mut status, mut line) = (String::new(), String::new());
    reader.read_line(&mut status).map_err(failed)?;
    while reader.read_line(&mut line).map_err(failed)? > 2 {
        line.clear();
    }
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
    if status == Some(200) {
        return Ok(Followed::Lines(reader));
    }
    let mut body = Vec::new();
    reader.take(ANSWER_BYTES_MAX).read_to_end(&mut body).map_err(failed)?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match status.filter(|_| answer["problems"][0].is_string()) {
        Some(status) => Ok(Followed::Refused(status, answer)),
        None => Err("what is there answers nothing that is known: is it another program?".to_owned()),
    }
}

/// The status, and the body after the head.
fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..at]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    match &answer[at + 4..] {
        // A head that was not even read has no more than a status for its answer.
        [] if status >= 400 => Some((status, Value::Null)),
        body => Some((status, serde_json::from_slice(body).ok()?)),
    }
}

/// What exit codes of such commands mean, beside 0.
pub const REFUSED: u8 = 1;
pub const UNREACHABLE: u8 = 2;

/// Longer than the broker takes for the slowest.
const PATIENCE: Duration = Duration::from_secs(40);
/// Most bodies fit, and leave nothing behind by growing.
const BODY_BYTES: usize = 4 << 10;
const ANSWER_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_says_what_it_is_until_it_is_wiped() {
        let said = json!({ "password": "hunter2", "groups": ["a"], "scram": true });
        let mut body = Body::from(said.clone());
        assert_eq!(serde_json::from_slice::<Value>(&body.text()).expect("JSON"), said);
        wipe(&mut body.0);
        assert_eq!(body.0, json!({ "password": "", "groups": [""], "scram": true }));
    }

    #[test]
    fn an_answer_is_read_after_its_head() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"pid\":1}";
        assert_eq!(parse(answer), Some((200, json!({ "pid": 1 }))));
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(parse(bare), Some((431, Value::Null)));
        for nonsense in [&b"hello"[..], b"HTTP/1.1 200 OK\r\n\r\nno", b"SSH-2.0\r\n\r\n{}"] {
            assert_eq!(parse(nonsense), None);
        }
    }
}
