//! What is wrong with what a setting names, found only where it is used: a file that cannot be read, a name without an address.

use super::{Address, Key, Loaded, Origin, Problem, Settings, listener};

/// A sentence, and the key that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Section and name; none where the sentence names its file and line itself.
    key: Option<(&'static str, &'static str)>,
    /// Whose it is, if it is that of one.
    listener: Option<Address>,
    pub what: String,
}

impl Fault {
    pub fn of(section: &'static str, name: &'static str, what: String) -> Fault {
        Fault { key: Some((section, name)), listener: None, what }
    }

    /// The sentence says it all.
    pub fn elsewhere(what: String) -> Fault {
        Fault { key: None, listener: None, what }
    }

    /// The key that it is about has another value in the one than in the other.
    pub fn is_of_what_differs(&self, one: &Settings, other: &Settings) -> bool {
        let key = self.key.and_then(|(section, name)| Key::find(section, name));
        key.is_some_and(|key| key.show(one) != key.show(other))
    }

    /// What the listener may say itself, in place of the section.
    #[must_use]
    pub fn at(self, listener: &Address) -> Fault {
        Fault { listener: Some(listener.clone()), ..self }
    }
}

impl Loaded {
    /// Each once, with the file and the line, the variable or the flag: in the order of the configuration's lines, and what stands
    /// elsewhere behind them.
    pub fn sentences(&self, faults: &[Fault]) -> Vec<String> {
        let mut told: Vec<(usize, String)> = Vec::new();
        // What is wrong with several lines of a file is several lines.
        let each = faults.iter().flat_map(|fault| {
            fault.what.lines().map(|line| Fault { what: line.to_owned(), ..fault.clone() })
        });
        for fault in each {
            let sentence = self.sentence(&fault);
            if !told.contains(&sentence) {
                told.push(sentence);
            }
        }
        told.sort_by_key(|(line, _)| *line);
        told.into_iter().map(|(_, sentence)| sentence).collect()
    }

    /// With the line of the configuration that it begins with.
    fn sentence(&self, fault: &Fault) -> (usize, String) {
        let what = bare(fault);
        let told = |(origin, key, value): (Origin, String, String), remedy: String| {
            (origin.line_of_file(), Problem { origin, key, value, remedy }.to_string())
        };
        if let Some(origin) = self.of_listener(fault).or_else(|| self.of_section(fault)) {
            return told(origin, what.to_owned());
        }
        let remedy = match &fault.listener {
            Some(address) if !fault.what.contains(&address.to_string()) => format!("{address}: {what}"),
            _ => fault.what.clone(),
        };
        // Nobody has set the key, and it is wrong because of the listener.
        let (section, name) = listen_addresses();
        let of_address =
            fault.listener.as_ref().map(|address| Fault::of(section, name, String::new()).at(address));
        match of_address.and_then(|at| self.of_listener(&at).or_else(|| self.of_section(&at))) {
            Some(origin) => told(origin, remedy),
            None => (usize::MAX, remedy),
        }
    }

    /// Who says what the key is. None: nobody, so that it is the default.
    pub fn origin(&self, section: &str, name: &str) -> Option<&Origin> {
        let key = Key::find(section, name)?;
        self.origins.iter().find(|(known, _)| std::ptr::eq(*known, key)).map(|(_, origin)| origin)
    }

    /// The same of what a listener says itself.
    pub fn origin_of_listener(&self, address: &Address, name: &str) -> Option<&Origin> {
        self.listener_origin(address, name).map(|(_, origin)| origin)
    }

    fn listener_origin(&self, address: &Address, name: &str) -> Option<(usize, &Origin)> {
        let mut listeners = self.settings.listeners.iter();
        let at = listeners.position(|listener| listener.address.as_ref() == Some(address))?;
        let (_, origin) = self.listener_origins[at].iter().find(|(key, _)| key.name == name)?;
        Some((at, origin))
    }

    fn of_listener(&self, fault: &Fault) -> Option<(Origin, String, String)> {
        let (address, (_, name)) = (fault.listener.as_ref()?, fault.key?);
        // What the list of addresses is to the server.
        let name = if name == listen_addresses().1 { "address" } else { name };
        let (at, origin) = self.listener_origin(address, name)?;
        let own = self.settings.listeners[at].own();
        let value = own.into_iter().find(|(known, _)| *known == name);
        let value = value.map_or_else(|| format!("\"{address}\""), |(_, value)| value);
        Some((origin.clone(), format!("{}.{name}", listener::SECTION), value))
    }

    fn of_section(&self, fault: &Fault) -> Option<(Origin, String, String)> {
        let (section, name) = fault.key?;
        let key = Key::find(section, name)?;
        let origin = self.origin(section, name)?;
        Some((origin.clone(), format!("{section}.{name}"), key.told(&self.settings)))
    }
}

/// Without the key, which will stand before it.
fn bare(fault: &Fault) -> &str {
    let rest = fault.key.and_then(|(section, name)| fault.what.strip_prefix(&format!("{section}.{name}")));
    rest.and_then(|rest| rest.split_once(": ")).map_or(&fault.what, |(_, what)| what)
}

/// The key of addresses without settings of their own.
pub fn listen_addresses() -> (&'static str, &'static str) {
    ("server", "listen_addresses")
}
