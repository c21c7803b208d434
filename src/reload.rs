//! `iothub reload`: asks a broker that runs to read its configuration again, or what would change if it did.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::{Meant, RELOAD},
    output,
    remote::{Question, REFUSED, RemoteArgs, UNREACHABLE, Unasked},
};

/// Ask a broker to read its configuration and every file that it names again.
///
/// All of it counts then, or, with anything wrong in it, nothing. The broker is found as it finds its control socket: by the same
/// configuration. A broker that reads another file than FILE refuses. Exit codes: 0 done, 1 refused and nothing changed, 2 the broker
/// could not be asked.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    broker: RemoteArgs,
    /// Say what would change, and change nothing
    #[arg(long)]
    plan: bool,
}

pub fn run(args: &ReloadArgs) -> ExitCode {
    let method = if args.plan { "GET" } else { "POST" };
    args.broker.tell_overridden();
    let body = args.broker.config().map(|config| json!(Meant { config: Some(config) }).into());
    match args.broker.ask(&Question { method, path: RELOAD, body }) {
        Ok((status, answer)) => {
            let (text, code) = told(status, &answer);
            if code != 0 {
                text.lines().for_each(|line| output::complain("iothub reload", line));
            } else if let Err(why) = output::print(&text) {
                // It is done, whoever hears of it.
                output::complain("iothub reload", &why);
            }
            ExitCode::from(code)
        }
        Err(unasked @ Unasked::Mistaken(_)) => {
            unasked.tell("iothub reload");
            output::complain("iothub reload", "nothing is changed");
            ExitCode::from(REFUSED)
        }
        Err(unasked) => unasked.tell("iothub reload"),
    }
}

/// What is printed, and the exit code.
pub fn told(status: u16, answer: &Value) -> (String, u8) {
    let list = |name: &str| -> Vec<&str> {
        answer[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let mut text = String::new();
    if status != 200 {
        list("problems").iter().for_each(|problem| text.push_str(&format!("{problem}\n")));
        let (end, code) = match status {
            409 => ("nothing is changed", REFUSED),
            _ => ("the broker was not asked", UNREACHABLE),
        };
        text.push_str(&format!("{end}\n"));
        return (text, code);
    }
    let changes = list("changes");
    let head = match (answer["outcome"] == "planned", changes.is_empty()) {
        (true, true) => "a reload would change nothing",
        (true, false) => "a reload would change:",
        (false, true) => "reloaded; nothing has changed",
        (false, false) => "reloaded:",
    };
    let pid = &answer["pid"];
    text.push_str(&format!("broker {pid}: {head}\n"));
    changes.iter().for_each(|change| text.push_str(&format!("  {change}\n")));
    let waiting = list("waiting");
    if !waiting.is_empty() {
        text.push_str(&format!("waits for the next start: {}\n", waiting.join(", ")));
    }
    list("overridden").iter().for_each(|sentence| text.push_str(&format!("note: {sentence}\n")));
    answer["watched"].as_str().into_iter().for_each(|sentence| text.push_str(&format!("note: {sentence}\n")));
    list("warnings").iter().for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
    (text, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_told_with_its_exit_code() {
        let done = json!({ "outcome": "done", "pid": 7, "changes": ["a"], "waiting": ["b", "c"], "overridden": ["e"], "watched": "f", "warnings": ["d"] });
        assert_eq!(
            told(200, &done),
            (
                "broker 7: reloaded:\n  a\nwaits for the next start: b, c\nnote: e\nnote: f\nwarning: d\n"
                    .to_owned(),
                0
            )
        );
        let planned = json!({ "outcome": "planned", "pid": 7, "changes": [] });
        assert_eq!(told(200, &planned), ("broker 7: a reload would change nothing\n".to_owned(), 0));
        let refused = json!({ "outcome": "refused", "problems": ["x:3: wrong"] });
        assert_eq!(told(409, &refused), ("x:3: wrong\nnothing is changed\n".to_owned(), 1));
        assert_eq!(told(503, &json!({ "problems": [] })).1, 2);
    }
}
