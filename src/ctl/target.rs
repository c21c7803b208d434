//! Which broker is asked, and by what way: its control socket, or a URL with a token.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use identity::{Http, HttpOptions, Secret};
use serde_json::Value;

use super::{Failure, trouble};
use crate::{
    remote::{self, BROKER, Body, Followed, Question, RemoteArgs},
    text::shortened,
};

#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The configuration file that the broker was started with
    #[arg(short, long, value_name = "FILE", global = true, help_heading = BROKER)]
    config: Option<PathBuf>,
    /// The data directory that the broker was started with
    #[arg(long, value_name = "DIR", global = true, help_heading = BROKER)]
    data_dir: Option<String>,
    /// The broker's control socket itself
    #[arg(long, value_name = "PATH", global = true, help_heading = BROKER, conflicts_with_all = ["config", "data_dir"])]
    socket: Option<PathBuf>,
    /// The API of a broker elsewhere, such as https://broker.example:9883, instead of a control socket
    #[arg(long, value_name = "URL", global = true, help_heading = BROKER, conflicts_with_all = ["config", "data_dir", "socket"])]
    url: Option<String>,
    /// A file with the token for --url; without it the environment variable IOTHUB_TOKEN has it
    #[arg(long, value_name = "FILE", global = true, help_heading = BROKER)]
    token_file: Option<PathBuf>,
    /// Authorities of the server of --url, PEM; without it those that the system trusts
    #[arg(long, value_name = "FILE", global = true, help_heading = BROKER)]
    ca_file: Option<PathBuf>,
}

/// Somebody who answers.
pub enum Target<'a> {
    Socket(RemoteArgs),
    Url { url: &'a str, ca_file: Option<PathBuf>, token_file: Option<&'a Path>, token: Secret },
}

impl TargetArgs {
    pub fn open(&self) -> Result<Target<'_>, Failure> {
        let Some(url) = &self.url else {
            let (config, data_dir) = (self.config.clone(), self.data_dir.clone());
            let broker = RemoteArgs::at(config, data_dir, self.socket.clone());
            broker.tell_overridden();
            return Ok(Target::Socket(broker));
        };
        let token = match &self.token_file {
            Some(path) => {
                identity::read_secret(path).map_err(|error| Failure::Unreachable(error.to_string()))?
            }
            None => {
                let token = env::var("IOTHUB_TOKEN").map_err(|_| {
                    let why = "a broker at a URL asks for a token: name a file with it (--token-file FILE), or set IOTHUB_TOKEN. \
                               `iothub token add` makes one";
                    Failure::Unreachable(why.to_owned())
                })?;
                Secret::from(token)
            }
        };
        let (ca_file, token_file) = (self.ca_file.clone(), self.token_file.as_deref());
        Ok(Target::Url { url: url.trim_end_matches('/'), ca_file, token_file, token })
    }
}

impl Target<'_> {
    /// The configuration that was named, for a broker that is to be asked about it.
    pub fn config(&self) -> Option<PathBuf> {
        match self {
            Target::Socket(socket) => socket.config(),
            Target::Url { .. } => None,
        }
    }

    /// Why a stream may have come to its end without a word.
    pub fn why_ended(&self) -> &'static str {
        match self {
            Target::Socket(_) => "it has ended, or this was not read for too long",
            Target::Url { .. } => {
                "it has ended, this was not read for too long, or the token is not known any more"
            }
        }
    }

    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask("GET", path, None)
    }

    /// An answer that goes on.
    pub fn follow(&self, path: &str) -> Result<Box<dyn BufRead>, Failure> {
        check_length(path)?;
        match self {
            Target::Socket(socket) => match socket.follow(path).map_err(Failure::Unasked)? {
                Followed::Lines(lines) => Ok(Box::new(lines)),
                Followed::Refused(status, answer) => Err(self.failure(status, &answer)),
            },
            Target::Url { url, ca_file, token, .. } => {
                let url = format!("{url}{path}");
                let http = http(&url, ca_file.clone(), token).map_err(Failure::Unreachable)?;
                let followed = http.follow().map_err(|error| trouble::explained(&url, &error));
                let (status, mut reader) = followed.map_err(Failure::Unreachable)?;
                if status == 200 {
                    return Ok(Box::new(BufReader::new(reader)));
                }
                let mut body = Vec::new();
                // What cannot be read is no reason.
                let _ = reader.read_to_end(&mut body);
                Err(self.failure(status, &serde_json::from_slice(&body).unwrap_or_default()))
            }
        }
    }

    /// The body of an answer that is no refusal.
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let body = body.map(Body::from);
        check_length(path)?;
        let (status, answer) = match self {
            Target::Socket(socket) => {
                socket.ask(&Question { method, path, body }).map_err(Failure::Unasked)?
            }
            Target::Url { url, ca_file, token, .. } => {
                let url = format!("{url}{path}");
                ask_url(&url, ca_file.clone(), token, method, body.as_ref()).map_err(Failure::Unreachable)?
            }
        };
        match status {
            200..=299 => Ok(answer),
            _ => Err(self.failure(status, &answer)),
        }
    }

    /// A command that the broker offers, so that it asks this broker.
    pub fn command(&self, command: &str) -> String {
        let flags = match self {
            Target::Socket(socket) => socket.flags(),
            Target::Url { url, ca_file, token_file, .. } => {
                let paths = [("--token-file", *token_file), ("--ca-file", ca_file.as_deref())];
                let paths = paths.into_iter().filter_map(|(flag, path)| Some((flag, path?)));
                remote::flags([("--url", Path::new(url))].into_iter().chain(paths))
            }
        };
        format!("{command}{flags}")
    }

    fn failure(&self, status: u16, answer: &Value) -> Failure {
        let texts = |name: &str| answer[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut sentences: Vec<String> = texts("problems").map(str::to_owned).collect();
        if sentences.is_empty() {
            sentences.push(format!("the broker answers with status {status}"));
        }
        sentences.extend(texts("commands").map(|command| format!("see also: {}", self.command(command))));
        match status {
            503 => Failure::Unreachable(sentences.join("; ")),
            404 => Failure::Absent(sentences),
            _ => Failure::Refused(sentences),
        }
    }
}

/// The head of a question has its bounds, and who goes beyond them gets no sentence from the broker.
fn check_length(path: &str) -> Result<(), Failure> {
    match path.len() <= PATH_BYTES_MAX {
        true => Ok(()),
        false => Err(Failure::Refused(vec![
            "what is asked about has too long a name for this question".to_owned(),
        ])),
    }
}

fn ask_url(
    url: &str,
    ca_file: Option<PathBuf>,
    token: &Secret,
    method: &str,
    body: Option<&Body>,
) -> Result<(u16, Value), String> {
    let http = http(url, ca_file, token)?;
    let body = body.map(Body::text);
    let asked = http.ask(method, body.as_ref().map(|body| &body[..]), ANSWER_BYTES_MAX);
    let (status, text) = asked.map_err(|error| trouble::explained(url, &error))?;
    if text.is_empty() && status >= 400 {
        return Ok((status, Value::Null));
    }
    let answer = serde_json::from_slice(&text).map_err(|_| {
        let url = shortened(url, URL_SHOWN_CHARS);
        format!("{url} answers with status {status} and no JSON: is it the API of a broker?")
    })?;
    Ok((status, answer))
}

fn http(url: &str, ca_file: Option<PathBuf>, token: &Secret) -> Result<Http, String> {
    let mut authorization = b"Bearer ".to_vec();
    authorization.extend_from_slice(token.expose().trim_ascii());
    let options = HttpOptions {
        url: url.to_owned(),
        timeout: Some(PATIENCE),
        timeout_key: None,
        ca_file,
        authorization: Some(Secret::from(authorization)),
        questions: None,
    };
    Http::new(&options).map_err(|error| error.to_string())
}

/// What stands in a path or behind a question mark.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Longer than the broker takes for the slowest.
const PATIENCE: Duration = Duration::from_secs(40);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Of the 8 KiB of a head.
const PATH_BYTES_MAX: usize = 7 << 10;
const URL_SHOWN_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_mean_something_in_a_url_is_encoded() {
        assert_eq!(encoded("a-1.b_~"), "a-1.b_~");
        assert_eq!(encoded("a/b?c=d&e #%+ä"), "a%2Fb%3Fc%3Dd%26e%20%23%25%2B%C3%A4");
    }

    fn socket() -> Target<'static> {
        Target::Socket(RemoteArgs::at(None, None, None))
    }

    #[test]
    fn a_refusal_has_its_sentences_and_an_overload_its_code() {
        let problems = serde_json::json!({ "problems": ["a", "b"] });
        let failure = |status, answer| socket().failure(status, answer);
        assert!(matches!(failure(409, &problems), Failure::Refused(sentences) if sentences == ["a", "b"]));
        assert!(matches!(failure(404, &problems), Failure::Absent(sentences) if sentences == ["a", "b"]));
        assert!(matches!(failure(503, &Value::Null), Failure::Unreachable(_)));
    }

    #[test]
    fn a_command_that_is_offered_asks_the_broker_that_was_asked() {
        let path = |path: &str| Some(PathBuf::from(path));
        let url = Target::Url {
            url: "https://h:1",
            ca_file: path("ca.pem"),
            token_file: Some(Path::new("my token")),
            token: Secret::from(Vec::new()),
        };
        let at = |config, data_dir, socket| Target::Socket(RemoteArgs::at(config, data_dir, socket));
        for (target, command) in [
            (socket(), "iothub ban list"),
            (at(path("c.toml"), None, None), "iothub ban list -c c.toml"),
            (at(path("c.toml"), Some("d d".to_owned()), None), "iothub ban list -c c.toml --data-dir 'd d'"),
            (at(None, None, path("it's")), r"iothub ban list --socket 'it'\''s'"),
            (url, "iothub ban list --url https://h:1 --token-file 'my token' --ca-file ca.pem"),
        ] {
            assert_eq!(target.command("iothub ban list"), command);
        }
        let absent = serde_json::json!({ "problems": ["a"], "commands": ["iothub ban list"] });
        let failure = at(path("c.toml"), None, None).failure(404, &absent);
        let said = ["a", "see also: iothub ban list -c c.toml"];
        assert!(matches!(failure, Failure::Absent(sentences) if sentences == said));
    }
}
