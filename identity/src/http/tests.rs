//! What can be asked and what cannot, and whom a server has to be known by.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process, thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;

#[test]
fn what_cannot_be_asked_is_told_at_once() {
    let http = |url: &str| Http::new(&HttpOptions { url: url.to_owned(), ..HttpOptions::default() });
    for url in ["", "ftp://a/b", "http://", "https:///x", "example.com", "http://a b/"] {
        assert!(matches!(http(url), Err(HttpError::Url(_))), "{url}");
    }
    for url in ["http://anna:x@a/", "https://x@a?b", "ftp://anna:x@a"] {
        assert!(matches!(http(url), Err(HttpError::Credentials)), "{url}");
    }
    assert!(http("http://a/@b").is_ok());
    let with = |ca_file: &str| {
        let ca_file = Some(ca_file.into());
        Http::new(&HttpOptions { url: "https://a/".to_owned(), ca_file, ..HttpOptions::default() })
    };
    assert!(matches!(with("/nowhere/at/all"), Err(HttpError::File(FileError::Unreadable { .. }))));
    assert!(matches!(with("/dev/null"), Err(HttpError::File(FileError::NoFile { .. }))));
    assert!(matches!(with("Cargo.toml"), Err(HttpError::NoCertificate { .. })), "a file without any");
    let authorization = Some(Secret::new(b"a\r\nb"));
    let options = HttpOptions { url: "http://a/".to_owned(), authorization, ..HttpOptions::default() };
    assert!(matches!(Http::new(&options), Err(HttpError::Authorization)));
}

#[test]
fn a_server_that_hangs_is_told_with_the_time_it_had_and_the_key_that_says_so() {
    // The kernel takes the connection, and nobody reads from it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("its address"));
    let told = |timeout_key| {
        let timeout = Some(Duration::from_millis(10));
        let options = HttpOptions { url: url.clone(), timeout, timeout_key, ..HttpOptions::default() };
        Http::new(&options).expect("a URL").get().expect_err("nobody answers")
    };
    assert_eq!(told(Some("a.key")), format!("{url} did not answer within 0.01 seconds (a.key)"));
    assert_eq!(told(None), format!("{url} did not answer within 0.01 seconds"));
}

/// Answers each connection with the next of these statuses, and the last of all those that come after.
fn server_of(statuses: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for (stream, status) in listener.incoming().zip(statuses) {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).expect("a head");
            }
            if head.starts_with("POST ") {
                stream.read_exact(&mut [0; 2]).expect("a body");
            }
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).expect("written");
        }
    });
    url
}

#[test]
fn what_becomes_of_questions_is_counted_by_outcome() {
    static CALL_OUT: Questions = Questions::new();
    static KEYS: Questions = Questions::new();
    let http = |url: &str, questions: &'static Questions| {
        let timeout = Some(Duration::from_millis(200));
        let options = HttpOptions {
            url: url.to_owned(),
            timeout,
            questions: Some(questions),
            ..HttpOptions::default()
        };
        Http::new(&options).expect("a URL")
    };
    // What says no has answered; what cannot say has not.
    let program = http(&server_of(&["204", "403", "500", "502"]), &CALL_OUT);
    let statuses = [(); 4].map(|()| program.post_json(b"{}").expect("an answer").0);
    assert_eq!(statuses, [204, 403, 500, 502]);
    assert_eq!(CALL_OUT.asked(), Asked { answered: 2, unanswered: 0, failed: 2 });
    let keys = http(&server_of(&["200", "404"]), &KEYS);
    assert!(keys.get().is_ok() && keys.get().is_err());
    http("http://127.0.0.1:1/", &KEYS).get().expect_err("nobody listens there");
    // The kernel takes the connection, and nobody reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("its address"));
    http(&url, &KEYS).get().expect_err("nobody answers");
    assert_eq!(KEYS.asked(), Asked { answered: 1, unanswered: 1, failed: 2 });
}

#[test]
fn what_stands_behind_a_question_mark_is_shown_to_nobody() {
    let url = "http://127.0.0.1:1/keys?token=quiet#quiet".to_owned();
    let http = Http::new(&HttpOptions { url, ..HttpOptions::default() }).expect("a URL");
    let shown = [
        http.get().expect_err("nobody listens there"),
        http.post_json(b"{}").expect_err("nobody listens there"),
        format!("{http:?} {}", http.shown()),
        Http::new(&HttpOptions { url: "ftp://a?quiet".to_owned(), ..HttpOptions::default() })
            .expect_err("no URL of ours")
            .to_string(),
    ];
    assert!(shown.iter().all(|text| !text.contains("quiet")), "{shown:?}");
    assert!(shown[0].contains("http://127.0.0.1:1/keys: "), "{shown:?}");
}

/// A server with a certificate of its own making, which is given as PEM. Answers whoever gets through the handshake.
fn server() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate with its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}/keys", listener.local_addr().expect("its address").port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream.expect("a connection")));
            let mut head = String::new();
            // A client that does not know us ends the handshake.
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {}
            if head.starts_with("GET /keys ") {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.get_mut().write_all(answer).expect("written");
            }
        }
    });
    (url, made.cert.pem())
}

#[test]
fn a_server_is_known_by_a_certificate_that_somebody_trusted_has_signed() {
    let (url, pem) = server();
    let (_, other_pem) = server();
    let ask = |name: &str, pem: &str| {
        let path = env::temp_dir().join(format!("iothub-http-{}-{name}.pem", process::id()));
        fs::write(&path, pem).expect("a file");
        let options = HttpOptions { url: url.clone(), ca_file: Some(path.clone()), ..HttpOptions::default() };
        let http = Http::new(&options).expect("a URL and a certificate");
        fs::remove_file(path).expect("removed");
        http.get()
    };
    assert_eq!(ask("right", &pem), Ok(b"{}".to_vec()));
    let refused = ask("wrong", &other_pem).expect_err("another's certificate");
    assert!(refused.to_ascii_lowercase().contains("certificate"), "{refused}");
}
