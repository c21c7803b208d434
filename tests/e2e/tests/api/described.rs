//! The API against its own description, by a program that others wrote: schemathesis.

use std::process::Command;
use std::time::Duration;

use e2e::api::Api;
use e2e::{Link, Process, program, v5};

use super::{retain, setup};

#[test]
fn answers_are_as_the_description_says() {
    let data = program::fresh_folder("api-described-data");
    let setup = setup("api-described");
    std::fs::write(setup.folder().join("users"), "").unwrap();
    std::fs::set_permissions(
        setup.folder().join("users"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let dir = data.display().to_string();
    let config = "[authentication]\nuser_database = \"users\"\n[log]\nlevel = \"info\"\n";
    let broker = setup.config(config).args(["--data-dir", &dir]).start();
    let api = Api::of(&broker);
    let mut link = Link::connect(broker.port, v5("one"));
    link.subscribe("a/#", client::QoS::AtLeastOnce);
    retain(&mut link, "kept", "x");
    let url = format!("http://127.0.0.1:{}/v1/openapi.json", api.port);
    let mut command = Command::new(program::python().with_file_name("schemathesis"));
    command.current_dir(&data).env("NO_COLOR", "1").args(["run", &url]);
    command.args(["--header", &format!("Authorization: Bearer {}", api.token)]);
    // To end the broker, and what goes on for ever, are the business of other tests, and so is what compares traffic over seconds:
    // `each_order_of_the_busiest_is_by_what_was_asked` has all of its words.
    for path in ["/v1/drain", "/v1/events", "/v1/log", "/v1/trace", "/v1/published", "/v1/top"] {
        command.args(["--exclude-path", path]);
    }
    command.args(["--exclude-checks", EXCLUDED]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"]);
    command.args(["--generation-deterministic", "--request-timeout", "20"]);
    let mut process = Process::start("schemathesis", &mut command);
    let status = process.wait_at_most(PATIENCE);
    assert!(status.success(), "{}", process.shown());
    assert_eq!(api.get("/readyz").status, 200, "{}", broker.process.shown());
    drop(broker);
    std::fs::remove_dir_all(data).unwrap();
}

/// It asks several hundred times, on a machine that may do much else.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a filter or a cursor has to be, a schema does not say; and from the sixth wrong token on the answer is 429 instead of 401, so that
/// `each_role_may_ask_what_is_written_here_and_nothing_else` asks without tokens and with too little.
const EXCLUDED: &str = "positive_data_acceptance,ignored_auth";
