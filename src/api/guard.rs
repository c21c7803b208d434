//! Who may ask: tokens and their roles, and questions that come from pages of the web.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};
use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use super::{
    answer::{self, BodyWait},
    context::{Context, Stage},
    hall,
    operation::Access,
    refusals::Cause,
    reload::ENDING,
    seat::Seat,
    token_list::Role,
};
use crate::config::Metrics;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// By the control socket, whose permissions say who that may be.
    Control,
    Tcp {
        peer: SocketAddr,
        /// It came to a loopback address.
        is_local: bool,
    },
}

/// Who asks, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token. None: the control socket, or nobody was asked for one.
    pub token: Option<Arc<str>>,
    /// Its hash, which another one of that name has not.
    pub sha256: Option<Arc<str>>,
    pub role: Option<Role>,
    pub peer: Option<SocketAddr>,
}

impl Caller {
    /// As logs call whoever asks; at the control socket it is this command, or somebody who does the same.
    pub fn by(&self, command: &str) -> String {
        match (&self.token, self.peer) {
            (Some(token), Some(peer)) => format!("API token {token} from {peer}"),
            _ => command.to_owned(),
        }
    }
}

/// What stands before an operation.
#[derive(Clone)]
pub struct Guard {
    pub context: Context,
    pub access: Access,
    /// Where it is carried out, if not on the thread that has all connections.
    pub beside: Option<Handle>,
}

/// Lets through who may ask this operation, and nobody for longer than it may take.
pub async fn admit(
    State(Guard { context, access, beside }): State<Guard>,
    Extension(visitor): Extension<Visitor>,
    Extension(seat): Extension<Seat>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match identify(&context, access, visitor, &request) {
        Ok(caller) => caller,
        Err(response) => return *response,
    };
    if matches!(visitor, Visitor::Tcp { .. }) && !is_json(request.method(), request.headers()) {
        let why = "the body has to be JSON and to say so: Content-Type: application/json";
        return answer::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    if caller.token.is_some()
        && let Err(no_seat) = seat.take(&caller).await
    {
        return answer::unavailable(hall::sentence(no_seat));
    }
    let needs_broker = matches!(access, Access::Role(_));
    if needs_broker && let Some(why) = absence(&context, request.method()) {
        return answer::unavailable(why);
    }
    let wait = BodyWait::default();
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(wait.clone());
    let answer = async {
        let Some(beside) = beside else { return Some(next.run(request).await) };
        // Ends with this one.
        let mut asked = JoinSet::new();
        asked.spawn_on(next.run(request), &beside);
        asked.join_next().await?.ok()
    };
    in_time(&wait, answer).await
}

/// Whoever is waited for when the time is over is named.
async fn in_time(wait: &BodyWait, answer: impl Future<Output = Option<Response>>) -> Response {
    match timeout(HANDLING_MAX, answer).await {
        Ok(Some(response)) => response,
        Ok(None) => answer::unavailable(ENDING),
        Err(_) if wait.goes_on() => answer::late(),
        Err(_) => answer::unavailable("the broker did not get to it in time: its log says what it does"),
    }
}

/// Why there is nobody who could answer. Whoever drains tells what there is, and does nothing any more.
fn absence(context: &Context, method: &Method) -> Option<&'static str> {
    let changes = *method != Method::GET && *method != Method::HEAD;
    match context.stage() {
        Stage::Starting => context.obstacle(),
        Stage::Draining if changes => context.obstacle(),
        Stage::Draining | Stage::Serving => None,
    }
}

fn identify(
    context: &Context,
    access: Access,
    visitor: Visitor,
    request: &Request,
) -> Result<Caller, Box<Response>> {
    let Visitor::Tcp { peer, .. } = visitor else {
        return Ok(Caller { role: Some(Role::Admin), ..Caller::default() });
    };
    let needed = match access {
        Access::Open => None,
        Access::Metrics => (context.metrics() == Metrics::Token).then_some(Role::Viewer),
        Access::Role(role) => Some(role),
    };
    let Some(needed) = needed else { return Ok(Caller { peer: Some(peer), ..Caller::default() }) };
    if context.stage() == Stage::Starting {
        // Tokens are read with the data directory.
        return Err(Box::new(answer::unavailable(context.obstacle().unwrap_or_default())));
    }
    let Some(secret) = bearer(request.headers()) else {
        tell(context, peer, Cause::NoToken, request, "no token");
        return Err(Box::new(answer::unauthorized(
            "this needs a token: Authorization: Bearer TOKEN. The broker tells one at its first start; \
             `iothub token add` makes others",
        )));
    };
    let Some(token) = context.tokens().and_then(|tokens| tokens.check(secret)) else {
        return Err(Box::new(unknown(context, peer, request)));
    };
    let (name, role) = (&token.name, token.role);
    if role < needed {
        let (has, needs) = (role.word(), needed.word());
        let why = format!("the token {name} has the role {has}, and this needs {needs}");
        tell(context, peer, Cause::Role, request, &why);
        return Err(Box::new(answer::problem(StatusCode::FORBIDDEN, &why)));
    }
    let (sha256, name) = (Some(token.sha256().into()), Some(name.as_str().into()));
    Ok(Caller { token: name, sha256, role: Some(role), peer: Some(peer) })
}

/// A token that nobody has. Many of them are told to wait.
fn unknown(context: &Context, peer: SocketAddr, request: &Request) -> Response {
    let why = "this token is not known: `iothub token list` shows those that are";
    match tell(context, peer, Cause::Token, request, "a token that is not known") {
        None => answer::unauthorized(why),
        Some(wait) => {
            TOLD_TO_WAIT.fetch_add(1, Ordering::Relaxed);
            answer::too_many(why, wait.as_secs().max(1))
        }
    }
}

/// Answers of status 429, since the start.
pub fn told_to_wait() -> u64 {
    TOLD_TO_WAIT.load(Ordering::Relaxed)
}

static TOLD_TO_WAIT: AtomicU64 = AtomicU64::new(0);

/// The logs have who was refused what. How long it is until they have another, where this one was left out.
fn tell(context: &Context, peer: SocketAddr, cause: Cause, request: &Request, why: &str) -> Option<Duration> {
    let path: String = request.uri().path().chars().take(PATH_CHARS_MAX).collect();
    context.refusals().tell(peer, cause, &format!("{} {path}: {why}", request.method()))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// Refuses a head that programs on its way may have read otherwise than this one: with two hosts, two tokens, or a body of which nobody
/// can be sure where it ends. What reads heads here takes a length out that stands beside `Transfer-Encoding`, in
/// whichever order, so that whoever has the latter is refused.
pub async fn check_head(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_twice = |name: &header::HeaderName| headers.get_all(name).iter().nth(1).is_some();
    if let Some(name) = [header::HOST, header::AUTHORIZATION].iter().find(|name| is_twice(name)) {
        return closing(answer::refused(&format!("the header {name} stands there more than once")));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return closing(answer::refused(
            "the header Transfer-Encoding is not taken: say the length of the body, by Content-Length",
        ));
    }
    next.run(request).await
}

/// What follows on the connection is not looked at.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Keeps pages of the web from asking in the name of whoever looks at them: by their own origin, or by a name that they had resolved
/// to this machine. `admit` refuses what a form could send.
pub async fn check_page(
    State(context): State<Context>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
    next: Next,
) -> Response {
    let Visitor::Tcp { peer, is_local } = visitor else { return next.run(request).await };
    let host = host_of(request.headers(), request.uri());
    let refused = if is_local && !is_known(host, context.hosts()) {
        let why =
            "the API is not known by this host here: use an address or localhost, or name it in api.hosts";
        Some((Cause::Host, why))
    } else if !is_same_origin(request.headers(), host) {
        Some((Cause::Origin, "another page's request: only pages of this API may ask it"))
    } else {
        None
    };
    if let Some((cause, why)) = refused {
        tell(&context, peer, cause, &request, why);
        return answer::problem(StatusCode::FORBIDDEN, why);
    }
    next.run(request).await
}

/// Where the target names a host itself, that one counts (RFC 9112, 3.2.2).
fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    let target = uri.authority().map(|authority| authority.as_str());
    target.or(headers.get(header::HOST).and_then(|host| host.to_str().ok())).unwrap_or_default()
}

/// Addresses cannot be made to stand for something else.
fn is_known(host: &str, names: &[String]) -> bool {
    let name = without_port(host);
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_address
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Browsers name the origin of the page; what is no browser names none.
fn is_same_origin(headers: &HeaderMap, host: &str) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.split_once("://").is_some_and(|(_, of_page)| of_page.eq_ignore_ascii_case(host))
    })
}

/// Forms cannot send it.
fn is_json(method: &Method, headers: &HeaderMap) -> bool {
    let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let must_be =
        [Method::POST, Method::PUT, Method::PATCH].contains(method) || *method != Method::GET && has_body;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    !must_be || kind.eq_ignore_ascii_case("application/json")
}

/// Of what was asked for, in the logs.
const PATH_CHARS_MAX: usize = 128;

/// A reload reads files, and hashes of passwords may be many.
const HANDLING_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::pending,
        pin::Pin,
        task::{self, Poll},
    };

    use axum::{
        body::{Body, Bytes},
        extract::FromRequest as _,
    };
    use hyper::body::Frame;
    use tokio::runtime::Builder;

    use super::{answer::Input, *};

    /// A body of which nothing comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    /// What is answered to an order that the broker never carries out.
    fn answer_to(body: Body) -> Response {
        let wait = BodyWait::default();
        let mut request = Request::new(body);
        request.extensions_mut().insert(wait.clone());
        let order = async {
            match Input::<answer::Nothing>::from_request(request, &()).await {
                Ok(_) => pending().await,
                Err(response) => Some(response),
            }
        };
        let mut clock = Builder::new_current_thread();
        clock.enable_time().start_paused(true).build().expect("a runtime").block_on(in_time(&wait, order))
    }

    #[test]
    fn who_sends_no_body_is_told_so_and_who_has_sent_one_that_the_broker_is_late() {
        let response = answer_to(Body::new(Never));
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        assert_eq!(answer_to(Body::from("{}")).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer_to(Body::from("{")).status(), StatusCode::BAD_REQUEST);
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header"))).collect()
    }

    #[test]
    fn addresses_localhost_and_names_of_the_configuration_are_known() {
        let names = ["broker.example".to_owned()];
        for host in ["127.0.0.1:9883", "[::1]:9883", "[::1]", "localhost", "LOCALHOST:1", "Broker.Example:9"]
        {
            assert!(is_known(host, &names), "{host}");
        }
        for host in
            ["", "evil.example", "evil.example:9883", "localhost.evil.example", "127.0.0.1.evil.example"]
        {
            assert!(!is_known(host, &names), "{host}");
        }
    }

    #[test]
    fn the_host_of_the_target_counts_before_that_of_the_header() {
        let headers = headers(&[(header::HOST, "localhost")]);
        let host = |target: &str| host_of(&headers, &target.parse().expect("a target")).to_owned();
        assert_eq!(host("http://evil.example/v1/broker"), "evil.example");
        assert_eq!(host("/v1/broker"), "localhost");
    }

    #[test]
    fn only_pages_of_the_same_host_and_port_may_ask() {
        let of = |origin: &str| headers(&[(header::ORIGIN, origin)]);
        assert!(is_same_origin(&HeaderMap::new(), "127.0.0.1:9883"));
        assert!(is_same_origin(&of("http://127.0.0.1:9883"), "127.0.0.1:9883"));
        for origin in
            ["http://127.0.0.1:80", "https://evil.example", "null", "http://127.0.0.1:9883.evil.example"]
        {
            assert!(!is_same_origin(&of(origin), "127.0.0.1:9883"), "{origin}");
        }
    }

    #[test]
    fn what_changes_something_says_that_it_is_json() {
        let json = headers(&[(header::CONTENT_TYPE, "application/json; charset=utf-8")]);
        let form = headers(&[(header::CONTENT_TYPE, "text/plain"), (header::CONTENT_LENGTH, "5")]);
        assert!(is_json(&Method::POST, &json) && is_json(&Method::DELETE, &json));
        assert!(is_json(&Method::GET, &form) && is_json(&Method::DELETE, &HeaderMap::new()));
        assert!(!is_json(&Method::POST, &HeaderMap::new()) && !is_json(&Method::POST, &form));
        assert!(!is_json(&Method::DELETE, &form));
    }

    #[test]
    fn a_token_stands_behind_its_scheme() {
        let of = |value: &str| bearer(&headers(&[(header::AUTHORIZATION, value)])).map(str::to_owned);
        assert_eq!(of("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(of("bearer  abc "), Some("abc".to_owned()));
        assert_eq!((of("Basic abc"), of("abc")), (None, None));
    }
}
