//! Mount points: clients of two listeners and what each calls the same topic.

use e2e::{Process, Setup};

use super::{mosquitto, publish};

#[test]
fn clients_of_a_listener_see_what_is_beneath_its_mount_point() {
    let text = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\n\
                [[listener]]\naddress = \"ws://127.0.0.1:0\"\n\
                [[listener]]\naddress = \"mqtt://127.0.0.1:0\"\nmount_point = \"site1/\"\n";
    let broker = Setup::bare("mounts").shards(2).config(text).start();
    let ports: Vec<u16> = broker.process.await_line("where it listens", |line| {
        let ports = line.split("tcp://127.0.0.1:").skip(1);
        let ports: Vec<u16> =
            ports.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect();
        (ports.len() == 2).then_some(ports)
    });
    let (whole, mounted) = (ports[0], ports[1]);
    let subscriber = |name: &str, port: u16| {
        let args = ["-t", "#", "-C", "2", "-W", "20", "-d", "-F", "got %t %r %p"];
        let process = Process::start(name, &mut mosquitto("mosquitto_sub", port, &args));
        process.await_text("Subscribed (mid");
        process
    };
    assert!(publish(mounted, &["-r", "-q", "1", "-t", "kept", "-m", "1"]).says("PUBACK"));
    let (mut above, mut beneath) = (subscriber("above", whole), subscriber("beneath", mounted));
    assert!(publish(whole, &["-q", "1", "-t", "site1/a/b", "-m", "2"]).says("PUBACK"));
    above.succeed();
    beneath.succeed();
    for (process, expected) in
        [(&above, ["got site1/kept 1 1", "got site1/a/b 0 2"]), (&beneath, ["got kept 1 1", "got a/b 0 2"])]
    {
        for line in expected {
            assert!(process.out_lines().iter().any(|out| out == line), "{line}\n{}", process.shown());
        }
    }
}

#[test]
fn a_mount_point_without_its_slash_is_refused_with_what_to_write() {
    let text = "[[listener]]\naddress = \"tcp://127.0.0.1:0\"\nmount_point = \"site1\"\n";
    let ended = Setup::bare("mounts-refused").config(text).run();
    let said = ended.errors.concat();
    assert!(ended.code == Some(1) && said.contains("for example \"site1/\""), "{said}");
}
