//! Files of another kind, recognised where one is given in the place of our configuration: nothing of them is shown, because
//! several of them hold secrets.

use super::{Key, mosquitto};

/// What to do about a file that is no configuration of ours, if it is of a kind that we know.
pub fn remedy(text: &str) -> Option<&'static str> {
    if is_pem(text) {
        Some(PEM)
    } else if are_rules(text) {
        Some(RULES)
    } else if are_users(text) {
        Some(USERS)
    } else {
        mosquitto::is_one(text).then_some(mosquitto::REMEDY)
    }
}

/// Whether it was meant to be ours: it begins a section that we have, or sets a key that we have.
pub fn is_ours(text: &str) -> bool {
    text.lines().any(|line| section(line).is_some() || key(line).is_some())
}

/// The section that the line begins, if it is one of ours.
pub fn section(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix('[')?.trim_start_matches('[');
    let name = name.split(']').next()?.trim();
    Key::sections_and_lists().contains(&name).then_some(name)
}

/// The key that the line sets, if any section of ours has one of this name.
pub fn key(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let name = name.trim();
    Key::is_name(name).then_some(name)
}

fn is_pem(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("-----BEGIN "))
}

/// mosquitto's ACL file. A line of `user` alone is also one of mosquitto's configuration.
fn are_rules(text: &str) -> bool {
    let mut words = lines(text).map(|line| line.split(' ').next().unwrap_or_default()).peekable();
    let mut has_topic = false;
    let are_all = words.all(|word| {
        has_topic |= word != "user";
        ["user", "topic", "pattern"].contains(&word)
    });
    are_all && has_topic
}

/// A name, a colon, and a hash with its kind between dollar signs, at least once.
fn are_users(text: &str) -> bool {
    let hash =
        |line: &str| line.split_once(':').map(|(_, hash)| hash.starts_with('$') || hash.contains("$$"));
    lines(text).any(|line| hash(line) == Some(true)) && lines(text).all(|line| hash(line).is_some())
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

const PEM: &str = "this is a certificate or a key, and no configuration: a configuration names such files in tls.certificate_files \
                   and tls.key_files";
const RULES: &str =
    "these are rules of access, and no configuration: a configuration names them in access.acl_file";
const USERS: &str = "these are users with their passwords, and no configuration: a configuration names such a file in \
                     authentication.password_file";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_told_apart() {
        for (text, kind) in [
            ("-----BEGIN PRIVATE KEY-----\nMIIE\n", PEM),
            ("# mine\nuser anna\ntopic readwrite a/#\n\npattern read b/%u\n", RULES),
            ("topic a\n", RULES),
            ("anna:$7$101$c2FsdA==$aGFzaA==\nbert:$6$c2FsdA==$aGFzaA==\n", USERS),
            ("root:*:20228:0:99999:7:::\nanna:$y$j9T$c2FsdA$aGFzaA:20228:0:99999:7:::\n", USERS),
            ("user mosquitto\nlistener 1883\n", mosquitto::REMEDY),
        ] {
            assert_eq!(remedy(text), Some(kind), "{text}");
        }
        for text in ["", "root:*:20228:0:99999:7:::\n", "hello\n", "{\"a\": \"$\"}\n", "[server\nmax = 5"] {
            assert_eq!(remedy(text), None, "{text}");
        }
    }

    #[test]
    fn ours_begins_a_section_or_sets_a_key_that_we_have() {
        for text in ["[server\n", "a b\n[[listener]]\n", "max_connections = \n", "x\n  level=\"\n"] {
            assert!(is_ours(text), "{text}");
        }
        for text in ["", "[database]\npassword = \"\n", "level\n", "server: 5\n", "# [server]\n"] {
            assert!(!is_ours(text), "{text}");
        }
    }
}
