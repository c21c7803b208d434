//! A mistake in flags, environment or file: one sentence, exit code 1, and nothing has started.

use std::{fs, os::unix::fs::PermissionsExt};

use e2e::{Confinement, Ended, Setup};

#[test]
fn a_mistake_in_a_flag_names_the_flag() {
    for (args, sentence) in [
        (&["--port", "x"][..], "flag --port: x: expected a whole number from 0 to 65535"),
        (&["--shards", "129"], "flag --shards: 129: expected a whole number from 0 to 128"),
        (&["--shards", "-1"], "flag --shards: -1: expected a whole number from 0 to 128"),
        (&["--log-format", "xml"], "flag --log-format: xml: expected one of \"text\", \"json\""),
        (
            &["--listen", "quic://0.0.0.0:8883"],
            "flag --listen: quic://0.0.0.0:8883: quic:// is not known (there are tcp://, tls://, ws://, wss://, any://, \
             unix://): expected tcp://HOST:PORT, for example tcp://0.0.0.0:1883 or tls://[::]:8883",
        ),
        (
            &["--listen", "1883"],
            "flag --listen: 1883: a number alone is not a host (-p 1883 changes only the port): \
             expected tcp://HOST:PORT, for example tcp://0.0.0.0:1883 or tls://[::]:8883",
        ),
        (
            &["--listen", "tcp://127.0.0.1:1", "--listen", "127.0.0.1:1"],
            "flag --listen: tcp://127.0.0.1:1,127.0.0.1:1: tcp://127.0.0.1:1 is there twice: name each address once",
        ),
        (
            &["--listen", "tcp://*:1883"],
            "flag --listen: tcp://*:1883: * is not an address: write 0.0.0.0 for every IPv4 address, [::] for every \
             address",
        ),
        (
            &["--listen", "tcp://127.0.0.1:99999"],
            "flag --listen: tcp://127.0.0.1:99999: the port is a number from 0 to 65535: expected tcp://HOST:PORT, \
             for example tcp://0.0.0.0:1883 or tls://[::]:8883",
        ),
    ] {
        let ended = Setup::bare("mistake-flag").args(args).run();
        expect_sentences(&ended, &[sentence]);
    }
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (name, value, sentence) in [
        (
            "IOTHUB_SERVER__MAX_CONNECTIONS",
            "many",
            "environment variable IOTHUB_SERVER__MAX_CONNECTIONS: many: expected a whole number from 1 to 10000000",
        ),
        (
            "IOTHUB_SERVER__MAX_CONECTIONS",
            "5",
            "environment variable IOTHUB_SERVER__MAX_CONECTIONS: unknown variable: did you mean \
             IOTHUB_SERVER__MAX_CONNECTIONS?",
        ),
        (
            "IOTHUB_SESSION__QUEUE_FULL",
            "drop",
            "environment variable IOTHUB_SESSION__QUEUE_FULL: drop: expected one of \"drop_newest\", \"drop_oldest\"",
        ),
    ] {
        let ended = Setup::new("mistake-environment").variable(name, value).run();
        expect_sentences(&ended, &[sentence]);
    }
}

#[test]
fn every_mistake_in_the_file_is_named_with_line_key_value_and_remedy() {
    let text = "[server]\n\
                max_conections = 5\n\
                max_packet_size = \"257 MiB\"\n\
                listen_addresses = [\"unix://run/mqtt\"]\n\
                [session]\n\
                queue_qos0 = \"yes\"\n";
    let setup = Setup::bare("mistake-file").config(text);
    let path = setup.folder().join("iothub.toml").display().to_string();
    let ended = setup.run();
    let sentences = [
        "line 2: server.max_conections: unknown key: did you mean max_connections?",
        "line 3: server.max_packet_size = \"257 MiB\": expected a number of bytes from 64 to 268435460, plain or with \
         a unit such as \"64 KiB\" or \"1 MiB\"",
        "line 4: server.listen_addresses = [\"unix://run/mqtt\"]: the path of a socket is absolute: expected \
         unix:///PATH, for example unix:///run/iothub/mqtt.sock",
        "line 6: session.queue_qos0 = \"yes\": expected true or false",
    ]
    .map(|sentence| format!("{path}, {sentence}"));
    expect_sentences(&ended, &sentences.each_ref().map(String::as_str));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let setup = Setup::bare("mistake-unreadable");
    let folder = setup.folder().display().to_string();
    let ended = setup.args(["--config", "no-such-file.toml"]).run();
    expect_sentences(
        &ended,
        &["no-such-file.toml: cannot read the configuration file: No such file or directory (os error 2)"],
    );

    let ended = Setup::bare("mistake-folder").args(["--config", &folder]).run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.says(&format!("iothub: {folder}: cannot read the configuration file: ")), "{ended:?}");

    expect_sentences(
        &Setup::bare("mistake-device").args(["--config", "/dev/zero"]).run(),
        &["/dev/zero: cannot read the configuration file: it is not a regular file"],
    );

    let ended = Setup::bare("mistake-toml").config("[server\n").run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.says("line 1: server: this is not TOML: "), "{ended:?}");
}

#[test]
fn mistakes_of_all_sources_are_told_at_once() {
    let ended = Setup::bare("mistake-all")
        .config("[log]\nlevel = \"loud\"\n")
        .variable("IOTHUB_RUNTIME__SHARDS", "all")
        .args(["--port", "-1"])
        .run();
    assert_eq!(ended.errors.len(), 3, "{ended:?}");
    assert!(ended.says("line 2: log.level = \"loud\""), "{ended:?}");
    assert!(ended.says("IOTHUB_RUNTIME__SHARDS: all"), "{ended:?}");
    assert!(ended.says("flag --port: -1"), "{ended:?}");
}

#[test]
fn everything_that_is_wrong_with_named_files_is_told_at_once_with_the_line_that_names_them() {
    let text = "[server]\nlisten_addresses = [\"tls://127.0.0.1:0\", \"tcp://no-such-host.invalid:1\"]\n\
                [tls]\ncertificate_files = [\"a.pem\"]\nkey_files = [\"a.key\"]\nclient_certificates = \"required\"\n\
                client_ca_file = \"ca.pem\"\nclient_crl_file = \"crl.pem\"\n\
                [authentication]\npassword_file = \"users\"\nscram_file = \"scram\"\nhttp_url = \"localhost:8000\"\n\
                [access]\nacl_file = \"acl\"\nshadow_rules_file = \"rules\"\n\
                [audit]\nfile = \"/nonexistent/audit\"\nevents = [\"connect\"]\n\
                [store]\ndir = \"/dev/null/data\"\n\
                [[listener]]\naddress = \"tls://127.0.0.1:1\"\nclient_ca_file = \"own.pem\"\n";
    let ended = Setup::bare("mistake-files").config(text).args(["--test-config"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for sentence in [
        "line 2: server.listen_addresses = [",
        "line 4: tls.certificate_files = [\"a.pem\"]: a.pem cannot be read",
        "line 5: tls.key_files = [\"a.key\"]: a.key",
        "line 7: tls.client_ca_file = \"ca.pem\": ca.pem cannot be read",
        "line 8: tls.client_crl_file = \"crl.pem\": crl.pem cannot be read",
        "line 10: authentication.password_file = \"users\": users cannot be read",
        "line 11: authentication.scram_file = \"scram\": scram cannot be read",
        "line 12: authentication.http_url = \"localhost:8000\": ",
        "line 14: access.acl_file = \"acl\": acl cannot be read",
        "line 15: access.shadow_rules_file = \"rules\": rules cannot be read",
        "line 17: audit.file = \"/nonexistent/audit\": there is no folder /nonexistent",
        "line 18: audit.events = [\"connect\"]: `connect` is no event",
        "line 20: store.dir = \"/dev/null/data\": ",
        "line 23: listener.client_ca_file = \"own.pem\": own.pem cannot be read",
    ] {
        assert!(ended.errors.iter().any(|line| line.contains(sentence)), "{sentence}\n{ended:?}");
    }
    assert_eq!(ended.errors.len(), 14, "each once: {ended:?}");
}

#[test]
fn a_place_that_a_start_could_not_take_is_named_with_key_and_line() {
    let setup = Setup::bare("mistake-places").with_api();
    let sealed = setup.folder().join("sealed");
    fs::create_dir(&sealed).unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o555)).unwrap();
    let sealed = sealed.display().to_string();
    let text = format!(
        "[server]\nlisten_addresses = [\"unix:///nonexistent/a.sock\", \"unix:///dev/null\"]\n\
         [store]\ndir = \"{sealed}/a/b\"\n[control]\nsocket = \"{sealed}/c\"\n\
         [api]\ntokens_file = \"{sealed}/tokens\"\n[audit]\nfile = \"{sealed}/audit\"\n\
         [[listener]]\naddress = \"unix://{sealed}/b.sock\"\n"
    );
    let ended = setup.config(&text).confined(Confinement::NoOverride).args(["--test-config"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let nothing = format!("nothing can be made in the folder {sealed}: Permission denied");
    for sentence in [
        "]: there is no folder /nonexistent: make it (install -d /nonexistent), or name another path"
            .to_owned(),
        "]: cannot listen on unix:///dev/null: something that is no socket".to_owned(),
        format!(
            "line 4: store.dir = \"{sealed}/a/b\": the data directory cannot be made in {sealed}: Permission denied"
        ),
        format!("line 6: control.socket = \"{sealed}/c\": {nothing}"),
        format!("line 8: api.tokens_file = \"{sealed}/tokens\": {nothing}"),
        format!("line 10: audit.file = \"{sealed}/audit\": {nothing}"),
        format!("line 12: listener.address = \"unix://{sealed}/b.sock\": {nothing}"),
    ] {
        let shown = ended.errors.iter().filter(|line| line.contains(&sentence)).count();
        // A long value is cut in the line, and what is wrong with it is not.
        assert_eq!(shown, 1, "{sentence}\n{ended:?}");
    }
    assert_eq!(ended.errors.len(), 7, "{ended:?}");
}

#[test]
fn of_the_two_files_of_the_audit_log_the_one_that_cannot_be_opened_is_named_with_its_key() {
    let setup = Setup::bare("mistake-acts").config("[audit]\nfile = \"audit\"\n");
    let path = setup.folder().join("audit.acts");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = setup.args(["--test-config"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let sentence = "line 2: audit.file = \"audit\": others can read audit.acts or write to it (mode 644). Write: chmod 600 audit.acts";
    assert!(ended.errors.len() == 1 && ended.errors[0].ends_with(sentence), "{ended:?}");
}

#[track_caller]
fn expect_sentences(ended: &Ended, sentences: &[&str]) {
    let expected: Vec<String> = sentences.iter().map(|sentence| format!("iothub: {sentence}")).collect();
    assert_eq!(ended.errors, expected);
    assert_eq!((ended.code, ended.out.len()), (Some(1), 0));
}
