//! The example of docs/access.md is read, and means what the text beside it says.

use access::{
    Action::{Admin, Publish, Receive, Subscribe},
    Who,
};

use crate::{allows, client, rules, toml, user};

/// The only block of TOML in the document.
fn example() -> &'static str {
    let text = include_str!("../../../../docs/access.md");
    let (_, rest) = text.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_example_means_what_is_said_of_it() {
    let rules = rules(toml(example()));
    for (who, action, topic, allowed) in [
        (client("x"), Subscribe, "news/+", true),
        (client("x"), Publish, "news/a", false),
        (Who { listener: "tcp://127.0.0.1:1883", ..client("x") }, Publish, "news/a", true),
        (user("x", "anna"), Publish, "staff/anna/a", true),
        (user("x", "anna"), Admin, "sessions/close", true),
        (Who { is_authenticated: false, ..user("x", "anna") }, Admin, "sessions/close", false),
        (client("sensor-1"), Publish, "plant/sensors/sensor-1/t", true),
        (client("sensor-1"), Publish, "plant/sensors/sensor-2/t", false),
        (user("7", "ben"), Publish, "plant/sensors/7/t", true),
        (Who { address: Some("10.0.0.7".parse().unwrap()), ..client("x") }, Subscribe, "plant/#", true),
        (Who { address: Some("10.0.0.7".parse().unwrap()), ..client("x") }, Receive, "plant/secret/1", false),
    ] {
        assert_eq!(allows(&rules, who, action, topic), allowed, "{who:?} {action} {topic}");
    }
    assert_eq!(rules.holder(&client("sensor-1")).limits().qos_max, Some(1));
}
