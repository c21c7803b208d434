//! Ten thousand clients whose passwords take a core for a while each: they wait for one another, and nobody else waits for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use client::wire::Connect;
use e2e::socket::{self, Socket};
use e2e::{Process, Setup, program, resources};

use super::{alone, beside_others};

fn connect(client_id: &str) -> Vec<u8> {
    socket::encoded(&Connect {
        username: Some("anna"),
        password: Some(b"geheim"),
        ..socket::plain(client_id)
    })
}

#[test]
fn ten_thousand_passwords_of_argon2id_queue_up_and_delay_no_message() {
    let _alone = alone();
    resources::raise_open_files(CLIENTS);
    let setup = Setup::new("passwords").shards(2);
    let users = setup.folder().join("users");
    let mut command = program::command(program::iothub());
    command.args(["passwd", "-c", "-b", "-H", "argon2id"]).arg(&users).args(["anna", "geheim"]);
    Process::start("iothub passwd", &mut command).succeed();
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[server]\nmax_connections = {}\n[authentication]\npassword_file = \"users\"\ncache_secs = 0\n",
        CLIENTS + 100
    );
    let broker = setup.config(&text).start();
    beside_others(broker.port, "passwords", || {
        let begun = Instant::now();
        let clients: Vec<Socket> = (0..CLIENTS)
            .map(|number| {
                let mut socket = Socket::open(broker.port);
                socket.send(&connect(&format!("client-{number}")));
                socket
            })
            .collect();
        broker.await_counter("authentications_asked", CLIENTS as u64);
        println!("{CLIENTS} clients have said their password after {:?}", begun.elapsed());
        // The pool works meanwhile, and most of them wait.
        std::thread::sleep(WATCHED);
        // Two are those that are watched.
        broker.await_counter("sessions", 5);
        let accepted = broker.counter("sessions");
        println!("{accepted} of them are in after {:?}", begun.elapsed());
        assert!(accepted < CLIENTS as u64, "{accepted}");
        drop(clients);
    });
    // Nobody waits for what is not asked any more.
    let begun = Instant::now();
    let ended = broker.end(libc::SIGTERM);
    assert_eq!(ended.code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

const CLIENTS: usize = 10_000;
const WATCHED: Duration = Duration::from_secs(4);
