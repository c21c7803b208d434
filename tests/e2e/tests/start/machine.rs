//! What the machine lacks: a port, an address, a kernel, memory. Each is one sentence with its remedy.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};

use client::{Disconnection, Error, ReasonCode};
use e2e::{Broker, Confinement, Ended, Link, Setup, v5};

#[test]
fn a_taken_port_is_named_whoever_has_it() {
    let sentence = |port: u16| {
        format!(
            "cannot listen on 127.0.0.1:{port}: the address is in use. Stop the other program (`ss -ltnp` names it) or \
             choose another port"
        )
    };
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let listen = format!("tcp://127.0.0.1:{port}");
    expect_error(&Setup::bare("taken").args(["--listen", &listen]).run(), &sentence(port));

    // A second broker must not share the port of the first and take half of its clients.
    let broker = Broker::start("taken-first", 2);
    let listen = format!("tcp://127.0.0.1:{}", broker.port);
    expect_error(&Setup::bare("taken-second").args(["--listen", &listen]).run(), &sentence(broker.port));
    Link::connect(broker.port, v5("still served")).close();
}

#[test]
fn one_taken_port_of_several_starts_nothing() {
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = other.local_addr().unwrap();
    let free = e2e::broker::free_port();
    let ended = Setup::bare("taken-one")
        .args(["--listen", &format!("tcp://127.0.0.1:{free}"), "--listen", &format!("tcp://{taken}")])
        .run();
    assert_eq!(ended.code, Some(1));
    assert!(!ended.says("listening on"), "{ended:?}");
    assert!(TcpStream::connect(("127.0.0.1", free)).is_err(), "nothing starts half");
}

#[test]
fn an_address_that_is_not_here_is_named() {
    let ended = Setup::bare("no-address").args(["--listen", "tcp://192.0.2.1:1883"]).run();
    expect_error(
        &ended,
        "cannot listen on 192.0.2.1:1883: this machine has no such address. `ip address` lists those it has; 0.0.0.0 \
         stands for all",
    );
    let ended = Setup::bare("no-name").args(["--listen", "tcp://no-such-host.invalid:1883"]).run();
    expect_error(&ended, "cannot listen on tcp://no-such-host.invalid:1883: the name has no address (");
    assert!(ended.says("Write an IP address, or 0.0.0.0 for all"), "{ended:?}");
}

#[test]
fn a_low_port_needs_the_right_to_it() {
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let setup =
        Setup::bare("low-port").confined(Confinement::NoLowPorts).args(["--listen", "tcp://127.0.0.1:7"]);
    if first_free.trim().parse::<u16>().unwrap() > 7 {
        expect_error(
            &setup.run(),
            "cannot listen on 127.0.0.1:7: permission denied. Ports below 1024 need root, CAP_NET_BIND_SERVICE or a \
             lower net.ipv4.ip_unprivileged_port_start",
        );
    } else {
        // Containers open these ports to everyone.
        assert_eq!(setup.start().port, 7);
    }
}

#[test]
fn too_little_locked_memory_says_how_to_raise_it() {
    let ended = Setup::new("memlock").confined(Confinement::LockedMemory(100 << 10)).run();
    expect_error(
        &ended,
        "too little memory may be locked: 102400 bytes, and each shard needs 524288. Raise it with `ulimit -l \
         unlimited`, LimitMEMLOCK=infinity in a systemd unit, or `--ulimit memlock=-1` for a container",
    );
    // What one shard needs is enough for each of several.
    let broker =
        Setup::new("memlock-enough").shards(4).confined(Confinement::LockedMemory(512 << 10)).start();
    Link::connect(broker.port, v5("served")).close();
}

#[test]
fn no_io_uring_is_told_apart_from_an_old_kernel() {
    let ended = Setup::new("io-uring-disabled").confined(Confinement::NoIoUring(libc::EPERM)).run();
    expect_error(&ended, "io_uring is disabled here");
    assert!(
        ended.says(
            "Allow it with `sysctl kernel.io_uring_disabled=0`; in a container the seccomp profile must allow \
             io_uring_setup, io_uring_enter and io_uring_register"
        ),
        "{ended:?}"
    );

    let ended = Setup::new("io-uring-missing").confined(Confinement::NoIoUring(libc::ENOSYS)).run();
    expect_error(&ended, "the kernel has no io_uring (this one is ");
    assert!(ended.says("Linux 6.1 or newer is needed"), "{ended:?}");

    let ended = Setup::new("old-kernel").confined(Confinement::OldKernel).run();
    expect_error(&ended, "the kernel is too old: 2.6.");
    assert!(ended.says("Linux 6.1 or newer is needed"), "{ended:?}");
}

#[test]
fn too_few_open_files_lower_the_limit_of_connections_and_say_so() {
    let broker = Setup::new("open-files").shards(1).confined(Confinement::OpenFiles(120)).start();
    let connections = broker.process.await_line("what it lacks", |line| {
        let (_, rest) = line.split_once(" WARN at most ")?;
        let (connections, rest) =
            rest.split_once(" connections instead of server.max_connections = 10000: ")?;
        let says = rest.contains("may open 120 files and needs ") && rest.contains("LimitNOFILE=");
        says.then(|| connections.parse::<u64>().unwrap())
    });
    assert!((1..=50).contains(&connections), "{connections}");
    let links: Vec<Link> =
        (0..connections).map(|number| Link::connect(broker.port, v5(&format!("client-{number}")))).collect();
    match Link::try_connect(broker.port, v5("too many")) {
        Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => {
            assert_eq!(reason, ReasonCode::ConnectionRateExceeded);
        }
        Err(error) => panic!("0x9F was to come, not: {error}"),
        Ok(_) => panic!("one more than the files allow was let in"),
    }
    drop(links);
}

#[test]
fn fewer_open_files_than_the_broker_needs_itself_are_an_error() {
    for files in [20, 40, 60] {
        let ended = Setup::new("no-files").shards(4).confined(Confinement::OpenFiles(files)).run();
        expect_error(
            &ended,
            &format!("too few files may be opened: {files}, and 4 shards and one connection need "),
        );
        assert!(ended.says("or start fewer shards (--shards N)"), "{ended:?}");
    }
}

#[test]
fn the_defaults_are_this_machine_on_both_families() {
    let port = e2e::broker::free_port();
    let broker = Setup::bare("default").args(["-p", &port.to_string()]).start();
    assert_eq!(broker.port, port);
    let line = broker
        .process
        .await_line("where it listens", |line| line.contains("listening on").then(|| line.to_owned()));
    assert!(line.contains("for this machine only"), "{line}");
    assert!(
        line.contains(&format!("(to open it to the network: iothub --listen tcp://0.0.0.0:{port})")),
        "{line}"
    );
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    if TcpListener::bind("[::1]:0").is_ok() {
        assert!(
            line.contains(&format!("listening on tcp://127.0.0.1:{port} and tcp://[::1]:{port}, ")),
            "{line}"
        );
        TcpStream::connect(("::1", port)).unwrap();
    } else {
        broker.process.await_text("this machine has no address ::1: not listening there");
    }
}

#[test]
fn port_1883_is_the_default() {
    let mut process = Setup::bare("default-port").spawn();
    // Something else may have the port on this machine; then that is what the broker says.
    let line = process.await_line("where it listens", |line| {
        let decided = line.contains("listening on") || line.contains("cannot listen on");
        decided.then(|| line.to_owned())
    });
    if line.contains("listening on") {
        assert!(line.contains("listening on tcp://127.0.0.1:1883"), "{line}");
        process.signal(libc::SIGTERM);
        assert_eq!(process.wait().code(), Some(0));
    } else {
        assert!(line.contains(":1883: the address is in use"), "{line}");
        assert_eq!(process.wait().code(), Some(1));
    }
}

#[test]
fn an_open_broker_warns_whom_it_lets_in() {
    let everybody = Setup::bare("open-always").variable("IOTHUB_AUTHENTICATION__ANONYMOUS", "always");
    let broker = everybody.args(["--listen", "tcp://0.0.0.0:0"]).start();
    broker.process.await_text("can be reached from the network, and lets in who says nothing about itself");
    drop(broker);
    let broker = Setup::bare("open").args(["--listen", "tcp://0.0.0.0:0"]).start();
    broker.process.await_text("can be reached from the network, and only clients on this machine are let in");
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], broker.port))).unwrap();
    assert!(!broker.process.says("this machine only"));
}

#[track_caller]
fn expect_error(ended: &Ended, sentence: &str) {
    let errors: Vec<&String> = ended.errors.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.len() == 1 && errors[0].contains(sentence), "{ended:?}");
    assert_eq!(ended.code, Some(1));
}
