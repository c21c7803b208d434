//! What a broker's API at a URL did not answer by, in words, and what to do about it.

/// What was heard instead of an answer, with what that usually means.
pub fn explained(url: &str, error: &str) -> String {
    let meant = MEANT.iter().find(|meant| url.starts_with(meant.scheme) && error.contains(meant.said));
    match meant {
        Some(Meant { remedy, .. }) => format!("{error}: {remedy}"),
        None => error.to_owned(),
    }
}

struct Meant {
    /// With which the URL begins.
    scheme: &'static str,
    said: &'static str,
    remedy: &'static str,
}

const MEANT: [Meant; 7] = [
    Meant {
        scheme: "https:",
        said: "InvalidContentType",
        remedy: "no TLS is spoken there. Ask http://, if it is an API without a certificate (api.certificate)",
    },
    Meant {
        scheme: "https:",
        said: "invalid peer certificate",
        remedy: "its certificate is not trusted. Name the authority that has signed it (--ca-file FILE), and the host as the certificate has it",
    },
    Meant { scheme: "http:", said: "protocol:", remedy: HTTPS },
    Meant { scheme: "http:", said: "Invalid HTTP", remedy: HTTPS },
    Meant {
        scheme: "http",
        said: "Connection refused",
        remedy: "nobody listens there. Does the broker run, and is its API at this port (api.listen; 9883 without it)?",
    },
    Meant { scheme: "http", said: "Peer disconnected", remedy: CLOSED },
    Meant { scheme: "http", said: "Connection reset", remedy: CLOSED },
];

const HTTPS: &str = "no HTTP is spoken there. Ask https://, if it is an API with a certificate";
const CLOSED: &str = "it closes the connection without an answer, as a listener for MQTT does. The API is at a port of its own \
                      (api.listen; 9883 without it), and is asked by https:// where it has a certificate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_on_the_way_is_told_with_what_to_do() {
        for (url, error, said) in [
            ("https://h:1/v1", "h: io: received corrupt message of type InvalidContentType", "Ask http://"),
            ("https://h:1/v1", "h: io: invalid peer certificate: UnknownIssuer", "--ca-file FILE"),
            ("http://h:1/v1", "h: protocol: http parse fail: invalid HTTP version", "Ask https://"),
            ("http://h:1/v1", "h: io: Connection refused (os error 111)", "nobody listens there"),
            ("http://h:1/v1", "h: io: Peer disconnected", "a listener for MQTT"),
        ] {
            let told = explained(url, error);
            assert!(told.starts_with(error) && told.contains(said), "{told}");
        }
        assert_eq!(explained("http://h/", "something else"), "something else");
    }
}
