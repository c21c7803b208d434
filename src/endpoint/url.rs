//! The `mqtt://[user[:password]@]host[:port]/topic` of `-L`, or `mqtts://`, `ws://`, `wss://`. Nothing in it is percent-decoded, as with mosquitto's
//! tools: a topic may contain `%`.

use super::parse_port;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    pub username: Option<String>,
    pub password: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    pub topic: String,
}

/// The transport that a URL asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    pub tls: bool,
    pub websocket: bool,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, String> {
        let problem = |why: &str| format!("invalid URL '{text}': {why}");
        let missing = "it must begin with mqtt://, mqtts://, ws:// or wss://";
        let found = SCHEMES.iter().find_map(|(name, scheme)| Some((text.strip_prefix(name)?, *scheme)));
        let (rest, scheme) = found.ok_or_else(|| problem(missing))?;
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
            scheme,
            username: username.map(str::to_owned),
            password: password.map(str::to_owned),
            host: host.to_owned(),
            port,
            topic: topic.to_owned(),
        })
    }
}

const SCHEMES: [(&str, Scheme); 4] = [
    ("mqtt://", Scheme { tls: false, websocket: false }),
    ("mqtts://", Scheme { tls: true, websocket: false }),
    ("ws://", Scheme { tls: false, websocket: true }),
    ("wss://", Scheme { tls: true, websocket: true }),
];

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
    fn the_scheme_says_what_is_around_mqtt() {
        for (text, tls, websocket) in [
            ("mqtt://h/a", false, false),
            ("mqtts://u:p@h:1/a", true, false),
            ("ws://h/a/b", false, true),
            ("wss://[::1]:443/a", true, true),
        ] {
            let url = Url::parse(text).expect("a right URL");
            assert_eq!(url.scheme, Scheme { tls, websocket }, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("http://h/a", "must begin with mqtt://"),
            ("mqttss://h/a", "must begin with mqtt://"),
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
