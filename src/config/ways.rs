//! The ways to find out who a client is, and which of them a listener asks in which order.

use super::{Listener, admission::Anonymous, admission::Authentication, admission::CertificateUser};

/// One way. Whether it is there is said by its own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Certificate,
    Token,
    Database,
    Scram,
    Password,
    Http,
}

/// What a listener says of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ways {
    #[default]
    Inherited,
    /// Nobody is asked anything.
    Off,
    /// Never empty.
    These(Vec<Way>),
}

/// How the clients of one listener are let in, from everything that is said about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Admittance {
    /// Those that are asked, in their order: each of them is configured.
    pub ways: Vec<Way>,
    pub anonymous: Anonymous,
}

impl Way {
    /// In their usual order.
    pub const ALL: [Way; 6] =
        [Way::Certificate, Way::Token, Way::Database, Way::Scram, Way::Password, Way::Http];

    pub fn word(self) -> &'static str {
        match self {
            Way::Certificate => "certificate",
            Way::Token => "token",
            Way::Database => "database",
            Way::Scram => "scram",
            Way::Password => "password",
            Way::Http => "http",
        }
    }

    /// The key that brings it.
    pub fn key(self) -> &'static str {
        match self {
            Way::Certificate => "certificate_user",
            Way::Token => "jwt_keys",
            Way::Database => "user_database",
            Way::Scram => "scram_file",
            Way::Password => "password_file",
            Way::Http => "http_url",
        }
    }

    /// Somebody looks at the user name of a CONNECT.
    fn checks_logins(self) -> bool {
        matches!(self, Way::Token | Way::Database | Way::Password | Way::Http)
    }

    /// A list of them, or what would be right.
    pub fn list(words: &[&str]) -> Result<Vec<Way>, String> {
        let known = Way::ALL.map(Way::word).join("\", \"");
        let mut ways = Vec::new();
        for word in words {
            let way = Way::ALL.into_iter().find(|way| way.word() == *word);
            let way = way.ok_or_else(|| format!("there is no \"{word}\": expected some of \"{known}\""))?;
            if ways.contains(&way) {
                return Err(format!("\"{word}\" is there twice: name each once"));
            }
            ways.push(way);
        }
        if ways.is_empty() { Err(format!("expected at least one of \"{known}\"")) } else { Ok(ways) }
    }

    /// As the file would write it.
    pub fn show(ways: &[Way]) -> String {
        format!("{:?}", ways.iter().map(|way| way.word()).collect::<Vec<_>>())
    }
}

impl Ways {
    pub fn show(&self) -> String {
        match self {
            Ways::Inherited => "\"inherited\"".to_owned(),
            Ways::Off => "\"off\"".to_owned(),
            Ways::These(ways) => Way::show(ways),
        }
    }
}

impl Authentication {
    pub fn has(&self, way: Way) -> bool {
        let text = match way {
            Way::Certificate => return self.certificate_user != CertificateUser::None,
            Way::Token => &self.jwt_keys,
            Way::Database => &self.user_database,
            Way::Scram => &self.scram_file,
            Way::Password => &self.password_file,
            Way::Http => &self.http_url,
        };
        !text.is_empty()
    }
}

impl Admittance {
    pub fn of(settings: &Authentication, listener: &Listener) -> Admittance {
        let ways = match &listener.authentication {
            Ways::Off => return Admittance { ways: Vec::new(), anonymous: Anonymous::Always },
            Ways::Inherited => &settings.order,
            Ways::These(ways) => ways,
        };
        Admittance {
            ways: ways.iter().copied().filter(|way| settings.has(*way)).collect(),
            anonymous: listener.anonymous.unwrap_or(settings.anonymous),
        }
    }

    /// A user name that is said counts as nothing.
    pub fn ignores_logins(&self) -> bool {
        !self.ways.iter().any(|way| way.checks_logins())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_asks_what_it_names_and_what_is_there_of_it() {
        let settings = Authentication {
            password_file: "users".to_owned(),
            http_url: "http://h".to_owned(),
            scram_file: "keys".to_owned(),
            ..Authentication::default()
        };
        let of = |settings: &Authentication, authentication: Ways| {
            Admittance::of(settings, &Listener { authentication, ..Listener::default() })
        };
        let inherited = of(&settings, Ways::Inherited);
        assert_eq!(inherited.ways, [Way::Scram, Way::Password, Way::Http]);
        let turned = Authentication { order: vec![Way::Http, Way::Token, Way::Scram], ..settings.clone() };
        assert_eq!(of(&turned, Ways::Inherited).ways, [Way::Http, Way::Scram]);
        let own = of(&turned, Ways::These(vec![Way::Scram, Way::Certificate]));
        assert_eq!((own.ignores_logins(), own.ways), (true, vec![Way::Scram]));
        assert_eq!(own.anonymous, Anonymous::Local);
        let off = of(&Authentication { anonymous: Anonymous::Never, ..settings }, Ways::Off);
        assert_eq!(off, Admittance { ways: Vec::new(), anonymous: Anonymous::Always });
        assert!(off.ignores_logins() && !inherited.ignores_logins());
    }
}
