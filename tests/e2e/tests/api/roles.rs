//! Who may ask what: every operation that the description has, asked with each role and with none.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use e2e::api::Api;
use e2e::{PATIENCE, Process, program};
use serde_json::Value;

use super::setup;

/// What each role may ask that the one before it may not. Written here, so that an operation which is given to others changes this file too.
const VIEWER: &[&str] = &[
    "GET /v1/backup",
    "GET /v1/bans",
    "GET /v1/broker",
    "GET /v1/caller",
    "GET /v1/clients",
    "GET /v1/clients/{client_id}",
    "GET /v1/clients/{client_id}/packets",
    "GET /v1/clients/{client_id}/queue",
    "GET /v1/drops",
    "GET /v1/drops/causes",
    "GET /v1/drops/others",
    "GET /v1/drops/topics",
    "GET /v1/events",
    "GET /v1/log",
    "GET /v1/prefixes",
    "GET /v1/published",
    "GET /v1/queues",
    "GET /v1/retained",
    "GET /v1/retained/one",
    "GET /v1/roles",
    "GET /v1/shards",
    "GET /v1/subscriptions",
    "GET /v1/top",
    "GET /v1/users",
    "GET /v1/users/{user}",
    "GET /v1/why",
    "POST /v1/client",
    "POST /v1/client/packets",
    "POST /v1/client/queue",
    "POST /v1/drops",
    "POST /v1/retained",
    "POST /v1/retained/one",
    "POST /v1/why",
];
const OPERATOR: &[&str] = &[
    "DELETE /v1/bans",
    "DELETE /v1/clients/{client_id}",
    "DELETE /v1/clients/{client_id}/queue",
    "DELETE /v1/retained",
    "GET /v1/trace",
    "POST /v1/bans",
    "POST /v1/client/disconnect",
    "POST /v1/client/kick",
    "POST /v1/client/purge",
    "POST /v1/clients/{client_id}/disconnect",
    "POST /v1/publish",
    "POST /v1/retained/drop",
];
const ADMIN: &[&str] = &[
    "DELETE /v1/users/{user}",
    "GET /v1/reload",
    "PATCH /v1/users/{user}",
    "POST /v1/backup",
    "POST /v1/drain",
    "POST /v1/reload",
    "POST /v1/users",
];
/// Who asks these needs no token.
const OPEN: &[&str] = &["GET /livez", "GET /metrics", "GET /readyz", "GET /v1/openapi.json"];

/// As the description has them: `GET /v1/bans`.
fn described(api: &Api) -> Vec<String> {
    let document = api.with_token("").get("/v1/openapi.json").expect(200);
    let paths = document["paths"].as_object().unwrap().clone();
    let of_path = |(path, methods): (String, Value)| {
        let methods: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(move |method| format!("{} {path}", method.to_uppercase()))
    };
    paths.into_iter().flat_map(of_path).collect()
}

/// The status alone: some answers have no end. What is asked is wrong, so that nobody who may ask it changes anything.
fn status_of(api: &Api, operation: &str) -> u16 {
    let (method, path) = operation.split_once(' ').unwrap();
    let path = path.replace("{client_id}", "nobody").replace("{user}", "nobody");
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).unwrap();
    stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let authorization = match api.token.as_str() {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let body = r#"{"nothing": "like this"}"#;
    write!(
        stream,
        "{method} {path}?nothing=like_this HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{authorization}Connection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        api.port,
        body.len()
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{operation}: {line:?}"))
}

#[test]
fn each_role_may_ask_what_is_written_here_and_nothing_else() {
    let data = program::fresh_folder("api-roles-data");
    let dir = data.display().to_string();
    let broker = setup("api-each-role").args(["--data-dir", &dir]).start();
    let admin = Api::of(&broker);
    admin.await_ready();
    let with_role = |role: &str| {
        let mut command = program::command(program::iothub());
        command.args(["token", "add", role, "--role", role, "--data-dir", &dir]);
        let mut process = Process::start("iothub token", &mut command);
        process.succeed();
        admin.with_token(&process.out_lines()[0])
    };
    let callers = [admin.with_token(""), with_role("viewer"), with_role("operator"), admin.clone()];
    let written = [OPEN, VIEWER, OPERATOR, ADMIN];
    let mut operations = described(&admin);
    operations.sort_unstable();
    let mut known: Vec<&str> = written.into_iter().flatten().copied().collect();
    known.sort_unstable();
    assert_eq!(operations, known, "each operation is written here once");
    for (needed, operations) in written.iter().enumerate() {
        for operation in *operations {
            for (caller, api) in callers.iter().enumerate() {
                let status = status_of(api, operation);
                match (caller, needed) {
                    (0, 1..) => assert_eq!(status, 401, "{operation} without a token"),
                    _ if caller < needed => assert_eq!(status, 403, "{operation} as {caller}"),
                    _ => assert!(![401, 403, 429].contains(&status), "{operation} as {caller}: {status}"),
                }
            }
        }
    }
    assert_eq!(admin.get("/readyz").status, 200, "nobody has changed anything");
    drop(broker);
    std::fs::remove_dir_all(data).unwrap();
}
