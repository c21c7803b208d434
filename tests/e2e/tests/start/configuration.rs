//! Which source wins, seen at a broker that runs.

use client::{Disconnection, Error, ReasonCode};
use e2e::{Broker, Link, Setup, v5, v311};

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[session]\nreceive_maximum = 50\n";
    let variable = "IOTHUB_SESSION__RECEIVE_MAXIMUM";
    let default = Setup::new("precedence-default").start();
    assert_eq!(receive_maximum(&default), 1024);
    let from_file = Setup::new("precedence-file").config(file).start();
    assert_eq!(receive_maximum(&from_file), 50);
    let from_environment = Setup::new("precedence-environment").config(file).variable(variable, "60").start();
    assert_eq!(receive_maximum(&from_environment), 60);
}

#[test]
fn a_flag_wins_over_everything() {
    let setup = || Setup::new("precedence-flag").config("[runtime]\nshards = 3\n");
    let shards = |broker: &Broker| {
        broker.process.await_line("how many shards it has", |line| {
            let (_, rest) = line.split_once(" shards=")?;
            rest.split(' ').next()?.parse::<u8>().ok()
        })
    };
    assert_eq!(shards(&setup().start()), 3);
    assert_eq!(shards(&setup().variable("IOTHUB_RUNTIME__SHARDS", "2").start()), 2);
    let all = setup().variable("IOTHUB_RUNTIME__SHARDS", "2").args(["--shards", "1"]);
    assert_eq!(shards(&all.start()), 1);
}

#[test]
fn addresses_come_from_every_source_and_can_be_several() {
    let ports = [e2e::broker::free_port(), e2e::broker::free_port()];
    let addresses = ports.map(|port| format!("tcp://127.0.0.1:{port}"));
    let file = format!("[server]\nlisten_addresses = [{:?}, {:?}]\n", addresses[0], addresses[1]);
    let by_file = Setup::bare("addresses-file").config(&file).start();
    ports.iter().for_each(|port| Link::connect(*port, v5("client")).close());
    assert_eq!(by_file.end(libc::SIGTERM).code, Some(0));
    let by_variable = Setup::bare("addresses-variable")
        .variable("IOTHUB_SERVER__LISTEN_ADDRESSES", addresses.join(","))
        .start();
    ports.iter().for_each(|port| Link::connect(*port, v5("client")).close());
    assert_eq!(by_variable.end(libc::SIGTERM).code, Some(0));
    let _by_flag =
        Setup::bare("addresses-flag").args(["--listen", &addresses[0], "--listen", &addresses[1]]).start();
    ports.iter().for_each(|port| Link::connect(*port, v5("client")).close());
}

#[test]
fn connections_beyond_the_limit_are_refused_and_a_free_place_is_taken() {
    for shards in [1, 2] {
        let config = "[server]\nmax_connections = 10\n";
        let broker = Setup::new("max-connections").shards(shards).config(config).start();
        let mut links: Vec<Link> =
            (0..10).map(|number| Link::connect(broker.port, v5(&format!("client-{number}")))).collect();
        match Link::try_connect(broker.port, v5("too many")) {
            Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => {
                assert_eq!(reason, ReasonCode::ConnectionRateExceeded);
            }
            Err(error) => panic!("0x9F was to come, not: {error}"),
            Ok(_) => panic!("the eleventh of ten was let in"),
        }
        match Link::try_connect(broker.port, v311("too many")) {
            Err(Error::Disconnected(Disconnection::Refused { reason, .. })) => {
                assert_eq!(reason.connect_return_code(), Some(3), "{reason:?}");
            }
            Err(error) => panic!("return code 3 was to come, not: {error}"),
            Ok(_) => panic!("the eleventh of ten was let in"),
        }
        assert_eq!(broker.counter("refused_max_connections"), 2);

        links.pop().unwrap().close();
        broker.await_counter("connections_closed", 3);
        links.push(Link::connect(broker.port, v5("next")));
        links.iter_mut().for_each(Link::expect_silence);
    }
}

fn receive_maximum(broker: &Broker) -> u16 {
    let link = Link::connect(broker.port, v5("asking"));
    link.driver.client().granted().expect("a connection").receive_maximum
}
