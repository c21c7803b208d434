//! How a client comes, as the terminal tells it: that it is banned, is not let in, or comes again and again, each with the command that says
//! or does more about it.

use serde_json::Value;

use super::{table::shown, target::Target};

/// A line of each, with what it is about.
pub fn lines(answer: &Value, target: &Target<'_>) -> Vec<(&'static str, String)> {
    let one = |about| (about, &answer[about]);
    let bans = answer["bans"].as_array().into_iter().flatten().map(|ban| ("banned", ban));
    let all = bans.chain(["barred", "refused", "reconnects"].map(one));
    all.filter(|(_, coming)| coming["text"].is_string())
        .map(|(about, coming)| {
            let text = shown(&coming["text"]);
            let command = coming["command"].as_str().map(|_| target.command(&shown(&coming["command"])));
            (about, command.map_or(text.clone(), |command| format!("{text} [{command}]")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::remote::RemoteArgs;

    #[test]
    fn each_stands_with_its_command_at_the_broker_that_was_asked() {
        let target = Target::Socket(RemoteArgs::at(Some("c.toml".into()), None, None));
        let answer = json!({
            "bans": [
                { "text": "this client id is banned", "command": "iothub ban remove -i c" },
                { "text": "the user anna is banned", "command": "iothub ban remove -u anna" },
            ],
            "barred": null,
            "refused": { "text": "it is not let in", "command": "iothub ctl events --kind refused -i c" },
            "reconnects": { "text": "it comes again" },
        });
        let lines = lines(&answer, &target);
        let expected = [
            ("banned", "this client id is banned [iothub ban remove -i c -c c.toml]"),
            ("banned", "the user anna is banned [iothub ban remove -u anna -c c.toml]"),
            ("refused", "it is not let in [iothub ctl events --kind refused -i c -c c.toml]"),
            ("reconnects", "it comes again"),
        ];
        assert_eq!(lines, expected.map(|(about, text)| (about, text.to_owned())));
    }
}
