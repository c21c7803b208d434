//! Listeners with settings of their own.

use std::fs;

use e2e::{Process, Setup};

use super::publish;

/// The ports of the listeners of this scheme, in their order.
fn ports(process: &Process, scheme: &str) -> Vec<u16> {
    let prefix = format!("{scheme}://127.0.0.1:");
    process.await_line("where it listens", |line| {
        let (_, list) = line.split_once("listening on ")?;
        let numbers = list.split(' ').filter_map(|word| word.strip_prefix(&prefix));
        Some(numbers.filter_map(|number| number.trim_end_matches(',').parse().ok()).collect())
    })
}

#[test]
fn each_listener_has_its_own_versions_and_its_own_strangers() {
    let text = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nversions = \"5.0\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nanonymous = \"never\"\n\
                [[listener]]\naddress = \"tcp://127.0.0.1:0\"\nmax_connections = 1\n";
    let process = Setup::bare("listeners-own").shards(2).config(text).spawn();
    let [modern, closed, small] = ports(&process, "tcp")[..] else { panic!("{}", process.shown()) };
    let sent = |port: u16, version: &str| {
        publish(port, &["-V", version, "-q", "1", "-t", "t", "-m", "m"]).says("PUBACK")
    };
    assert!(sent(modern, "5") && !sent(modern, "311"));
    assert!(!sent(closed, "5"));
    assert!(sent(small, "5") && sent(small, "311"));
    // Without a word about addresses they take the place of the default ones.
    assert!(!process.says("127.0.0.1:1883"));
}

#[test]
fn a_mistake_in_a_listener_names_its_line() {
    let text = "[[listener]]\nadress = \"tcp://127.0.0.1:0\"\n\n[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nversions = \"4\"\n";
    let ended = Setup::bare("listeners-mistake").config(text).run();
    assert_eq!(ended.code, Some(1));
    let said = ended.errors.join("\n");
    assert!(said.contains("line 2: listener.adress") && said.contains("did you mean address?"), "{said}");
    assert!(said.contains("line 6: listener.versions = \"4\": expected one of \"all\""), "{said}");
    assert!(said.contains("a listener needs its address"), "{said}");
}

#[test]
fn a_test_of_the_configuration_reads_every_file_that_it_names() {
    let text = "[[listener]]\naddress = \"tls://127.0.0.1:0\"\n\
                [authentication]\npassword_file = \"no-users\"\n[access]\nacl_file = \"acl\"\n";
    let setup = Setup::bare("listeners-files");
    fs::write(setup.folder().join("acl"), "nonsense\n").unwrap();
    let ended = setup.config(text).args(["--test-config"]).run();
    assert_eq!(ended.code, Some(1));
    let said = ended.errors.join("\n");
    for sentence in ["there is no certificate: name its files in", "no-users cannot be read", "acl"] {
        assert!(said.contains(sentence), "{sentence}\n{said}");
    }
    assert_eq!(ended.errors.len(), 3, "{said}");
}
