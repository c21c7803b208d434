//! `iothub why`: asks a broker that runs why a client gets a message, or does not.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::WHY,
    ctl::{
        Failure, shown,
        target::{Target, TargetArgs},
    },
    output,
    remote::{REFUSED, UNREACHABLE},
    text,
};

/// Ask why a client would get a message on a topic now, or not.
///
/// The broker goes the way of a message step by step, without one, and says what decides at each: a subscription, a rule with its file and
/// line, a key of the configuration. Then it tells what became of the last messages on the topic. Exit codes: 0 the client gets it, 1 it does not,
/// 2 the broker could not be asked.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The client id of the one who is to get it
    #[arg(long, value_name = "ID")]
    client: String,
    /// The topic, with the mount point where there is one
    #[arg(short, long, value_name = "TOPIC")]
    topic: String,
    /// The client id of the one who publishes it: whether it may and can is asked, too
    #[arg(long, value_name = "ID")]
    publisher: Option<String>,
    /// The QoS of the message
    #[arg(short, long, value_name = "QOS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// The message has the retain flag
    #[arg(short, long)]
    retain: bool,
    /// The bytes of its payload
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
    /// Print the broker's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: TargetArgs,
}

pub fn run(args: &WhyArgs) -> ExitCode {
    match ask(args) {
        Ok((answer, target)) => {
            let printed = match args.json {
                true => output::print_json(&format!("{answer}\n")),
                false => output::print(&told(args, &answer, &target)),
            };
            if let Err(why) = printed {
                return Failure::Unreachable(why).tell("iothub why");
            }
            let gets = matches!(answer["outcome"].as_str(), Some("goes" | "waits" | "perhaps"));
            ExitCode::from(if gets { 0 } else { REFUSED })
        }
        Err(failure) => {
            // Whatever the reason: there is no answer, which is another thing than one that says no.
            failure.tell("iothub why");
            ExitCode::from(UNREACHABLE)
        }
    }
}

fn ask(args: &WhyArgs) -> Result<(Value, Target<'_>), Failure> {
    let target = args.broker.open()?;
    let answer = target.ask("POST", WHY, Some(args.question()))?;
    Ok((answer, target))
}

impl WhyArgs {
    fn question(&self) -> Value {
        json!({
            "client_id": self.client,
            "topic": self.topic,
            "qos": self.qos,
            "retain": self.retain,
            "publisher": self.publisher,
            "payload_bytes": self.size,
        })
    }
}

fn told(args: &WhyArgs, answer: &Value, target: &Target<'_>) -> String {
    let [client, topic] = [&args.client, &args.topic].map(|text| shown(&json!(text)));
    let publisher = args.publisher.as_ref().map(|text| shown(&json!(text)));
    let end = match answer["outcome"].as_str() {
        Some("goes") => "would get it now",
        Some("waits") => "would get it later: it waits",
        Some("perhaps") => "may get it: members of a shared subscription take turns",
        Some("misses") => "would not get it: it is not for this client",
        _ => "would not get it",
    };
    let mut text = format!("{client} {end} ({topic} at QoS {})\n", args.qos);
    for (who, list) in [(publisher.unwrap_or_default(), "publisher"), (client, "client")] {
        let Some(steps) = answer[list].as_array() else { continue };
        text += &format!("{list} {who}:\n");
        steps.iter().for_each(|step| text += &line(step, target));
    }
    text
}

fn line(step: &Value, target: &Target<'_>) -> String {
    let says = match step["says"].as_str() {
        Some("yes") => "+",
        Some("no") => "-",
        Some("later") => "~",
        _ => " ",
    };
    let word = |name: &str| shown(&step[name]);
    // Rules name theirs in their own words.
    let is_named = |place: &str| step["text"].as_str().is_some_and(|text| text.contains(place));
    let place = step["place"].as_str().filter(|place| !is_named(place));
    let is_command = matches!(step["about"].as_str(), Some("let_in" | "ban"));
    let place = place.map_or(String::new(), |_| match is_command {
        true => format!(" [{}]", target.command(&word("place"))),
        false => format!(" [{}]", word("place")),
    });
    let at = step["at"].as_f64().map_or(String::new(), |at| format!(" ({})", text::moment(at)));
    format!("  {says} {:<13}{}{at}{place}\n", word("about"), word("text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: WhyArgs,
    }

    #[test]
    fn an_answer_is_told_in_lines_with_the_place_that_decides() {
        let line = Line::parse_from(["why", "--client", "c d", "-t", "a/b", "--publisher", "p", "-q", "1"]);
        let answer = json!({
            "outcome": "stops",
            "publisher": [{ "about": "publisher", "says": "yes", "text": "is there", "place": null }],
            "client": [
                { "about": "rules", "says": "no", "text": "denied", "place": "acl:2" },
                { "about": "rules", "says": "no", "text": "denied (acl:2, mosquitto ACL)", "place": "acl:2" },
            ],
        });
        let expected = "c d would not get it (a/b at QoS 1)\npublisher p:\n  + publisher    is there\n\
                        client c d:\n  - rules        denied [acl:2]\n  - rules        denied (acl:2, mosquitto ACL)\n";
        let target = line.args.broker.open().ok().expect("a socket");
        assert_eq!(told(&line.args, &answer, &target), expected);
    }

    #[test]
    fn a_command_that_is_offered_asks_the_same_broker_and_a_rule_is_no_command() {
        let line = Line::parse_from(["why", "--client", "c", "-t", "t", "-c", "my iothub.toml"]);
        let answer = json!({ "outcome": "stops", "publisher": null, "client": [
            { "about": "ban", "says": "no", "text": "banned", "place": "iothub ban remove -i c" },
            { "about": "rules", "says": "no", "text": "denied", "place": "acl:2" },
        ] });
        let target = line.args.broker.open().ok().expect("a socket");
        let expected = "c would not get it (t at QoS 0)\nclient c:\n  - ban          banned [iothub ban remove -i c -c 'my iothub.toml']\n  \
                        - rules        denied [acl:2]\n";
        assert_eq!(told(&line.args, &answer, &target), expected);
    }

    #[test]
    fn names_do_not_steer_the_terminal() {
        let named = "n\u{1b}]0;x\u{7}\u{9b}\u{202e}";
        let line = Line::parse_from(["why", "--client", named, "-t", named, "--publisher", named]);
        let answer = json!({ "outcome": "goes", "publisher": [], "client": [] });
        let visible = "n\\u{1b}]0;x\\u{7}\\u{9b}\\u{202e}";
        let expected = format!(
            "{visible} would get it now ({visible} at QoS 0)\npublisher {visible}:\nclient {visible}:\n"
        );
        let target = line.args.broker.open().ok().expect("a socket");
        assert_eq!(told(&line.args, &answer, &target), expected);
    }
}
