//! What `--port` moves, and where it would move nothing.

use super::*;

#[test]
fn a_port_takes_the_place_of_every_port() {
    let flags = Flags { port: Some("1884".to_owned()), ..Flags::default() };
    let shown = |loaded: Loaded| -> Vec<String> {
        loaded.settings.server.listen_addresses.iter().map(Address::to_string).collect()
    };
    let loaded = load(None, [], &flags).expect("no problem");
    assert!(loaded.has_default_listeners());
    assert_eq!(shown(loaded), ["tcp://127.0.0.1:1884", "tcp://[::1]:1884"]);
    let environment = variables(&[("IOTHUB_SERVER__LISTEN_ADDRESSES", "tcp://0.0.0.0:1, tcp://0.0.0.0:2")]);
    let loaded = load(None, environment, &flags).expect("no problem");
    assert!(!loaded.has_default_listeners());
    assert_eq!(shown(loaded), ["tcp://0.0.0.0:1884"]);
}

#[test]
fn a_port_that_would_move_no_listener_is_refused() {
    let flags = Flags { port: Some("1884".to_owned()), ..Flags::default() };
    let file = Scratch::new("[[listener]]\naddress = \"tcp://127.0.0.1:1885\"\n");
    let problems = load(Some(&file.0), [], &flags);
    let problems = problems.expect_err("it would do nothing");
    assert!(problems[0].to_string().contains("keep their ports"), "{problems:?}");
}
