//! A program that is asked: what it gets, what its answers mean, and what silence means.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{Secret, chain::tests::ask, http::HttpOptions};

struct Asked {
    connection: usize,
    head: String,
    body: Value,
}

/// Answers each question on any number of connections with the next of these; then not at all.
fn program(answers: Vec<(u16, &'static str)>) -> (CallOut, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/judge", listener.local_addr().expect("its address"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut silent = Vec::new();
        for (connection, stream) in listener.incoming().enumerate() {
            let stream = stream.expect("a connection");
            let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
            while let Some(asked) = question_on(&mut input, connection) {
                let Some((status, body)) = answers.next() else {
                    // Kept open: a program that hangs.
                    silent.push(stream);
                    break;
                };
                // The test may have all that it wants.
                drop(sender.send(asked));
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                (&stream).write_all(format!("{head}{body}").as_bytes()).expect("written");
            }
        }
    });
    let options = HttpOptions {
        url,
        timeout: Some(Duration::from_millis(300)),
        authorization: Some(Secret::new(b"Bearer xyz")),
        ..HttpOptions::default()
    };
    (CallOut::new(Http::new(&options).expect("a URL")), receiver)
}

fn question_on(input: &mut impl BufRead, connection: usize) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(Asked { connection, head, body: serde_json::from_slice(&body).expect("JSON") })
}

fn reason(judgement: &Judgement) -> Option<Reason> {
    match judgement {
        Judgement::Reject(rejection) => Some(rejection.reason),
        _ => None,
    }
}

#[test]
fn the_question_says_what_the_client_brought_and_keeps_its_connection() {
    let (call_out, asked) = program(vec![(204, ""), (204, "")]);
    let judgement = call_out.judge(&ask("[2001:db8::1]:5", Some(("al\"ice", "p\\ä\n"))), 0);
    let Judgement::Accept(identity) = judgement else { panic!("let in") };
    assert_eq!(identity.user.as_deref(), Some("al\"ice"));
    let first = asked.recv().expect("asked");
    let expected = json!({
        "client_id": "client", "user": "al\"ice", "password": "p\\ä\n", "listener": "default",
        "address": "2001:db8::1", "version": 5, "certificate": null,
    });
    assert_eq!(first.body, expected);
    assert!(
        first.head.starts_with("post /judge http/1.1\r\n")
            && first.head.contains("authorization: bearer xyz\r\n")
    );
    let Judgement::Accept(identity) = call_out.judge(&ask("192.0.2.1:5", None), 0) else { panic!("let in") };
    let second = asked.recv().expect("asked");
    assert_eq!((identity.user, second.connection), (None, first.connection));
    assert_eq!(second.body["password"], Value::Null);
}

#[test]
fn seven_questions_share_one_connection_whatever_is_answered() {
    let answers = [(204, ""), (403, "{}"), (200, r#"{"result":"ignore"}"#), (500, "out of order")];
    let (call_out, asked) = program(answers.into_iter().cycle().take(7).collect());
    for _ in 0..7 {
        call_out.judge(&ask("192.0.2.1:5", Some(("alice", "x"))), 0);
    }
    let connections: Vec<usize> = asked.try_iter().map(|asked| asked.connection).collect();
    assert_eq!(connections, [0; 7]);
}

#[test]
fn an_answer_can_say_who_it_is_and_what_it_may() {
    let (call_out, _asked) = program(vec![
        (
            200,
            r#"{"result":"allow","user":"bob","roles":["r"],"permissions":[{"allow":"readwrite","topics":"a"}],"expires_at":9}"#,
        ),
        (200, r#"{"result":"allow","expires_at":9}"#),
        (200, r#"{"result":"ignore"}"#),
        (200, r#"{"result":"allow","permissions":[{"allow":"all","topics":"a"}]}"#),
    ]);
    let asked = ask("192.0.2.1:5", Some(("alice", "x")));
    let Judgement::Accept(identity) = call_out.judge(&asked, 8_999) else { panic!("let in") };
    assert_eq!((identity.user.as_deref(), identity.expires_at_unix_ms), (Some("bob"), Some(9_000)));
    assert_eq!(identity.roles.len(), 1);
    assert_eq!(identity.permits.expect("some").text(0), Some("allow readwrite on a"));
    assert_eq!(reason(&call_out.judge(&asked, 9_000)), Some(Reason::NotAuthorized));
    assert!(matches!(call_out.judge(&asked, 0), Judgement::Pass));
    assert_eq!(
        reason(&call_out.judge(&asked, 0)),
        Some(Reason::ServerUnavailable),
        "rules that nobody understands"
    );
}

#[test]
fn no_and_no_answer_are_two_things_and_neither_lets_anybody_in() {
    let no = Some(Reason::BadUserNameOrPassword);
    let unavailable = Some(Reason::ServerUnavailable);
    let answers = [
        (200, r#"{"result":"deny"}"#, no),
        (401, "", no),
        (403, "{}", no),
        (500, r#"{"result":"allow"}"#, unavailable),
        (302, "", unavailable),
        (200, "", unavailable),
        (200, r#"{"result":"yes"}"#, unavailable),
        (200, r#"{"result":"allow","roles":[1]}"#, unavailable),
        (200, r#"{"result":"allow","expires_at":"soon"}"#, unavailable),
        (200, r#"[]"#, unavailable),
        (200, r#"{"result":"allow","user":""}"#, unavailable),
        (200, r#"{"result":"allow","user":"bob\u0000\nadmin"}"#, unavailable),
    ];
    let (call_out, _asked) = program(answers.iter().map(|(status, body, _)| (*status, *body)).collect());
    for (status, body, expected) in answers {
        let judgement = call_out.judge(&ask("192.0.2.1:5", Some(("alice", "x"))), 0);
        assert_eq!(reason(&judgement), expected, "{status} {body}");
    }
}

#[test]
fn silence_ends_after_its_time() {
    let (call_out, _asked) = program(Vec::new());
    let begin = Instant::now();
    let judgement = call_out.judge(&ask("192.0.2.1:5", Some(("alice", "x"))), 0);
    assert_eq!(reason(&judgement), Some(Reason::ServerUnavailable));
    assert!(begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < Duration::from_secs(5));
    let options = HttpOptions { url: "http://127.0.0.1:1/".to_owned(), ..HttpOptions::default() };
    let nobody = CallOut::new(Http::new(&options).expect("a URL"));
    assert_eq!(reason(&nobody.judge(&ask("192.0.2.1:5", None), 0)), Some(Reason::ServerUnavailable));
}

#[test]
fn a_password_that_is_no_text_is_refused_without_a_question() {
    let (call_out, asked) = program(vec![(204, "")]);
    let binary = Ask { password: Some(Secret::new(b"\xff")), ..ask("192.0.2.1:5", Some(("alice", "x"))) };
    assert_eq!(reason(&call_out.judge(&binary, 0)), Some(Reason::BadUserNameOrPassword));
    assert!(asked.try_recv().is_err());
}
