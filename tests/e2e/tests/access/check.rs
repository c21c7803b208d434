//! `iothub acl check`: the verdict, the rule, where it stands, and the exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use e2e::{Ended, Setup};

const ACL: &str =
    "topic read open/#\nuser anna\ntopic house/#\ntopic deny house/safe\npattern write c/%c/#\n";
const RULES: &str = "everyone = \"all\"\n[users]\nanna = \"resident\"\n\n[roles.all]\nqos_max = 1\n\
    rules = [\n    { allow = \"read\", topics = \"house/#\" },\n    { deny = \"read\", topics = \"house/safe\" },\n]\n\
    [roles.resident]\nrules = [ { allow = [\"publish\"], topics = \"house/+\" } ]\n";

fn ask(words: &str) -> Ended {
    let setup = Setup::bare("acl");
    fs::write(setup.folder().join("acl"), ACL).unwrap();
    fs::write(setup.folder().join("rules.toml"), RULES).unwrap();
    fs::write(setup.folder().join("closed.toml"), "# nothing but\ndefault = \"deny\"\n").unwrap();
    fs::write(setup.folder().join("wrong"), "user\ntopics a\n").unwrap();
    setup.args(["acl", "check"]).args(words.split(' ')).run()
}

#[track_caller]
fn expect(words: &str, code: i32, lines: &[&str]) {
    let ended = ask(words);
    assert_eq!(
        (ended.code, ended.out.iter().map(String::as_str).collect::<Vec<_>>()),
        (Some(code), lines.to_vec()),
        "{words}: {ended:?}"
    );
}

#[test]
fn a_verdict_names_its_rule_and_where_it_stands() {
    expect(
        "--acl acl --user anna --action publish house/door",
        0,
        &["allowed", "  rule     topic house/#", "  file     acl:3", "  layer    mosquitto ACL"],
    );
    expect(
        "--acl acl --user anna --action publish house/safe",
        1,
        &["denied", "  rule     topic deny house/safe", "  file     acl:4", "  layer    mosquitto ACL"],
    );
    expect(
        "--acl acl --client 7 --action publish c/7/x",
        0,
        &["allowed", "  rule     pattern write c/%c/#", "  file     acl:5", "  layer    mosquitto ACL"],
    );
    expect(
        "--acl acl --client 8 --action publish c/7/x",
        1,
        &[
            "denied",
            "  because  no rule about publish matches, and a mosquitto ACL file denies what it does not list",
            "  file     acl",
            "  layer    mosquitto ACL",
        ],
    );
}

#[test]
fn our_own_rules_speak_of_filters_deliveries_and_limits() {
    expect(
        "--rules rules.toml --action subscribe house/#",
        0,
        &[
            "allowed",
            "  rule     role all: { allow = \"read\", topics = \"house/#\" }",
            "  file     rules.toml:8",
            "  layer    rules",
            "  note     each message is checked when it is delivered: ask with --action receive",
            "  limit    role all: qos_max = 1 (rules.toml:6, rules)",
        ],
    );
    assert_eq!(ask("--rules rules.toml --action receive house/safe").code, Some(1));
    assert_eq!(ask("--rules rules.toml --user anna --action publish house/door --qos 1").code, Some(0));
    assert_eq!(ask("--rules rules.toml --user anna --unproved --action publish house/door").code, Some(1));
    expect(
        "--rules rules.toml --user anna --action publish house/door --qos 2",
        1,
        &[
            "denied",
            "  because  the QoS is higher than the client's roles allow",
            "  rule     role all: qos_max = 1",
            "  file     rules.toml:6",
            "  layer    rules",
            "  limit    role all: qos_max = 1 (rules.toml:6, rules)",
        ],
    );
    expect(
        "--rules rules.toml --default allow --action subscribe $SYS/#",
        1,
        &[
            "denied",
            "  because  no rule about subscribe matches, and the default never allows $SYS or administration",
            "  layer    built in",
            "  limit    role all: qos_max = 1 (rules.toml:6, rules)",
        ],
    );
    expect(
        "--rules rules.toml --user anna --action publish garden --qos 2",
        1,
        &[
            "denied",
            "  because  no rule about publish matches, and the default is to deny",
            "  rule     --default deny",
            "  layer    command line",
            "  limit    role all: qos_max = 1 (rules.toml:6, rules)",
        ],
    );
    expect(
        "--rules closed.toml --action publish a",
        1,
        &[
            "denied",
            "  because  no rule about publish matches, and the default is to deny",
            "  rule     default = \"deny\"",
            "  file     closed.toml:2",
            "  layer    rules",
        ],
    );
}

#[test]
fn a_question_that_cannot_be_answered_ends_with_2() {
    for (words, sentences) in [
        ("--acl none --action publish a", &["iothub acl check: none cannot be read: No such file"][..]),
        (
            "--acl wrong --action publish a",
            &[
                "iothub acl check: wrong, line 1: the name is missing",
                "iothub acl check: wrong, line 2: a line begins with",
            ],
        ),
        ("--acl acl --action publish a/+", &["iothub acl check: 'a/+' is no topic name"]),
        ("--acl acl --action subscribe a/#/b", &["iothub acl check: 'a/#/b' is no topic filter"]),
        ("--acl acl --action fly a", &["Error: invalid action 'fly': publish"]),
        ("--acl acl --action publish --qos 3 a", &["Error: "]),
        ("--action publish a", &["Error: the following required arguments were not provided"]),
        ("--acl acl a", &["Error: the following required arguments were not provided"]),
    ] {
        let ended = ask(words);
        assert_eq!((ended.code, ended.out.len()), (Some(2), 0), "{words}: {ended:?}");
        for sentence in sentences {
            assert!(
                ended.errors.iter().any(|line| line.starts_with(sentence)),
                "{words}: {sentence}: {ended:?}"
            );
        }
    }
}

#[test]
fn a_role_or_a_group_that_no_rule_knows_is_said() {
    let ended = ask(
        "--rules rules.toml --user anna --role nosuch --role all --group plant --action publish house/door",
    );
    let said = ended.out.join("\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(said.contains("note     no rule knows the role `nosuch`, and it gives nothing"), "{said}");
    assert!(
        said.contains("note     no rule knows the group `plant`") && !said.contains("role `all`"),
        "{said}"
    );
}

#[test]
fn a_checkout_whose_files_a_group_can_change_is_asked_and_warned_of() {
    let setup = Setup::bare("acl-group");
    let path = setup.folder().join("acl");
    fs::write(&path, ACL).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let words = "acl check --acl acl --user anna --action publish house/door";
    let ended = setup.args(words.split(' ')).run();
    assert_eq!((ended.code, ended.out.first().map(String::as_str)), (Some(0), Some("allowed")), "{ended:?}");
    let warned = ended.errors.concat();
    assert!(warned.contains("a broker refuses this file") && warned.contains("chmod go-w acl"), "{warned}");
}
