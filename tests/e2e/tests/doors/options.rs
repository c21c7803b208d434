//! What each listener asks of the kernel for its sockets: looked at in the broker's own process.

use std::fs;

use e2e::descriptors::{backlog, is_listening, sockets_at};
use e2e::{Broker, Link, Setup, v5};
use socket2::Socket;

use super::reload::reload;

const SHARDS: u8 = 2;

/// Those that listen, and those of connections.
fn sockets(broker: &Broker, port: u16) -> (Vec<Socket>, Vec<Socket>) {
    sockets_at(broker.process.id(), port).into_iter().partition(is_listening)
}

/// Whether small messages of each connection leave at once.
fn nodelays(broker: &Broker, port: u16) -> Vec<bool> {
    let (_, connections) = sockets(broker, port);
    let mut nodelays: Vec<bool> =
        connections.iter().map(|connection| connection.tcp_nodelay().unwrap()).collect();
    nodelays.sort_unstable();
    nodelays
}

fn backlogs(broker: &Broker, port: u16) -> Vec<u32> {
    sockets(broker, port).0.iter().map(backlog).collect()
}

#[test]
fn each_listener_delays_small_messages_or_not_and_has_its_own_backlog() {
    let text = "[server]\nlisten_backlog = 17\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nnodelay = false\nbacklog = 7\n";
    let broker = Setup::bare("options").shards(SHARDS).config(text).start();
    let [plain, own] = broker.ports_of("tcp")[..] else { panic!("{}", broker.process.shown()) };
    let each = usize::from(SHARDS);
    assert_eq!((backlogs(&broker, plain), backlogs(&broker, own)), (vec![17; each], vec![7; each]));
    let _stays = [Link::connect(plain, v5("plain-1")), Link::connect(own, v5("own-1"))];
    assert_eq!((nodelays(&broker, plain), nodelays(&broker, own)), (vec![true], vec![false]));

    let text = text.replace("nodelay = false\nbacklog = 7", "nodelay = true\nbacklog = 9");
    fs::write(broker.folder().join("iothub.toml"), text).unwrap();
    reload(&broker);
    assert_eq!((backlogs(&broker, plain), backlogs(&broker, own)), (vec![17; each], vec![9; each]));
    let _comes = Link::connect(own, v5("own-2"));
    assert_eq!(nodelays(&broker, own), [false, true], "it counts for those who come from then on");
}
