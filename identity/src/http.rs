//! Questions to other programs over HTTP: connections are kept, time and answers are bounded.

mod questions;

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use self::questions::Outcome;
pub use self::questions::{Asked, Questions};
use crate::{FileError, Secret, named_file};

/// One URL.
pub struct Http {
    agent: Agent,
    url: String,
    authorization: Option<Secret>,
    timeout: Duration,
    timeout_key: Option<&'static str>,
    questions: Option<&'static Questions>,
}

/// How a URL is asked.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    pub url: String,
    /// Everything from the look at the name to the last byte of the answer.
    pub timeout: Option<Duration>,
    /// The key that says how long, for whoever reads that it was not enough.
    pub timeout_key: Option<&'static str>,
    /// Certificates in PEM that may have signed the server's. None: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The whole value of the header Authorization.
    pub authorization: Option<Secret>,
    /// Where what becomes of `get` and `post_json` is counted.
    pub questions: Option<&'static Questions>,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("`{0}` is no URL: write http://HOST:PORT/PATH or https://HOST/PATH")]
    Url(String),
    #[error(
        "a URL with a user or a password before `@` is not taken, for URLs stand in the log: leave them out, and name a file with the value of the header Authorization where there is a key for it"
    )]
    Credentials,
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} has no certificate in PEM", path.display())]
    NoCertificate { path: PathBuf },
    #[error("this system has no file of trusted certificates; name one")]
    NoSystem,
    #[error(
        "the value of the header Authorization has to be one line of printable ASCII, for example: Bearer TOKEN"
    )]
    Authorization,
}

impl Http {
    pub fn new(options: &HttpOptions) -> Result<Http, HttpError> {
        let authority = options.url.split_once("://").map_or(&*options.url, |(_, rest)| rest);
        if authority.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')) {
            return Err(HttpError::Credentials);
        }
        let rest = options.url.strip_prefix("http://").or_else(|| options.url.strip_prefix("https://"));
        if rest
            .is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || rest.contains(char::is_whitespace))
        {
            return Err(HttpError::Url(shown(&options.url).to_owned()));
        }
        let is_printable = |secret: &Secret| secret.expose().iter().all(|b| (b' '..=b'~').contains(b));
        if !options.authorization.as_ref().is_none_or(is_printable) {
            return Err(HttpError::Authorization);
        }
        let timeout = options.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Who is asked is who is named.
            .max_redirects(0)
            .proxy(None)
            .user_agent("iothub")
            .timeout_global(Some(timeout))
            .max_idle_connections_per_host(IDLE_CONNECTIONS_MAX);
        if options.url.starts_with("https://") {
            config = config.tls_config(tls(options.ca_file.as_deref())?);
        }
        let agent = config.build().new_agent();
        let HttpOptions { url, authorization, timeout_key, questions, .. } = options;
        let (url, authorization) = (url.clone(), authorization.clone());
        Ok(Http { agent, url, authorization, timeout, timeout_key: *timeout_key, questions: *questions })
    }

    /// The URL as logs may have it: what stands behind a question mark may be a secret.
    pub fn shown(&self) -> &str {
        shown(&self.url)
    }

    /// Who is asked, with the port where the URL names one.
    pub fn host(&self) -> &str {
        let authority = self.url.split_once("://").map_or(&*self.url, |(_, rest)| rest);
        authority.split(['/', '?', '#']).next().unwrap_or_default()
    }

    /// What stands there, if it is there.
    pub fn get(&self) -> Result<Vec<u8>, String> {
        let mut request = self.agent.get(&self.url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.expose());
        }
        match self.counted(request.call(), |status| status == 200)? {
            (200, body) => Ok(body),
            (status, _) => Err(format!("{} answers with status {status}", self.shown())),
        }
    }

    /// The status and the body of the answer.
    pub fn post_json(&self, body: &[u8]) -> Result<(u16, Vec<u8>), String> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.expose());
        }
        self.counted(request.send(body), |status| status < 500)
    }

    /// The status and the body, and what became of the question.
    fn counted(
        &self,
        asked: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        says_something: fn(u16) -> bool,
    ) -> Result<(u16, Vec<u8>), String> {
        let read = asked.and_then(|answer| {
            let status = answer.status().as_u16();
            // Read to its end, so that the connection can be used again.
            Ok((status, body_within(answer, ANSWER_BYTES_MAX)?))
        });
        if let Some(questions) = self.questions {
            questions.count(match &read {
                Ok((status, _)) if says_something(*status) => Outcome::Answered,
                Err(ureq::Error::Timeout(_)) => Outcome::Unanswered,
                Ok(_) | Err(_) => Outcome::Failed,
            });
        }
        read.map_err(|error| self.failure(&error))
    }

    /// Whatever HTTP can ask: the status and the body of the answer.
    pub fn ask(
        &self,
        method: &str,
        body: Option<&[u8]>,
        answer_bytes_max: u64,
    ) -> Result<(u16, Vec<u8>), String> {
        let mut request = ureq::http::Request::builder().method(method).uri(&self.url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.expose());
        }
        let built = |error: ureq::http::Error| format!("{}: {error}", self.url);
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body).map_err(built)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).map_err(built)?),
        };
        let answer = answer.map_err(|error| self.failure(&error))?;
        let status = answer.status().as_u16();
        let body = body_within(answer, answer_bytes_max).map_err(|error| self.failure(&error))?;
        Ok((status, body))
    }

    /// The status and an answer that may go on for ever: its parts have no time, its head has.
    pub fn follow(&self) -> Result<(u16, Box<dyn Read + Send>), String> {
        let mut request = self.agent.get(&self.url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.expose());
        }
        let within = Some(TIMEOUT_DEFAULT);
        let request =
            request.config().timeout_global(None).timeout_connect(within).timeout_recv_response(within);
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => self.unanswered(TIMEOUT_DEFAULT, None),
            error => self.failure(&error),
        };
        let answer = request.build().call().map_err(failed)?;
        Ok((answer.status().as_u16(), Box::new(answer.into_body().into_reader())))
    }

    fn failure(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => self.unanswered(self.timeout, self.timeout_key),
            error => format!("{}: {error}", self.shown()),
        }
    }

    fn unanswered(&self, timeout: Duration, key: Option<&str>) -> String {
        let key = key.map(|key| format!(" ({key})")).unwrap_or_default();
        format!("{} did not answer within {} seconds{key}", self.shown(), timeout.as_secs_f64())
    }
}

fn body_within(answer: ureq::http::Response<ureq::Body>, bytes_max: u64) -> Result<Vec<u8>, ureq::Error> {
    answer.into_body().into_with_config().limit(bytes_max).read_to_vec()
}

fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, HttpError> {
    let path = match ca_file {
        Some(path) => path.to_owned(),
        None => {
            let known = SYSTEM_FILES.iter().map(Path::new).find(|path| path.is_file());
            known.ok_or(HttpError::NoSystem)?.to_owned()
        }
    };
    let pem = named_file::read(&path, CA_FILE_BYTES_MAX)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(HttpError::NoCertificate { path });
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("url", &self.shown()).finish_non_exhaustive()
    }
}

/// Debian's and Alpine's, Fedora's, SUSE's.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Bundles of all public authorities have a quarter of a megabyte.
const CA_FILE_BYTES_MAX: u64 = 64 << 20;

/// A client waits meanwhile, and so does a thread.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// As many as there are threads that ask.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// A set of keys, or what one client may do.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests;
