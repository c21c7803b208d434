//! `iothub reload` and its plan: listeners that come and go, settings that count at once, mistakes that change nothing.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use client::{QoS, Target, Tls, TlsOptions};
use e2e::{Authority, Broker, Link, PATIENCE, Process, Setup, broker::free_port, program, v5};

use super::publish;

/// The command with its exit code and what it said.
fn reload(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let socket = folder.join("control.sock");
    let mut command = program::command(program::iothub());
    let mut process =
        Process::start("iothub reload", command.arg("reload").arg("--socket").arg(socket).args(args));
    let status = process.wait();
    (status.code(), process.lines().join("\n"))
}

fn can_connect(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn write(broker: &Broker, text: &str) {
    fs::write(broker.folder().join("iothub.toml"), text).unwrap();
}

const CONTROL: &str = "[control]\nsocket = \"control.sock\"\n";

fn listeners(addresses: &[String]) -> String {
    format!("[server]\nlisten_addresses = {addresses:?}\n{CONTROL}")
}

#[test]
fn a_packet_without_room_at_a_shard_is_refused_at_a_start_and_by_a_plan() {
    let text = |memory: &str| {
        format!(
            "[server]\nmax_packet_size = \"8 MiB\"\n[limits]\nmax_receive_memory = \"{memory}\"\n{CONTROL}"
        )
    };
    let said = "set limits.max_receive_memory to 43 MiB at least";
    let too_little = || Setup::new("control-no-room").shards(4).config(&text("32 MiB"));
    for args in [&["--test-config"][..], &[]] {
        let ended = too_little().args(args).run();
        assert!(ended.code != Some(0) && ended.says(said), "{:?} {:?}", ended.out, ended.errors);
    }
    let broker = Setup::new("control-room").shards(4).config(&text("43 MiB")).start();
    write(&broker, &text("32 MiB"));
    for args in [&["--plan"][..], &[]] {
        let (code, shown) = reload(broker.folder(), args);
        assert!(code != Some(0) && shown.contains(said), "{code:?} {shown}");
    }
    write(&broker, &text("64 MiB"));
    let (code, shown) = reload(broker.folder(), &["--plan"]);
    assert!(code == Some(0) && shown.contains("limits.max_receive_memory is \"64 MiB\""), "{code:?} {shown}");
}

#[test]
fn listeners_come_and_go_and_a_plan_changes_nothing() {
    let (first, second) = (free_port(), free_port());
    let [one, two] = [first, second].map(|port| format!("tcp://127.0.0.1:{port}"));
    let text = listeners(std::slice::from_ref(&one));
    let broker = Setup::bare("control-listeners").shards(2).config(&text).start();
    let mut stays = Link::connect(first, v5("stays"));
    stays.subscribe("t", QoS::AtLeastOnce);

    write(
        &broker,
        &format!(
            "{}[session]\nmax_inflight = 7\n[runtime]\nring_entries = 64\n",
            listeners(&[two.clone(), one.clone()])
        ),
    );
    let (code, said) = reload(broker.folder(), &["--plan"]);
    assert_eq!(code, Some(0), "{said}");
    for sentence in [
        "a reload would change:",
        &format!("listener {two} is added"),
        "session.max_inflight is 7 (before: 100)",
        "waits for the next start: runtime.ring_entries",
    ] {
        assert!(said.contains(sentence), "{sentence}\n{said}");
    }
    assert!(!can_connect(second), "a plan opens nothing");

    let (code, said) = reload(broker.folder(), &[]);
    assert!(code == Some(0) && said.contains(&format!("listener {two} is added")), "{said}");
    for client_id in ["a", "b", "c", "d"] {
        Link::connect(second, v5(client_id)).close();
    }

    write(&broker, &listeners(std::slice::from_ref(&two)));
    let (code, said) = reload(broker.folder(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("listener {one} is closed; who came in by it stays connected")), "{said}");
    let deadline = Instant::now() + PATIENCE;
    while can_connect(first) {
        // Each shard closes its own socket in its own time.
        assert!(Instant::now() < deadline, "{}", broker.process.shown());
        std::thread::sleep(Duration::from_millis(5));
    }
    Link::connect(second, v5("publisher")).publish("t", "across", QoS::AtLeastOnce);
    assert_eq!(stays.text(), "across");
    stays.close();
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_changes_nothing() {
    let (first, taken) = (free_port(), free_port());
    let address = format!("tcp://127.0.0.1:{first}");
    let text = listeners(std::slice::from_ref(&address));
    let broker = Setup::bare("control-mistakes").config(&text).start();
    let mut link = Link::connect(first, v5("served"));
    let holder = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let beside = listeners(&[format!("tcp://127.0.0.1:{}", free_port()), format!("tcp://127.0.0.1:{taken}")]);
    for (text, sentence) in [
        (format!("{text}[session]\nmax_inflights = 5\n"), "iothub.toml, line 6: session.max_inflights"),
        (format!("{text}[authentication]\npassword_file = \"absent\"\n"), "absent cannot be read"),
        (beside, "the address is in use"),
    ] {
        write(&broker, &text);
        for args in [&["--plan"][..], &[]] {
            let (code, said) = reload(broker.folder(), args);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(sentence) && said.contains("nothing is changed"), "{sentence}\n{said}");
        }
        broker.process.await_text("iothub reload: nothing is changed: ");
        assert!(can_connect(first));
    }
    drop(holder);
    link.expect_silence();
    link.close();
}

/// A pipe that nobody ever writes into.
#[test]
fn what_the_next_start_could_not_take_is_refused_before_it_waits() {
    let text = listeners(&["tcp://127.0.0.1:0".to_owned()]);
    let broker = Setup::bare("control-next-start").config(&text).start();
    let later = broker.folder().join("later");
    let with = |file: &Path| format!("{text}[audit]\nfile = {file:?}\n[session]\nmax_inflight = 7\n");
    write(&broker, &with(&later.join("audit")));
    for args in [&["--plan"][..], &[]] {
        let (code, said) = reload(broker.folder(), args);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("the next start would fail: ") && said.contains("line 6: audit.file"),
            "{said}"
        );
        assert!(said.contains(&format!(": there is no folder {}: make it", later.display())), "{said}");
    }
    fs::create_dir(&later).unwrap();
    let (code, said) = reload(broker.folder(), &[]);
    assert!(code == Some(0) && said.contains("waits for the next start: audit.file"), "{said}");
    assert!(said.contains("session.max_inflight is 7"), "what was refused has changed nothing: {said}");

    // What has gone since keeps nobody from changing something else.
    fs::remove_dir(&later).unwrap();
    write(&broker, &with(&later.join("audit")).replace("= 7", "= 8"));
    let (code, said) = reload(broker.folder(), &[]);
    assert!(code == Some(0) && said.contains("session.max_inflight is 8"), "{said}");
    assert!(said.contains("warning: the next start would fail: "), "{said}");
    broker.end(libc::SIGTERM);
}

fn pipe(broker: &Broker) -> PathBuf {
    let pipe = broker.folder().join("pipe");
    Process::start("mkfifo", Command::new("mkfifo").arg("-m").arg("600").arg(&pipe)).succeed();
    pipe
}

#[test]
fn a_file_that_is_no_file_is_refused_and_the_broker_goes_on() {
    let address = format!("tcp://127.0.0.1:{}", free_port());
    let text = listeners(std::slice::from_ref(&address));
    let broker = Setup::bare("control-pipes").config(&text).start();
    let authority = Authority::new(broker.folder());
    authority.issue("broker.example");
    let pipe = pipe(&broker);
    let tls = format!("tls://127.0.0.1:{}", free_port());
    let own = "certificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n\
               client_certificates = \"required\"\n";
    let with_tls = |files: &str| format!("{}[tls]\n{files}", listeners(&[address.clone(), tls.clone()]));
    let with_users = |keys: &str| format!("{text}[authentication]\n{keys}");
    for text in [
        with_tls("certificate_files = [\"pipe\"]\nkey_files = [\"broker.example.key\"]\n"),
        with_tls("certificate_files = [\"broker.example.pem\"]\nkey_files = [\"pipe\"]\n"),
        with_tls(&format!("{own}client_ca_file = \"pipe\"\n")),
        with_tls(&format!("{own}client_ca_file = \"ca.pem\"\nclient_crl_file = \"pipe\"\n")),
        with_users("password_file = \"pipe\"\n"),
        with_users("scram_file = \"pipe\"\n"),
        with_users("user_database = \"pipe\"\n"),
        with_users("jwt_keys = \"pipe\"\n"),
        with_users("jwt_keys = \"https://127.0.0.1/\"\njwt_ca_file = \"pipe\"\n"),
        with_users("http_url = \"https://127.0.0.1/\"\nhttp_ca_file = \"pipe\"\n"),
        with_users("http_url = \"http://127.0.0.1/\"\nhttp_authorization_file = \"pipe\"\n"),
        format!("{text}[access]\nacl_file = \"pipe\"\n"),
        format!("{text}[access]\nrules_file = \"pipe\"\n"),
        format!("{text}[access]\nshadow_acl_file = \"pipe\"\n"),
    ] {
        write(&broker, &text);
        let (code, said) = reload(broker.folder(), &[]);
        assert_eq!(code, Some(1), "{text}\n{said}");
        assert!(said.contains("pipe is no regular file, and is not read: name a file"), "{text}\n{said}");
    }

    // The configuration itself, by the signal; and then the broker still hears the other one.
    let file = broker.folder().join("iothub.toml");
    fs::rename(&pipe, &file).unwrap();
    broker.process.signal(libc::SIGHUP);
    broker.process.await_text("cannot read the configuration file: it is not a regular file");
    let ended = broker.end(libc::SIGTERM);
    assert_eq!(ended.code, Some(0));
}

/// By the configuration, as `systemctl reload` has it.
fn reload_by_file(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = program::command(program::iothub());
    let mut process = Process::start("iothub reload", command.current_dir(folder).arg("reload").args(args));
    (process.wait().code(), process.lines().join("\n"))
}

#[test]
fn only_the_file_that_the_broker_reads_is_reloaded_and_who_decides_otherwise_is_named() {
    let port = free_port();
    let text = format!("{}[session]\nmax_inflight = 7\n", listeners(&[format!("tcp://127.0.0.1:{port}")]));
    let setup = Setup::bare("control-which-file").shards(1);
    // The path of a socket is short.
    let text = text.replace("\"control.sock\"", &format!("{:?}", setup.folder().join("control.sock")));
    let broker = setup.config(&text).variable("IOTHUB_SESSION__MAX_INFLIGHT", "8").start();
    let folder = broker.folder();
    fs::write(folder.join("other.toml"), format!("{text}max_queued_messages = 5\n")).unwrap();
    for args in [&["-c", "other.toml", "--plan"][..], &["-c", "other.toml"]] {
        let (code, said) = reload_by_file(folder, args);
        assert_eq!(code, Some(1), "{said}");
        let path = |name: &str| folder.join(name).display().to_string();
        assert!(said.contains(&format!("reads {}", path("iothub.toml"))), "{said}");
        assert!(said.contains(&path("other.toml")) && said.contains("nothing is changed"), "{said}");
    }
    fs::copy(folder.join("other.toml"), folder.join("iothub.toml")).unwrap();
    let (code, said) = reload_by_file(folder, &["-c", "iothub.toml", "--plan"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("session.max_queued_messages is 5 (before: 1000)"), "{said}");
    let decides = "does not count: environment variable IOTHUB_SESSION__MAX_INFLIGHT says 8";
    assert!(said.contains("note: session.max_inflight of ") && said.contains(decides), "{said}");

    write(&broker, &format!("{text}max_queued_mesages = 5\n"));
    let (code, said) = reload_by_file(folder, &["-c", "iothub.toml"]);
    assert_eq!(code, Some(1), "{said}");
    let mistake = "session.max_queued_mesages: unknown key: did you mean max_queued_messages?";
    assert!(said.contains(mistake) && said.contains("nothing is changed"), "{said}");
}

#[test]
fn who_cannot_be_reached_is_named_with_what_to_do() {
    let folder = Setup::bare("control-nobody");
    let (code, said) = reload(folder.folder(), &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no broker is at") && said.contains("--data-dir DIR"), "{said}");
    fs::remove_dir_all(folder.folder()).unwrap();
}

#[test]
fn a_broker_with_a_data_directory_is_found_by_it() {
    let setup = Setup::new("control-data-dir").shards(1);
    let dir = setup.folder().join("data").display().to_string();
    let broker = setup.args(["--data-dir", &dir]).start();
    let mut command = program::command(program::iothub());
    let mut process = Process::start("iothub reload", command.args(["reload", "--data-dir", &dir, "--plan"]));
    process.succeed();
    assert!(process.says("a reload would change nothing"), "{}", process.shown());
    assert!(
        !broker
            .process
            .lines()
            .iter()
            .skip_while(|line| !line.contains("listening on"))
            .any(|line| line.contains("open files"))
    );
    let ended = broker.end(libc::SIGTERM);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!Path::new(&dir).join("control.sock").exists());
}

#[test]
fn a_data_directory_beside_a_file_counts_and_what_does_not_is_said() {
    let setup = Setup::new("control-both").shards(1);
    let [dir, other] = ["data", "other"].map(|name| setup.folder().join(name).display().to_string());
    let file = setup.folder().join("iothub.toml").display().to_string();
    let of_file = format!("[store]\ndir = \"{other}\"\n");
    let broker = setup.config(&of_file).args(["--data-dir", &dir]).start();
    let ask = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        let mut process =
            Process::start("iothub", command.args(args).args(["--data-dir", &dir, "-c", &file]));
        (process.wait().code(), process.shown())
    };
    let note = format!("note: store.dir of {file}, line 2, does not count: flag --data-dir says \"{dir}\"");
    let commands: [&[&str]; 3] =
        [&["reload", "--plan"], &["ctl", "broker"], &["token", "add", "x", "--role", "viewer"]];
    for args in commands {
        let (code, said) = ask(args);
        assert!(code == Some(0) && said.contains(&note), "{args:?}: {said}");
    }
    let named = format!(
        "{of_file}[control]\nsocket = \"{dir}/control.sock\"\n[api]\ntokens_file = \"{dir}/tokens\"\n"
    );
    write(&broker, &named);
    for (args, key, code) in [
        (&["reload", "--plan"][..], "control.socket", 2),
        (&["ctl", "broker"], "control.socket", 2),
        (&["token", "list"], "api.tokens_file", 1),
    ] {
        let (found, said) = ask(args);
        let sentence = format!("--data-dir {dir} says nothing beside {key} of {file}, line ");
        assert!(found == Some(code) && said.contains(&sentence), "{args:?}: {said}");
    }
}

#[test]
fn the_level_of_the_log_and_who_may_be_anonymous_count_at_once() {
    let port = free_port();
    let text = listeners(&[format!("tcp://127.0.0.1:{port}")]);
    let broker = Setup::bare("control-settings").config(&text).start();
    assert!(publish(port, &["-q", "1", "-t", "t", "-m", "m"]).says("PUBACK"));
    write(&broker, &format!("{text}[authentication]\nanonymous = \"never\"\n[log]\nlevel = \"error\"\n"));
    let (code, said) = reload(broker.folder(), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!publish(port, &["-q", "1", "-t", "t", "-m", "m"]).says("PUBACK"));
    // What the reload says of itself may come late.
    let lines = broker.process.lines();
    let told = lines.iter().find(|line| line.contains("refused"));
    assert_eq!(told, None, "a refused client is no error of the broker");
}

#[test]
fn nobody_is_cut_off_and_nothing_is_lost_while_reloads_follow_each_other() {
    let doors = ["tcp", "tls", "wss"].map(|scheme| (scheme, free_port()));
    let setup = Setup::bare("control-load").shards(2);
    let authority = Authority::new(setup.folder());
    authority.issue("broker.example");
    // A subscriber that gets no time of the machine loses nothing by a full queue either.
    let text = format!(
        "{}[session]\nmax_queued_messages = {MESSAGES}\n[tls]\ncertificate_files = [\"broker.example.pem\"]\nkey_files = [\"broker.example.key\"]\n",
        listeners(&doors.map(|(scheme, port)| format!("{scheme}://127.0.0.1:{port}")))
    );
    let broker = setup.config(&text).start();
    let ca = authority.file();
    std::thread::scope(|scope| {
        let mut traffic = Vec::new();
        for (scheme, port) in doors {
            let reach =
                |name: &str| Link::reach(target(scheme, port, &ca), v5(&format!("{name}-{scheme}"))).unwrap();
            let (mut publisher, mut subscriber) = (reach("publisher"), reach("subscriber"));
            subscriber.subscribe(scheme, QoS::AtLeastOnce);
            traffic.push(scope.spawn(move || {
                for n in 0..MESSAGES {
                    publisher.publish(scheme, n.to_string(), QoS::AtLeastOnce);
                }
                publisher.close();
            }));
            traffic.push(scope.spawn(move || {
                (0..MESSAGES).for_each(|n| assert_eq!(subscriber.text(), n.to_string()));
                subscriber.close();
            }));
        }
        let (_, tls) = doors[1];
        traffic.push(scope.spawn(move || {
            for _ in 0..10 {
                let ca = ca.display().to_string();
                let sent = publish(tls, &["-q", "1", "-t", "other", "-m", "m", "--cafile", &ca]);
                assert!(sent.says("PUBACK"), "{}", sent.shown());
            }
        }));
        let mut reloads = 0;
        while !traffic.iter().all(|one| one.is_finished()) {
            // Another certificate by the same authority each time, and another listener that comes and goes.
            authority.issue("broker.example");
            let extra = if reloads % 2 == 0 {
                format!("[[listener]]\naddress = \"tcp://127.0.0.1:{}\"\n", free_port())
            } else {
                String::new()
            };
            write(&broker, &format!("{text}{extra}"));
            let (code, said) = reload(broker.folder(), &[]);
            assert_eq!(code, Some(0), "{said}");
            reloads += 1;
        }
        assert!(reloads >= 3, "{reloads}");
        traffic.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn a_plan_and_a_refused_reload_name_the_files_that_count_all_the_same() {
    for (is_watched, setting) in [(true, ""), (false, "watch_files = false\n")] {
        let text = format!(
            "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\"]\n{setting}{CONTROL}[access]\nacl_file = \"acl\"\n"
        );
        let setup = Setup::bare("control-watched").shards(1);
        fs::write(setup.folder().join("acl"), "topic readwrite a\n").unwrap();
        let broker = setup.config(&text).start();
        let names = |said: &str| {
            said.contains("counts by itself within two seconds")
                && said.contains("set server.watch_files = false")
                && said.contains("rules ")
        };
        let (code, said) = reload(broker.folder(), &["--plan"]);
        assert_eq!((code, names(&said)), (Some(0), is_watched), "{said}");
        let (code, said) = reload(broker.folder(), &[]);
        assert_eq!((code, names(&said)), (Some(0), false), "{said}");
        write(&broker, &format!("{text}nonsense = 1\n"));
        for args in [&["--plan"][..], &[]] {
            let (code, said) = reload(broker.folder(), args);
            assert_eq!((code, names(&said)), (Some(1), is_watched), "{said}");
        }
    }
}

/// A listener of this scheme, with the certificates that it may show.
fn target(scheme: &str, port: u16, ca: &Path) -> Target {
    let mut target = Target::new("127.0.0.1", port);
    if scheme != "tcp" {
        let options = TlsOptions { ca_file: Some(ca.to_owned()), ..TlsOptions::default() };
        target.tls = Some(Tls::new(&options).unwrap());
    }
    target.websocket = (scheme == "wss").then(|| "/mqtt".to_owned());
    target
}

const MESSAGES: usize = 2000;
