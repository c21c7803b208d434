//! Clients that are not let in, and two with one client id: every command that is asked about a client tells of it.

use client::Options;
use e2e::{Link, Process, Setup, program, v5};

use super::answers::{ask, await_answer, has, with_socket};

#[test]
fn who_is_not_let_in_is_told_of_wherever_a_client_is_asked_about() {
    let (setup, socket) = with_socket("api-refused");
    let broker = setup.variable("IOTHUB_AUTHENTICATION__ANONYMOUS", "never").start();
    let ids = ["badpw-1", "badpw-2", "badpw-3", "badpw-4"];
    for client_id in ids.repeat(3) {
        assert!(Link::try_connect(broker.port, v5(client_id)).is_err(), "it says nothing of a user");
    }
    broker.await_counter("refused_connect", 12);
    for id in ids {
        let why = ask(&socket, &["why", "--client", id, "--topic", "t"]);
        assert_eq!(why.code, Some(1), "{:?}", why.lines);
        let place = format!("[iothub ctl events --kind refused -i {id} --socket {}]", socket.display());
        assert!(
            has(&why, "- let_in") && has(&why, ", 3 times, the last ") && has(&why, &place),
            "{:?}",
            why.lines
        );
        assert!(has(&why, " ago, from 127.0.0.1"), "{:?}", why.lines);
        let client = ask(&socket, &["ctl", "client", id]);
        assert_eq!(client.code, Some(1), "{:?}", client.lines);
        assert!(has(&client, "and no session of one: it is not let in: "), "{:?}", client.lines);
        assert!(has(&client, &format!("see also: {}", &place[1..place.len() - 1])), "{:?}", client.lines);
        let trace = ask(&socket, &["trace", id]);
        assert_eq!(trace.code, Some(0), "{:?}", trace.lines);
        assert!(
            has(&trace, "it is not let in: ") && has(&trace, "no packet is remembered"),
            "{:?}",
            trace.lines
        );
    }
    let nobody = ask(&socket, &["ctl", "client", "nobody"]);
    assert!(has(&nobody, "no session of one") && !has(&nobody, "let in"), "{:?}", nobody.lines);
}

/// With one user and his password.
fn with_users(setup: Setup) -> Setup {
    let users = setup.folder().join("users");
    let mut command = program::command(program::iothub());
    command.args(["passwd", "-c", "-b", "-H", "sha512"]).arg(&users).args(["sensor", "geheim"]);
    Process::start("iothub passwd", &mut command).succeed();
    setup.variable("IOTHUB_AUTHENTICATION__PASSWORD_FILE", &users)
}

fn login(client_id: &str, password: &str) -> Options {
    Options { username: Some("sensor".into()), password: Some(password.into()), ..v5(client_id) }
}

#[test]
fn a_wrong_password_is_told_also_where_its_client_has_to_wait() {
    let (setup, socket) = with_socket("api-badpw");
    let broker = with_users(setup).start();
    for _ in 0..10 {
        assert!(Link::try_connect(broker.port, login("badpw", "guess")).is_err(), "the password is wrong");
    }
    broker.await_counter("refused_connect", 10);
    for question in
        [&["why", "--client", "badpw", "--topic", "t"][..], &["ctl", "client", "badpw"], &["trace", "badpw"]]
    {
        let asked = ask(&socket, question);
        let whole = asked.lines.join(" ");
        let (cause, wait) =
            whole.split_once("; besides, it was told to come later: ").expect("both are told");
        assert!(cause.contains("it is not let in: the password is wrong, "), "{question:?}: {cause}");
        assert!(wait.starts_with("too many failed attempts of its own"), "{question:?}: {wait}");
        let times = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let at = words.iter().position(|word| word.starts_with("times,")).expect("it is told how often");
            words[at - 1].parse::<u64>().expect("a number")
        };
        assert_eq!(times(cause) + times(wait), 10, "{question:?}: {whole}");
    }
}

#[test]
fn who_is_let_in_after_all_is_not_told_as_one_that_is_not() {
    let (setup, socket) = with_socket("api-let-in");
    let broker = setup.start();
    let ids = ["mended-1", "mended-2", "mended-3", "mended-4"];
    let ban = |order: &str, id: &str| {
        let done = ask(&socket, &["ban", order, "--client-id", id]);
        assert_eq!(done.code, Some(0), "{:?}", done.lines);
    };
    for id in ids {
        ban("add", id);
        assert!(Link::try_connect(broker.port, v5(id)).is_err(), "it is banned");
        ban("remove", id);
        let before = ask(&socket, &["trace", id]);
        assert!(has(&before, "it is not let in: banned, once"), "{:?}", before.lines);
    }
    let questions =
        |id| [vec!["why", "--client", id, "--topic", "t"], vec!["ctl", "client", id], vec!["trace", id]];
    let links = ids.map(|id| Link::connect(broker.port, v5(id)));
    for question in ids.into_iter().flat_map(questions) {
        let asked = ask(&socket, &question);
        assert!(!has(&asked, "let in"), "it is here: {question:?}: {:?}", asked.lines);
    }
    drop(links);
    for id in ids {
        await_answer(&socket, &["trace", id], |trace| has(trace, "the session ended"));
    }
    for question in ids.into_iter().flat_map(questions) {
        let asked = ask(&socket, &question);
        assert!(!has(&asked, "not let in: "), "it went by itself: {question:?}: {:?}", asked.lines);
    }
}

#[test]
fn a_ban_is_told_with_its_end_and_with_the_command_that_lifts_it() {
    let (setup, socket) = with_socket("api-banned");
    let broker = with_users(setup).variable("IOTHUB_AUTHENTICATION__ANONYMOUS", "always").start();
    let ban = |flags: &[&str]| {
        let done = ask(&socket, &[&["ban", "add", "--for", "1h"], flags].concat());
        assert_eq!(done.code, Some(0), "{:?}", done.lines);
    };
    let at = format!("--socket {}", socket.display());
    ban(&["-i", "banned-1"]);
    ban(&["-u", "sensor"]);
    assert!(Link::try_connect(broker.port, v5("banned-1")).is_err(), "it is banned");
    assert!(Link::try_connect(broker.port, login("banned-2", "geheim")).is_err(), "its user is banned");
    broker.await_counter("refused_banned", 2);
    for (id, text, lift) in [
        ("banned-1", "this client id is banned for another ", "-i banned-1"),
        ("banned-2", "the user sensor is banned for another ", "-u sensor"),
    ] {
        let command = format!("iothub ban remove {lift} {at}");
        for question in [&["why", "--client", id, "--topic", "t"][..], &["ctl", "client", id], &["trace", id]]
        {
            let asked = ask(&socket, question);
            assert!(has(&asked, text) && has(&asked, &command), "{question:?}: {:?}", asked.lines);
        }
    }
    ban(&["-a", "127.0.0.1"]);
    assert!(Link::try_connect(broker.port, v5("unknown")).is_err(), "its address is banned");
    broker.await_counter("refused_banned", 3);
    for question in [&["why", "--client", "unknown", "--topic", "t"][..], &["ctl", "client", "unknown"]] {
        let asked = ask(&socket, question);
        let text = "bans of addresses (1) have closed connections (1 since the start)";
        assert!(has(&asked, text), "{question:?}: {:?}", asked.lines);
        assert!(
            has(&asked, &format!("iothub ctl events --kind refused {at}")),
            "{question:?}: {:?}",
            asked.lines
        );
    }
}

#[test]
fn two_clients_with_one_id_are_told_of_wherever_it_is_asked_about() {
    let (setup, socket) = with_socket("api-twins");
    let broker = setup.start();
    let mut holder = Link::connect(broker.port, v5("twin"));
    for _ in 0..4 {
        let next = Link::connect(broker.port, v5("twin"));
        assert_eq!(holder.ended_by_server(), client::ReasonCode::SessionTakenOver);
        holder = next;
    }
    let text = "it was taken over 4 times in the last ";
    let meaning = "by connections from 127.0.0.1: two devices or programs there have the same client id";
    for question in
        [&["why", "--client", "twin", "--topic", "t"][..], &["ctl", "client", "twin"], &["trace", "twin"]]
    {
        let asked = ask(&socket, question);
        assert!(has(&asked, text) && has(&asked, meaning), "{question:?}: {:?}", asked.lines);
    }
}

#[test]
fn clients_that_take_a_session_from_each_other_without_end_are_warned_of_once() {
    let (setup, socket) = with_socket("api-contest");
    let broker = setup.start();
    let mut holder = Link::connect(broker.port, v5("twin"));
    for _ in 0..40 {
        let next = Link::connect(broker.port, v5("twin"));
        assert_eq!(holder.ended_by_server(), client::ReasonCode::SessionTakenOver);
        holder = next;
    }
    let other = Link::connect(broker.port, v5("other"));
    broker.process.await_text("client_id=\"other\"");
    drop(other);
    let count = |text: &str| broker.process.lines().iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("two clients use the same client id"), 1, "{}", broker.process.shown());
    assert_eq!((count("session taken over"), broker.counter("takeovers")), (40, 40));
    let client = ask(&socket, &["ctl", "client", "twin"]);
    assert!(has(&client, "it was taken over 40 times in the last "), "{:?}", client.lines);
}
