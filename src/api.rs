//! HTTP at the control socket: what may be asked of a broker that runs, for `iothub reload` and whoever speaks HTTP.
//!
//! It has a thread of its own, and asks the control thread by a message; no shard knows of it. A client that stops reading or
//! writing holds one of a few places, and not for long.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::DirBuilderExt, net::UnixListener as StdListener},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use crossbeam_channel::Sender;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use runtime::StartError;
use serde_json::{Value, json};
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Builder,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use crate::{
    bans::{BanText, Order},
    config::{Control, Settings},
    control::Request,
    reloader::Outcome,
};

/// A socket that is served. It goes with this.
pub struct Api {
    path: PathBuf,
}

impl Drop for Api {
    fn drop(&mut self) {
        // What cannot be removed is cleared by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where the socket is to be: in the configuration's words, and in order of preference where it leaves the choice.
pub fn places(settings: &Settings) -> Vec<PathBuf> {
    let named = settings.control.socket.as_str();
    if named != Control::AUTO {
        return if named.is_empty() { Vec::new() } else { vec![PathBuf::from(named)] };
    }
    if !settings.store.dir.is_empty() {
        return vec![Path::new(&settings.store.dir).join(NAME)];
    }
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("iothub").join(NAME));
    [Path::new("/run/iothub").join(NAME)].into_iter().chain(of_user).collect()
}

/// Serves the socket, if the configuration wants one. One that it names has to be there; the error is a sentence for the log.
pub fn start(settings: &Settings, requests: &Sender<Request>) -> Result<Option<Api>, String> {
    let is_named = settings.control.socket != Control::AUTO;
    let mut refused = None;
    for path in places(settings) {
        match listen(&path, is_named) {
            Ok(socket) => return serve(socket, path, requests.clone()).map(Some),
            Err(error) if is_named => return Err(format!("control.socket: {error}")),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if let Some(error) = refused {
        tracing::info!(
            "no control socket, so that iothub reload does not reach this broker (control.socket): {error}"
        );
    }
    Ok(None)
}

/// Only who has the same rights as the broker may connect.
fn listen(path: &Path, is_named: bool) -> Result<OwnedFd, String> {
    if let Some(folder) = path.parent().filter(|_| !is_named) {
        // The socket says better than this what keeps it from being there.
        let _ = std::fs::DirBuilder::new().mode(0o755).create(folder);
    }
    runtime::listen_at(path, 0o600).map_err(|error| match error {
        StartError::AddressInUse { .. } => format!("{} is that of another broker", path.display()),
        error => error.to_string(),
    })
}

fn serve(socket: OwnedFd, path: PathBuf, requests: Sender<Request>) -> Result<Api, String> {
    let failed =
        |error: io::Error| format!("the control socket {} cannot be served: {error}", path.display());
    let socket = StdListener::from(socket);
    socket.set_nonblocking(true).map_err(failed)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
    let router = router(requests);
    let run = move || {
        runtime.block_on(async {
            match UnixListener::from_std(socket) {
                Ok(listener) => accept(listener, router).await,
                Err(error) => tracing::error!(%error, "the control socket cannot be served"),
            }
        });
    };
    thread::Builder::new().name("control".to_owned()).spawn(run).map_err(failed)?;
    Ok(Api { path })
}

/// Those who find no place wait in front of the socket, and cost nothing there.
async fn accept(listener: UnixListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    // Who is too slow is cut off, whatever was under way.
                    let _ = timeout(CONNECTION_MAX, converse(stream, router)).await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One question and its answer.
async fn converse(stream: UnixStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that breaks off is its own business.
    let _ = served.await;
}

fn router(requests: Sender<Request>) -> Router {
    let reload = get(|state| ask(state, true)).post(|state| ask(state, false));
    let bans = get(|state| order(state, Ok(Order::List)))
        .post(|state, body: Bytes| order(state, wanted(&body, |text| text.ban().map(Order::Add))))
        .delete(|state, body: Bytes| order(state, wanted(&body, |text| text.whom().map(Order::Lift))));
    Router::new()
        .route(RELOAD, reload)
        .route(BANS, bans)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(requests)
}

fn wanted(body: &[u8], order: impl Fn(&BanText) -> Result<Order, String>) -> Result<Order, String> {
    let text = serde_json::from_slice(body).map_err(|error| format!("the body is no ban: {error}"))?;
    order(&text)
}

/// The bans that hold after it.
async fn order(State(requests): State<Sender<Request>>, order: Result<Order, String>) -> Response {
    let order = match order {
        Ok(order) => order,
        Err(problem) => return respond(StatusCode::BAD_REQUEST, &json!({ "problems": [problem] })),
    };
    let (reply, answer) = oneshot::channel();
    let reply = Box::new(move |outcome| drop(reply.send(outcome)));
    if requests.try_send(Request::Bans { order, reply }).is_err() {
        return busy("the broker has other requests to carry out first, or it ends");
    }
    match answer.await {
        Ok(Ok(bans)) => {
            let bans: Vec<BanText> = bans.iter().map(BanText::of).collect();
            respond(StatusCode::OK, &json!({ "bans": bans }))
        }
        Ok(Err(problem)) => respond(StatusCode::CONFLICT, &json!({ "problems": [problem] })),
        Err(_) => busy("the broker ends"),
    }
}

/// GET says what POST would change.
async fn ask(State(requests): State<Sender<Request>>, is_plan: bool) -> Response {
    let (reply, answer) = oneshot::channel();
    // Who has asked may be gone.
    let reply = Box::new(move |outcome| drop(reply.send(outcome)));
    if requests.try_send(Request::Reload { is_plan, reply }).is_err() {
        return busy("the broker has other requests to carry out first, or it ends");
    }
    match answer.await {
        Ok(outcome) => {
            let status = if outcome.is_ok() { StatusCode::OK } else { StatusCode::CONFLICT };
            respond(status, &answer_of(is_plan, &outcome))
        }
        Err(_) => busy("the broker ends"),
    }
}

fn answer_of(is_plan: bool, outcome: &Outcome) -> Value {
    let pid = std::process::id();
    match outcome {
        Ok(told) => json!({
            "outcome": if is_plan { "planned" } else { "done" },
            "pid": pid,
            "changes": told.changes,
            "waiting": told.waiting,
            "warnings": told.warnings,
        }),
        Err(problems) => json!({ "outcome": "refused", "pid": pid, "problems": problems }),
    }
}

fn busy(why: &str) -> Response {
    respond(StatusCode::SERVICE_UNAVAILABLE, &json!({ "outcome": "unavailable", "problems": [why] }))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The path by which a reload is asked for.
pub const RELOAD: &str = "/v1/reload";
/// That of bans: GET lists them, POST adds one, DELETE lifts one.
pub const BANS: &str = "/v1/bans";
/// A ban is small; its longest part is a client id.
const BODY_BYTES_MAX: usize = 256 << 10;

const NAME: &str = "control.sock";
/// Those who are served at a time.
pub const CONNECTIONS_MAX: usize = 8;
const HEAD_MAX: Duration = Duration::from_secs(5);
/// The least that hyper takes.
const HEAD_BYTES_MAX: usize = 8192;
/// A reload reads files, and hashes of passwords may be many.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::{fs::PermissionsExt as _, net::UnixStream as StdStream},
    };

    use super::*;
    use crate::renewal::Told;

    /// A socket behind which somebody answers as the control thread would.
    fn served(name: &str) -> Api {
        let path = std::env::temp_dir().join(format!("iothub-api-{name}-{}", std::process::id()));
        let mut settings = Settings::default();
        settings.control.socket = path.display().to_string();
        let (requests, received) = crossbeam_channel::bounded::<Request>(4);
        thread::spawn(move || {
            for request in received {
                match request {
                    Request::Reload { is_plan: true, reply } => {
                        reply(Ok(Told { changes: vec!["a \"change\"".to_owned()], ..Told::default() }));
                    }
                    Request::Reload { is_plan: false, reply } => {
                        reply(Err(vec!["users:3: wrong".to_owned()]))
                    }
                    Request::Bans { order: Order::Add(ban), reply } => reply(Ok(vec![ban])),
                    Request::Bans { reply, .. } => reply(Err("there is no such ban".to_owned())),
                }
            }
        });
        start(&settings, &requests).expect("served").expect("a socket")
    }

    fn ask(api: &Api, request: &str) -> String {
        let mut stream = StdStream::connect(&api.path).expect("connected");
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer
    }

    #[test]
    fn a_plan_is_got_and_a_reload_is_posted() {
        let api = served("answers");
        let mode = std::fs::metadata(&api.path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let planned = ask(&api, "GET /v1/reload HTTP/1.1\r\nHost: iothub\r\n\r\n");
        assert!(planned.starts_with("HTTP/1.1 200 "), "{planned}");
        assert!(
            planned.contains(r#""changes":["a \"change\""]"#) && planned.contains("planned"),
            "{planned}"
        );
        let refused = ask(&api, "POST /v1/reload HTTP/1.1\r\nHost: iothub\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 409 ") && refused.contains("users:3: wrong"), "{refused}");
        let unknown = ask(&api, "GET / HTTP/1.1\r\nHost: iothub\r\n\r\n");
        assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
        let path = api.path.clone();
        drop(api);
        assert!(!path.exists());
    }

    #[test]
    fn bans_are_posted_and_deleted() {
        let api = served("bans");
        let said = |method: &str, body: &str| {
            let head =
                format!("{method} {BANS} HTTP/1.1\r\nHost: iothub\r\nContent-Length: {}\r\n\r\n", body.len());
            ask(&api, &(head + body))
        };
        let added = said("POST", r#"{"user":"ada"}"#);
        assert!(
            added.starts_with("HTTP/1.1 200 ") && added.ends_with(r#"{"bans":[{"user":"ada"}]}"#),
            "{added}"
        );
        let lifted = said("DELETE", r#"{"user":"ada"}"#);
        assert!(lifted.starts_with("HTTP/1.1 409 ") && lifted.contains("no such ban"), "{lifted}");
        for wrong in ["", "[]", r#"{"users":"ada"}"#, r#"{"address":"x"}"#, r#"{"user":"a","until":"soon"}"#]
        {
            let refused = said("POST", wrong);
            assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("problems"), "{refused}");
        }
    }

    #[test]
    fn those_who_say_nothing_hold_their_places_for_a_moment_only() {
        let api = served("silent");
        let silent: Vec<StdStream> =
            (0..CONNECTIONS_MAX).map(|_| StdStream::connect(&api.path).expect("connected")).collect();
        let answer = ask(&api, "GET /v1/reload HTTP/1.1\r\nHost: iothub\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(silent);
    }

    #[test]
    fn the_configuration_says_where_the_socket_is() {
        let mut settings = Settings::default();
        assert_eq!(places(&settings)[0], Path::new("/run/iothub/control.sock"));
        settings.store.dir = "/data".to_owned();
        assert_eq!(places(&settings), [Path::new("/data/control.sock")]);
        settings.control.socket = "/here".to_owned();
        assert_eq!(places(&settings), [Path::new("/here")]);
        settings.control.socket = String::new();
        assert!(places(&settings).is_empty());
    }
}
