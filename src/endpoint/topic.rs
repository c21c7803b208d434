//! Topics of the command line: checked before anything is sent, and refused with the reason.

use client::wire;

/// A topic to publish to.
pub fn parse_name(text: &str) -> Result<String, String> {
    let why = match text {
        "" => "it is empty",
        _ if text.contains(['+', '#']) => "`+` and `#` are for subscriptions",
        _ if !wire::is_topic_name(text) => "it contains a NUL character or is longer than 65535 bytes",
        _ => return Ok(text.to_owned()),
    };
    Err(format!("invalid topic '{text}': {why}"))
}

/// A topic filter of one's own.
pub fn parse_filter(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("invalid topic filter '': it is empty; `#` stands for all topics".to_owned());
    }
    if wire::is_topic_filter(text) {
        return Ok(text.to_owned());
    }
    Err(format!("invalid topic filter '{text}': `+` and `#` must be whole levels, and `#` the last one"))
}

/// A topic filter, or the one of a shared subscription.
pub fn parse_shared_filter(text: &str) -> Result<String, String> {
    let is_shared = text == SHARE || text.strip_prefix(SHARE).is_some_and(|rest| rest.starts_with('/'));
    if !is_shared {
        return parse_filter(text);
    }
    match wire::shared_filter(text) {
        Ok(Some(_)) => Ok(text.to_owned()),
        Ok(None) | Err(_) => Err(format!(
            "invalid shared subscription '{text}': write '$share/GROUP/FILTER', the group without `+` and `#`"
        )),
    }
}

const SHARE: &str = "$share";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_filters_are_told_apart() {
        for text in ["a", "/", "-x", "$share/g"] {
            assert_eq!(parse_name(text).as_deref(), Ok(text));
        }
        for text in ["#", "a/+/b", "$share/g/#", "$share/g/a", "$shared", "-x"] {
            assert_eq!(parse_shared_filter(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn mistakes_get_a_fitting_sentence() {
        for (outcome, expected) in [
            (parse_name(""), "it is empty"),
            (parse_name("a/+"), "`+` and `#` are for subscriptions"),
            (parse_name("a\0"), "NUL"),
            (parse_filter(""), "it is empty"),
            (parse_shared_filter("a#"), "must be whole levels"),
            (parse_shared_filter("$share"), "write '$share/GROUP/FILTER'"),
            (parse_shared_filter("$share/g"), "write '$share/GROUP/FILTER'"),
            (parse_shared_filter("$share//a"), "write '$share/GROUP/FILTER'"),
            (parse_shared_filter("$share/+/a"), "write '$share/GROUP/FILTER'"),
        ] {
            let message = outcome.expect_err("this is no topic");
            assert!(message.contains(expected), "{message}");
        }
    }
}
