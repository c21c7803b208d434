//! The command line itself: what it answers without starting anything.

use e2e::Setup;

#[test]
fn version_and_help_end_with_success() {
    for flag in ["--version", "-V"] {
        let ended = Setup::bare("version").args([flag]).run();
        assert_eq!((ended.code, ended.errors.len()), (Some(0), 0));
        assert_eq!(ended.out, [format!("iothub {}", env!("CARGO_PKG_VERSION"))]);
    }
    let ended = Setup::bare("help").args(["--help"]).run();
    assert_eq!((ended.code, ended.errors.len()), (Some(0), 0));
    for word in
        ["--config", "--port", "--listen", "--shards", "--test-config", "--version", "pub", "sub", "health"]
    {
        assert!(ended.says(word), "{word} is missing: {ended:?}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    for (args, sentence) in [
        (&["--no-such-flag"][..], "Error: unexpected argument '--no-such-flag' found"),
        (&["no-such-command"], "Error: unrecognized subcommand 'no-such-command'"),
        (&["-v", "-q"], "Error: the argument '--verbose...' cannot be used with '--quiet...'"),
        (
            &["-p", "1", "--listen", "a:1"],
            "Error: the argument '--port <PORT>' cannot be used with '--listen",
        ),
        (&["--shards"], "Error: a value is required for '--shards <N>' but none was supplied"),
    ] {
        let ended = Setup::bare("wrong").args(args).run();
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.says(sentence), "{ended:?}");
        assert!(ended.says("--help"), "{ended:?}");
    }
}

#[test]
fn test_config_says_what_is_set_and_by_whom_and_starts_nothing() {
    let ended = Setup::bare("test-config").with_api().args(["--test-config"]).run();
    assert_eq!(ended.code, Some(0));
    // Where a test's broker keeps its tokens is no setting of this test.
    let mut out = ended.out;
    out.retain(|line| !line.starts_with("api.tokens_file = "));
    assert_eq!(out, ["configuration ok", "would listen on tcp://127.0.0.1:1883 and tcp://[::1]:1883"]);

    let ended = Setup::bare("test-config-sources")
        .config("[server]\nmax_connections = 77\n[session]\nmax_inflight = 5\n")
        .variable("IOTHUB_SESSION__MAX_INFLIGHT", "6")
        .args(["--shards", "3", "-p", "5", "--test-config"])
        .run();
    assert_eq!(ended.code, Some(0));
    for line in [
        "runtime.shards = 3 (flag --shards)",
        "server.listen_addresses = [\"tcp://127.0.0.1:5\", \"tcp://[::1]:5\"] (flag --port)",
        "would listen on tcp://127.0.0.1:5 and tcp://[::1]:5",
    ] {
        assert!(ended.out.iter().any(|shown| shown == line), "{ended:?}");
    }
    assert!(ended.says("server.max_connections = 77 ("), "{ended:?}");
    assert!(
        ended.says("session.max_inflight = 6 (environment variable IOTHUB_SESSION__MAX_INFLIGHT)"),
        "{ended:?}"
    );

    let ended = Setup::bare("test-config-wrong").config("[log]\nlevel = 5\n").args(["--test-config"]).run();
    assert_eq!((ended.code, ended.out.len(), ended.errors.len()), (Some(1), 0, 1));
}

#[test]
fn the_file_of_the_source_tree_changes_nothing() {
    let path = e2e::program::source("../../config.toml").display().to_string();
    let ended = Setup::bare("test-config-shipped").args(["--config", &path, "--test-config"]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.says("would listen on tcp://127.0.0.1:1883 and tcp://[::1]:1883"), "{ended:?}");
}
