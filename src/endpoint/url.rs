//! The `mqtt://[user[:password]@]host[:port]/topic` of `-L`. Nothing in it is percent-decoded, as with mosquitto's
//! tools: a topic may contain `%`.

use super::parse_port;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub username: Option<String>,
    pub password: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    pub topic: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, String> {
        let problem = |why: &str| format!("invalid URL '{text}': {why}");
        if text.starts_with("mqtts://") {
            return Err(problem("TLS is not built yet, so mqtt:// only"));
        }
        let rest = text.strip_prefix("mqtt://").ok_or_else(|| problem("it must begin with mqtt://"))?;
        let missing = "the topic is missing: mqtt://HOST/TOPIC";
        let (authority, topic) = rest.split_once('/').ok_or_else(|| problem(missing))?;
        if topic.is_empty() {
            return Err(problem(missing));
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (username, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            Some(Ok((username, password))) => (Some(username), Some(password)),
            Some(Err(username)) => (Some(username), None),
            None => (None, None),
        };
        // The colons of an IPv6 address are inside brackets.
        let host_end = place.find(']').map_or(0, |at| at + 1);
        let (host, port) = match place[host_end..].find(':') {
            Some(at) => (&place[..host_end + at], Some(parse_port(&place[host_end + at + 1..])?)),
            None => (place, None),
        };
        if host.is_empty() {
            return Err(problem("the host is missing"));
        }
        Ok(Url {
            username: username.map(str::to_owned),
            password: password.map(str::to_owned),
            host: host.to_owned(),
            port,
            topic: topic.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_arrives() {
        for (text, username, password, host, port, topic) in [
            ("mqtt://h/a", None, None, "h", None, "a"),
            ("mqtt://h:1884/a/b", None, None, "h", Some(1884), "a/b"),
            ("mqtt://u@h/a", Some("u"), None, "h", None, "a"),
            ("mqtt://u:p:q@h:1//a", Some("u"), Some("p:q"), "h", Some(1), "/a"),
            ("mqtt://u:@[::1]:5/a@b", Some("u"), Some(""), "[::1]", Some(5), "a@b"),
            ("mqtt://[::1]/a:9", None, None, "[::1]", None, "a:9"),
        ] {
            let url = Url::parse(text).expect("a right URL");
            let (user, word) = (url.username.as_deref(), url.password.as_deref());
            assert_eq!((user, word), (username, password), "{text}");
            assert_eq!((url.host.as_str(), url.port, url.topic.as_str()), (host, port, topic), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("http://h/a", "must begin with mqtt://"),
            ("mqtts://h/a", "TLS is not built yet"),
            ("mqtt://h", "topic is missing"),
            ("mqtt://h/", "topic is missing"),
            ("mqtt:///a", "host is missing"),
            ("mqtt://h:x/a", "invalid port 'x'"),
        ] {
            let message = Url::parse(text).expect_err("a wrong URL");
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
