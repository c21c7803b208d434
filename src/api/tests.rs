//! The API over its sockets, with somebody behind it who answers as the control thread would.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use shard::{Cause, FreshLoss, Loss, ShardId};
use token_list::TokenList;

use super::*;
use crate::{bans::Order, config::Loaded, events::Filter, renewal::Told};

struct Served {
    api: Api,
    port: SocketAddr,
    folder: PathBuf,
    admin: String,
    viewer: String,
    questions: Handle,
    /// Requests that came to the control thread.
    asked: Arc<AtomicUsize>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn settings(folder: &Path, connections_max: u64) -> Settings {
    let mut settings = Settings::default();
    settings.control.socket = folder.join("control.sock").display().to_string();
    settings.api.tokens_file = folder.join("tokens").display().to_string();
    settings.api.listen = Vec::new();
    settings.api.max_connections = connections_max;
    settings
}

fn answering(asked: Arc<AtomicUsize>) -> Sender<Request> {
    let (requests, received) = crossbeam_channel::bounded::<Request>(4);
    thread::spawn(move || {
        for request in received {
            asked.fetch_add(1, Ordering::Relaxed);
            match request {
                Request::Reload { is_plan: true, reply, .. } => {
                    reply(Ok(Told { changes: vec!["a \"change\"".to_owned()], ..Told::default() }));
                }
                Request::Reload { is_plan: false, by, config, reply } => {
                    let config = config.map_or(String::new(), |path| path.display().to_string());
                    reply(Err(vec![format!("users:3: wrong ({by}){config}")]));
                }
                Request::Bans { order: Order::Add(ban), reply, .. } => reply(Ok([ban].into())),
                Request::Bans { reply, .. } => reply(Err("there is no such ban".to_owned())),
                Request::Users { reply, .. } => reply(Ok(Told::default())),
                Request::Drain { .. } => {}
            }
        }
    });
    requests
}

/// As `Api::open` does it, without the shards of a broker.
fn served(name: &str, connections_max: u64) -> Served {
    let folder = std::env::temp_dir().join(format!("iothub-api-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir(&folder).expect("a folder");
    let settings = settings(&folder, connections_max);
    let mut list = TokenList::default();
    let admin = list.add("boss", token_list::Role::Admin).expect("made");
    let viewer = list.add("looker", token_list::Role::Viewer).expect("made");
    let file = identity::Replacement::begin(Path::new(&settings.api.tokens_file)).expect("begun");
    file.finish(&list.bytes()).expect("written");
    let asked = Arc::new(AtomicUsize::new(0));
    let context = Context::new(&settings, answering(Arc::clone(&asked)), None);
    let wanted = config::Api { listen: vec!["127.0.0.1:0".to_owned()], ..settings.api.clone() };
    let ports = port::bind(&wanted, false).expect("bound");
    let shown = ports[0].shown(false);
    let port = shown.strip_prefix("http://").and_then(|port| port.parse().ok()).expect("an address");
    let questions = start_thread("questions").expect("started");
    let router = operation::router(&context, &questions);
    let event_loop = start_thread("api").expect("started");
    let mut api =
        Api { context, router, event_loop, places: vec![shown.clone()], is_default: false, socket: None };
    api.serve(ports).expect("served");
    drop(api.open_tokens(&settings).expect("opened"));
    api.open_socket(&settings).expect("opened");
    Served { api, port, folder, admin: admin.to_string(), viewer: viewer.to_string(), questions, asked }
}

fn opened(name: &str) -> Served {
    let served = served(name, 4);
    served.api.context.serve();
    served
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.port).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream
    }

    /// One question by TCP.
    fn ask(&self, method: &str, path: &str, token: &str, more: &str, body: &str) -> String {
        let length = body.len();
        let token =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}{more}Content-Length: {length}\r\n\r\n",
            self.port
        );
        answer(self.connect(), &(head + body))
    }

    /// One at the control socket.
    fn ask_control(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: iothub\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let stream = UnixStream::connect(self.folder.join("control.sock")).expect("connected");
        answer(stream, &(head + body))
    }
}

fn answer(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// A question that needs no shard.
const CALLER: &str = "/v1/caller";
const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn at_the_control_socket_a_plan_is_got_and_a_reload_is_posted_without_a_token() {
    let served = opened("control");
    let path = served.folder.join("control.sock");
    assert_eq!(std::fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
    let planned = served.ask_control("GET", "/v1/reload", "");
    assert_eq!(status(&planned), "200", "{planned}");
    assert!(planned.contains(r#""changes":["a \"change\""]"#) && planned.contains("planned"), "{planned}");
    let refused = served.ask_control("POST", "/v1/reload", "");
    assert!(status(&refused) == "409" && refused.contains("users:3: wrong (iothub reload)"), "{refused}");
    assert_eq!(status(&served.ask_control("GET", "/v2", "")), "404");
    let refused = served.ask_control("POST", "/v1/reload", r#"{"config":"/other.toml"}"#);
    assert!(status(&refused) == "409" && refused.contains("(iothub reload)/other.toml"), "{refused}");
    assert_eq!(status(&served.ask_control("POST", "/v1/reload", r#"{"confih":"/other.toml"}"#)), "400");
    assert_eq!(status(&served.ask_control("PUT", "/v1/reload", "")), "405");
    let Served { api, .. } = &served;
    assert_eq!(api.socket.as_deref(), Some(path.as_path()));
    drop(served);
    assert!(!path.exists());
}

#[test]
fn questions_that_take_their_time_hold_up_neither_supervisors_nor_orders() {
    let served = opened("beside");
    let (release, held) = std::sync::mpsc::channel::<()>();
    // As a thousand rows do, for a moment.
    served.questions.spawn(async move { held.recv().expect("released") });
    thread::scope(|scope| {
        let question = scope.spawn(|| served.ask("GET", CALLER, &served.viewer, "", ""));
        for path in ["/livez", "/readyz"] {
            assert_eq!(status(&served.ask("GET", path, "", "", "")), "200");
        }
        let ban = served.ask("POST", BANS, &served.admin, JSON, r#"{"user":"ada"}"#);
        assert_eq!(status(&ban), "200", "{ban}");
        assert_eq!(status(&served.ask("GET", RELOAD, &served.admin, "", "")), "200");
        assert!(!question.is_finished());
        release.send(()).expect("it waits");
        assert_eq!(status(&question.join().expect("answered")), "200");
    });
}

#[test]
fn bans_are_posted_and_deleted() {
    let served = opened("bans");
    let added = served.ask_control("POST", BANS, r#"{"user":"ada"}"#);
    assert!(
        status(&added) == "200" && added.ends_with(r#"{"bans":[{"user":"ada"}],"cursor":null}"#),
        "{added}"
    );
    let lifted = served.ask_control("DELETE", BANS, r#"{"user":"ada"}"#);
    assert!(status(&lifted) == "409" && lifted.contains("no such ban"), "{lifted}");
    for wrong in ["", "[]", r#"{"users":"ada"}"#, r#"{"address":"x"}"#, r#"{"user":"a","until":"soon"}"#] {
        let refused = served.ask_control("POST", BANS, wrong);
        assert!(status(&refused) == "400" && refused.contains("problems"), "{wrong}: {refused}");
    }
    // One byte too many: whoever sends more may find the connection closed before it has read the answer.
    let mut large = r#"{"user":""#.to_owned();
    large.push_str(&"a".repeat((1 << 20) + 1 - large.len()));
    let refused = served.ask_control("POST", BANS, &large);
    assert!(status(&refused) == "413" && refused.contains("problems"), "{}", &refused[..200]);
}

#[test]
fn over_tcp_a_token_and_its_role_say_what_may_be_asked() {
    let served = opened("roles");
    let nobody = served.ask("GET", CALLER, "", "", "");
    assert!(status(&nobody) == "401" && nobody.contains("www-authenticate: Bearer"), "{nobody}");
    assert_eq!(status(&served.ask("GET", CALLER, "iothub_wrong", "", "")), "401");
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "200");
    let ban = r#"{"user":"ada"}"#;
    let refused = served.ask("POST", BANS, &served.viewer, JSON, ban);
    assert!(
        status(&refused) == "403" && refused.contains("looker has the role viewer, and this needs operator"),
        "{refused}"
    );
    assert_eq!(status(&served.ask("POST", BANS, &served.admin, JSON, ban)), "200");
    assert_eq!(status(&served.ask("GET", RELOAD, &served.viewer, "", "")), "403");
    let by = served.ask("POST", RELOAD, &served.admin, JSON, "");
    assert!(by.contains("wrong (API token boss from 127.0.0.1:"), "{by}");
    for path in ["/livez", "/readyz"] {
        assert_eq!(status(&served.ask("GET", path, "", "", "")), "200");
    }
    // Removed tokens are refused at once.
    std::fs::remove_file(served.folder.join("tokens")).expect("removed");
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "401");
}

#[test]
fn many_wrong_tokens_are_told_to_wait_and_a_right_one_is_not() {
    let served = opened("guesses");
    let answers: Vec<String> = (0..7).map(|_| served.ask("GET", CALLER, "iothub_guess", "", "")).collect();
    let counts: Vec<&str> = answers.iter().map(|answer| status(answer)).collect();
    assert_eq!(counts, ["401", "401", "401", "401", "401", "429", "429"]);
    let wait = answers[6].split_once("retry-after: ").and_then(|(_, rest)| rest.split_once('\r'));
    let wait: u64 = wait.expect("it says how long").0.parse().expect("seconds");
    assert!((8..=10).contains(&wait), "{}", answers[6]);
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "200");
}

#[test]
fn a_page_of_the_web_cannot_ask() {
    let served = opened("pages");
    let ask = |host: &str, more: &str| {
        let request = format!(
            "GET {RELOAD} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{more}\r\n",
            served.admin
        );
        answer(served.connect(), &request)
    };
    let own = served.port.to_string();
    assert_eq!(status(&ask(&own, "")), "200");
    assert_eq!(status(&ask(&own, &format!("Origin: http://{own}\r\n"))), "200");
    let rebound = ask("evil.example:9883", "");
    assert!(status(&rebound) == "403" && rebound.contains("api.hosts"), "{rebound}");
    let foreign = ask(&own, "Origin: https://evil.example\r\n");
    assert!(status(&foreign) == "403" && !foreign.contains("access-control"), "{foreign}");
    let form = served.ask("POST", BANS, &served.admin, "Content-Type: text/plain\r\n", r#"{"user":"ada"}"#);
    assert!(status(&form) == "415" && form.contains("application/json"), "{form}");
    assert_eq!(served.asked.load(Ordering::Relaxed), 2, "only what was allowed came through");
}

#[test]
fn a_head_that_can_be_read_in_two_ways_is_refused_and_ends_its_connection() {
    let served = opened("heads");
    let (host, token) = (format!("Host: {}\r\n", served.port), format!("Bearer {}", served.admin));
    let token_line = format!("Authorization: {token}\r\n");
    let fine = format!("{host}{token_line}{JSON}");
    // Each ends with a whole question of its own, which must not be answered where the one before it has an unclear end.
    let second = format!("GET /livez HTTP/1.1\r\n{host}\r\n");
    let cases = [
        ("two hosts", format!("{fine}{host}Content-Length: 0\r\n\r\n")),
        ("two hosts that differ", format!("{fine}Host: evil.example\r\nContent-Length: 0\r\n\r\n")),
        ("a host in capitals", format!("{fine}HOST: {}\r\nContent-Length: 0\r\n\r\n", served.port)),
        ("two tokens", format!("{fine}{token_line}Content-Length: 0\r\n\r\n")),
        ("a token before", format!("Authorization: Bearer x\r\n{fine}Content-Length: 0\r\n\r\n")),
        ("chunks", format!("{fine}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        (
            "a length, then chunks",
            format!("{fine}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks, then a length",
            format!("{fine}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunks and the same length as they have",
            format!("{fine}Transfer-Encoding: chunked\r\nContent-Length: 12\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"),
        ),
        ("chunks that are none", format!("{fine}Transfer-Encoding: chunked, identity\r\n\r\n")),
        ("chunks of an old version", "".to_owned()),
        ("two lengths", format!("{fine}Content-Length: 0\r\nContent-Length: 2\r\n\r\n")),
        ("a list of lengths", format!("{fine}Content-Length: 0, 2\r\n\r\n")),
        ("a length with a sign", format!("{fine}Content-Length: +0\r\n\r\n")),
        ("a blank before the colon", format!("{fine}Content-Length : 0\r\n\r\n")),
        ("a folded line", format!("{fine}X: a\r\n b\r\nContent-Length: 0\r\n\r\n")),
    ];
    for (what, head) in cases {
        let request = match head.is_empty() {
            false => format!("POST {RELOAD} HTTP/1.1\r\n{head}{second}"),
            true => format!("POST {RELOAD} HTTP/1.0\r\n{fine}Transfer-Encoding: chunked\r\n\r\n{second}"),
        };
        let answered = answer_until_reset(served.connect(), &request);
        assert_eq!(status(&answered), "400", "{what}: {answered}");
        assert_eq!(answered.matches("HTTP/1.1 ").count(), 1, "{what}: {answered}");
    }
    assert_eq!(served.asked.load(Ordering::Relaxed), 0, "nothing of it came through");
    // The same without anything that is unclear.
    let request = format!("POST {RELOAD} HTTP/1.1\r\n{fine}Content-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&answer(served.connect(), &request)), "409");
    let control = format!("GET {CALLER} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let stream = UnixStream::connect(served.folder.join("control.sock")).expect("connected");
    assert_eq!(status(&answer(stream, &control)), "400");
}

/// What comes before the end: bytes that nobody reads any more make it a reset.
fn answer_until_reset(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("written");
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
    }
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_broker_that_starts_or_drains_says_so() {
    let served = served("stages", 4);
    assert_eq!(status(&served.ask("GET", "/livez", "", "", "")), "200");
    let starting = served.ask("GET", "/readyz", "", "", "");
    assert!(status(&starting) == "503" && starting.contains("the broker starts"), "{starting}");
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "503");
    assert_stands(&served, "starting", 0, 0);
    served.api.context.serve();
    assert_eq!(status(&served.ask("GET", "/readyz", "", "", "")), "200");
    assert_stands(&served, "serving", 1, 0);
    served.api.context.lose_store();
    assert!(served.ask("GET", "/readyz", "", "", "").contains("the store has failed"));
    assert_stands(&served, "serving", 0, 1);
    served.api.context.drain();
    assert_stands(&served, "draining", 0, 1);
    let draining = served.ask("POST", RELOAD, &served.admin, JSON, "");
    assert!(status(&draining) == "503" && draining.contains("the broker drains"), "{draining}");
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "200");
}

/// What `/metrics` says of it, which always answers.
fn assert_stands(served: &Served, stage: &str, ready: u8, failed: u8) {
    let page = served.ask("GET", "/metrics", "", "", "");
    assert_eq!(status(&page), "200", "{page}");
    for line in [
        format!("iothub_stage{{stage=\"{stage}\"}} 1"),
        format!("iothub_ready {ready}"),
        format!("iothub_store_failed {failed}"),
    ] {
        assert!(page.lines().any(|other| other == line), "{line}: {page}");
    }
}

#[test]
fn what_listeners_have_missed_stands_on_the_page_of_metrics() {
    let served = opened("missed");
    let events = served.api.context.events();
    let place = events.listen(Filter::default());
    let loss = |n: u64| Loss {
        cause: Cause::Expired,
        topic: Some(n.to_string().into()),
        count: 1,
        first_ago: Duration::ZERO,
        last_ago: Duration::ZERO,
    };
    let losses: Vec<FreshLoss> = (0..20_000).map(|n| FreshLoss { client_id: None, loss: loss(n) }).collect();
    events.put_losses(ShardId(0), &losses);
    let text: String = std::iter::from_fn(|| events.read(place, Waker::noop())).collect();
    let missed = losses.len() - text.matches("event: dropped").count();
    assert!(missed > 0 && text.contains(&format!("{{\"event\":\"lost\",\"count\":{missed}}}")), "{missed}");
    let page = served.ask("GET", "/metrics", "", "", "");
    assert!(page.contains(&format!("iothub_api_missed_total{{stream=\"events\"}} {missed}\n")), "{page}");
}

#[test]
fn a_burst_of_those_who_have_a_token_is_heard_to_the_last() {
    let served = served("burst", 400);
    served.api.context.serve();
    let request = format!(
        "GET /v1/caller HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        served.port, served.viewer
    );
    let ask = |_| {
        let mut stream = served.connect();
        stream.write_all(request.as_bytes()).expect("written");
        stream
    };
    // More than could be in the hall and wait in front of it if each of them had to.
    let burst: Vec<TcpStream> = (0..350).map(ask).collect();
    for (number, stream) in burst.into_iter().enumerate() {
        let heard = answer(stream, "");
        // It is answered without a queue for questions: 503 would be for who has no seat.
        assert_eq!(status(&heard), "200", "{number}: {heard}");
    }
}

#[test]
fn those_who_say_nothing_keep_nobody_out_and_are_let_go() {
    let served = opened("silent");
    let mut silent: Vec<TcpStream> = (0..2 * GUESTS_MAX).map(|_| served.connect()).collect();
    let begun = Instant::now();
    for path in ["/livez", "/readyz"] {
        assert_eq!(status(&served.ask("GET", path, "", "", "")), "200");
    }
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "200");
    assert_eq!(status(&served.ask_control("GET", "/livez", "")), "200");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for stream in &mut silent {
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "nobody has asked");
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[test]
fn a_flood_of_connections_leaves_room_for_a_supervisor_and_for_tokens() {
    let served = opened("flood");
    let is_over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let (is_over, port) = (Arc::clone(&is_over), served.port);
            thread::spawn(move || {
                let mut held = std::collections::VecDeque::new();
                while !is_over.load(Ordering::Relaxed) {
                    held.extend(TcpStream::connect(port));
                    if held.len() > 400 {
                        held.pop_front();
                    }
                    // More than the hall holds in each tenth of a second would be a matter of the kernel's queue as well.
                    thread::sleep(Duration::from_millis(5));
                }
            })
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(status(&served.ask("GET", "/livez", "", "", "")), "200");
        assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "200");
    }
    is_over.store(true, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().expect("ended"));
}

/// Whether a connection is still answered.
fn goes_on(stream: &mut TcpStream, request: &str) -> bool {
    let mut bytes = [0; 4096];
    stream.write_all(request.as_bytes()).is_ok()
        && matches!(stream.read(&mut bytes), Ok(count @ 1..) if bytes[..count].starts_with(b"HTTP/1.1 200"))
}

#[test]
fn a_connection_lasts_as_long_as_it_likes_once_it_has_shown_a_token_and_else_not() {
    let served = opened("lasting");
    let live = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", served.port);
    let bans = format!(
        "GET {CALLER} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        served.port, served.viewer
    );
    let (mut stranger, mut known) = (served.connect(), served.connect());
    assert!(goes_on(&mut known, &bans));
    let begun = Instant::now();
    while goes_on(&mut stranger, &live) {
        assert!(goes_on(&mut known, &live), "after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never let go");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(200));
        assert!(goes_on(&mut known, &live), "after {:?}", begun.elapsed());
    }
}

#[test]
fn a_connection_takes_several_questions_and_a_head_has_its_size() {
    let served = opened("several");
    let mut stream = served.connect();
    for _ in 0..3 {
        let request = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", served.port);
        stream.write_all(request.as_bytes()).expect("written");
        let mut bytes = [0; 512];
        let count = stream.read(&mut bytes).expect("read");
        assert!(bytes[..count].starts_with(b"HTTP/1.1 200"));
    }
    let long = format!("X-Long: {}\r\n", "a".repeat(20 << 10));
    let refused = served.ask("GET", "/livez", "", &long, "");
    assert!(refused.is_empty() || status(&refused) == "431", "{refused}");
}

/// Somebody with a token who has a seat until its body has come.
fn slow(served: &Served) -> TcpStream {
    let mut stream = served.connect();
    let head = format!(
        "POST {BANS} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{JSON}Content-Length: 100\r\n\r\n{{",
        served.port, served.admin
    );
    stream.write_all(head.as_bytes()).expect("written");
    stream
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_by_others() {
    let served = opened("slow-body");
    let slow = [slow(&served), slow(&served)];
    let begun = Instant::now();
    assert_eq!(status(&served.ask("GET", CALLER, &served.viewer, "", "")), "200");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(slow);
}

#[test]
fn whoever_holds_all_seats_of_an_address_closes_neither_health_nor_the_seats_for_ever() {
    let served = opened("full");
    let mut held = [slow(&served), slow(&served), slow(&served)];
    // They are seated when whoever comes after them is.
    let begun = Instant::now();
    let refused = served.ask("GET", CALLER, &served.viewer, "", "");
    assert!(status(&refused) == "503" && refused.contains("api.max_connections"), "{refused}");
    assert!(begun.elapsed() > Duration::from_secs(4), "it waits for a seat: {:?}", begun.elapsed());
    let begun = Instant::now();
    for path in ["/livez", "/readyz", "/metrics"] {
        let answered = served.ask("GET", path, "", "", "");
        assert_eq!(status(&answered), "200", "{answered}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // One seat that comes free is enough for whoever waits.
    let waits = thread::scope(|scope| {
        let waits = scope.spawn(|| served.ask("GET", CALLER, &served.viewer, "", ""));
        held[0].shutdown(std::net::Shutdown::Both).expect("shut");
        waits.join().expect("answered")
    });
    assert_eq!(status(&waits), "200", "{waits}");
    held[1].write_all(b"}").expect("the others go on");
}

#[test]
fn a_default_address_that_is_taken_is_gone_without_and_a_named_one_is_an_error() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    let settings = config::Api { listen: vec![taken.clone()], ..config::Api::default() };
    assert!(port::bind(&settings, true).expect("gone without").is_empty());
    let error = port::bind(&settings, false).expect_err("named");
    assert!(error.starts_with(&format!("api.listen: {taken} is in use.")), "{error}");
}

#[test]
fn what_can_be_reached_needs_tls_or_a_word() {
    let load = |text: &str| -> Result<Loaded, String> {
        let variables = text.split(' ').map(|pair| pair.split_once('=').expect("a pair"));
        let variables = variables.map(|(name, value)| (format!("IOTHUB_API__{name}").into(), value.into()));
        config::load(None, variables, &config::Flags::default()).map_err(|problems| problems[0].to_string())
    };
    assert!(load("LISTEN=127.0.0.1:1,[::1]:2,localhost:3").is_ok());
    for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1", "broker.example:1"] {
        let error = load(&format!("LISTEN={open}")).expect_err(open);
        assert!(error.contains("tokens would be readable") && error.contains("api.insecure"), "{error}");
        assert!(load(&format!("LISTEN={open} INSECURE=true")).is_ok());
        assert!(load(&format!("LISTEN={open} CERTIFICATE=a PRIVATE_KEY=b")).is_ok());
    }
    assert!(load("CERTIFICATE=a").expect_err("half").contains("go together"));
}
