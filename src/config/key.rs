//! The table of keys: for each its place in the settings and what it takes. Whatever sets a value goes through here.

use std::ops::RangeInclusive;

use runtime::Whom;
use transport::Prefix;

use super::{
    Address, ban, listener, moment,
    rates::{RATE_MAX, RatesOf},
    settings::Settings,
    table::KEYS,
    value::{Value, show_bytes},
    ways::{Way, Ways},
};

/// One line of the configuration.
#[derive(Debug)]
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    pub kind: Kind,
}

/// Keys in their order. Several tables share some of them.
#[derive(Debug, Clone, Copy)]
pub struct Keys(pub &'static [&'static [Key]]);

impl Keys {
    pub fn iter(self) -> impl Iterator<Item = &'static Key> + Clone {
        self.0.iter().copied().flatten()
    }
}

/// What a key takes.
#[derive(Debug)]
pub enum Kind {
    /// A whole number; `word`, where there is one, stands for one of them.
    Count {
        range: RangeInclusive<u64>,
        word: Option<(&'static str, u64)>,
        place: fn(&mut Settings) -> &mut u64,
    },
    /// A number of so many in a time, of which zero stands for what the word says.
    Rate {
        word: &'static str,
        rates: fn(&mut Settings) -> &mut RatesOf,
        place: fn(&mut RatesOf) -> &mut u64,
    },
    /// A number that is a power of two.
    Power {
        range: RangeInclusive<u64>,
        place: fn(&mut Settings) -> &mut u64,
    },
    /// A number of bytes.
    Bytes {
        range: RangeInclusive<u64>,
        place: fn(&mut Settings) -> &mut u64,
    },
    Flag {
        place: fn(&mut Settings) -> &mut bool,
    },
    /// One of these words, by its position.
    Word {
        words: &'static [&'static str],
        get: fn(&Settings) -> usize,
        set: fn(&mut Settings, usize),
    },
    /// Any text that an MQTT string can carry.
    Text {
        place: fn(&mut Settings) -> &mut String,
    },
    /// The beginning of a topic name: a text without wildcards.
    Topic {
        place: fn(&mut Settings) -> &mut String,
    },
    /// What stands before topics: levels with the slash at their end, or nothing.
    Mount {
        place: fn(&mut Settings) -> &mut String,
    },
    /// A list of texts, names of files for example.
    Texts {
        place: fn(&mut Settings) -> &mut Vec<String>,
    },
    /// A list of ways to find out who a client is.
    Order {
        place: fn(&mut Settings) -> &mut Vec<Way>,
    },
    /// Such a list, or a word in its place.
    Ways {
        place: fn(&mut Settings) -> &mut Ways,
    },
    /// The path of a URL.
    Path {
        place: fn(&mut Settings) -> &mut String,
    },
    /// A list of pages' origins.
    Origins {
        place: fn(&mut Settings) -> &mut Vec<String>,
    },
    /// A list of addresses and networks.
    Networks {
        place: fn(&mut Settings) -> &mut Vec<Prefix>,
    },
    /// A list of those who are banned, as texts.
    Banned {
        place: fn(&mut Settings) -> &mut Vec<String>,
        whom: fn(Box<str>) -> Whom,
    },
    /// A list of addresses and networks that are banned.
    BannedNetworks {
        place: fn(&mut Settings) -> &mut Vec<Prefix>,
    },
    /// The permissions of a file, in octal digits.
    Mode {
        place: fn(&mut Settings) -> &mut u64,
    },
    /// A moment of the calendar, in seconds of unix time.
    Moment {
        place: fn(&mut Settings) -> &mut Option<u64>,
    },
    Address {
        place: fn(&mut Settings) -> &mut Option<Address>,
    },
    Addresses {
        place: fn(&mut Settings) -> &mut Vec<Address>,
    },
    /// A list of hosts with ports, which may be empty.
    Endpoints {
        place: fn(&mut Settings) -> &mut Vec<String>,
    },
}

impl Key {
    pub fn find(section: &str, name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.section == section && key.name == name)
    }

    /// Those that it takes, if it takes words.
    pub fn words(&self) -> &'static [&'static str] {
        if let Kind::Word { words, .. } = &self.kind { words } else { &[] }
    }

    /// Without repetition, in the order of the table.
    pub fn sections() -> Vec<&'static str> {
        let mut sections: Vec<&'static str> = KEYS.iter().map(|key| key.section).collect();
        sections.dedup();
        sections
    }

    /// Those of which there can be several as well.
    pub fn sections_and_lists() -> Vec<&'static str> {
        [Key::sections(), vec![listener::SECTION, ban::SECTION]].concat()
    }

    /// Whether any section has a key of this name.
    pub fn is_name(name: &str) -> bool {
        KEYS.iter().chain(listener::KEYS.iter()).chain(ban::KEYS).any(|key| key.name == name)
    }

    pub fn names_of(section: &str) -> impl Iterator<Item = &'static str> {
        KEYS.iter().filter(move |key| key.section == section).map(|key| key.name)
    }

    /// `IOTHUB_SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("IOTHUB_{}__{}", self.section, self.name).to_ascii_uppercase()
    }

    /// Sets the value, or says what would be right.
    pub fn set(&self, settings: &mut Settings, value: &Value<'_>) -> Result<(), String> {
        let expected = || self.expected();
        match &self.kind {
            Kind::Count { range, word, place } => {
                *place(settings) = value.count(range, *word).ok_or_else(expected)?;
            }
            Kind::Rate { word, rates, place } => {
                let number = value.count(&(0..=RATE_MAX), Some((word, 0)));
                *place(rates(settings)) = number.ok_or_else(expected)?;
            }
            Kind::Power { range, place } => {
                let number = value.count(range, None).filter(|number| number.is_power_of_two());
                *place(settings) = number.ok_or_else(expected)?;
            }
            Kind::Bytes { range, place } => *place(settings) = value.bytes(range).ok_or_else(expected)?,
            Kind::Flag { place } => *place(settings) = value.flag().ok_or_else(expected)?,
            Kind::Word { words, set, .. } => {
                let text = value.text().ok_or_else(expected)?;
                set(settings, words.iter().position(|word| *word == text).ok_or_else(expected)?);
            }
            Kind::Text { place } => {
                *place(settings) = value.text().filter(|text| is_text(text)).ok_or_else(expected)?.to_owned();
            }
            Kind::Topic { place } => {
                let topic = value.text().filter(|text| is_text(text) && !text.contains(['+', '#']));
                *place(settings) = topic.ok_or_else(expected)?.to_owned();
            }
            Kind::Mount { place } => {
                let mount = value.text().filter(|text| is_text(text) && is_mount(text));
                *place(settings) = mount.ok_or_else(expected)?.to_owned();
            }
            Kind::Texts { place } => *place(settings) = value.texts()?,
            Kind::Order { place } => *place(settings) = Way::list(&value.items().ok_or_else(expected)?)?,
            Kind::Ways { place } => {
                *place(settings) = match value.text() {
                    Some("inherited") => Ways::Inherited,
                    Some("off") => Ways::Off,
                    _ => Ways::These(Way::list(&value.items().ok_or_else(expected)?)?),
                }
            }
            Kind::Path { place } => *place(settings) = value.path().ok_or_else(expected)?.to_owned(),
            Kind::Origins { place } => *place(settings) = value.origins().ok_or_else(expected)?,
            Kind::Networks { place } => *place(settings) = value.networks()?,
            Kind::Banned { place, whom } => *place(settings) = ban::banned(value, *whom)?,
            Kind::BannedNetworks { place } => *place(settings) = ban::banned_networks(value)?,
            Kind::Mode { place } => {
                let mode = value.text().and_then(|text| u64::from_str_radix(text, 8).ok());
                *place(settings) = mode.filter(|mode| *mode <= 0o777).ok_or_else(expected)?;
            }
            Kind::Moment { place } => *place(settings) = Some(value.moment().ok_or_else(expected)?),
            Kind::Address { place } => {
                *place(settings) = Some(Address::parse(value.text().ok_or_else(expected)?)?);
            }
            Kind::Addresses { place } => *place(settings) = value.addresses()?,
            Kind::Endpoints { place } => *place(settings) = value.endpoints()?,
        }
        Ok(())
    }

    /// As the log may have it: a URL without its user and password, and without what stands behind a question mark.
    pub fn told(&self, settings: &Settings) -> String {
        let shown = self.show(settings);
        let is_url = ["jwt_keys", "http_url"].contains(&self.name);
        let Some((scheme, rest)) = shown.split_once("://").filter(|_| is_url) else { return shown };
        let (rest, dots) = match rest.split_once(['?', '#']) {
            Some((rest, _)) => (rest, "?...\""),
            None => (rest, ""),
        };
        let authority = rest.find('/').unwrap_or(rest.len());
        let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
        format!("{scheme}://{}{dots}", &rest[host..])
    }

    /// The value as the file would write it.
    pub fn show(&self, settings: &Settings) -> String {
        // The places give mutable references; a copy costs nothing here.
        let mut settings = settings.clone();
        match &self.kind {
            Kind::Count { word, place, .. } => show_count(*place(&mut settings), *word),
            Kind::Rate { word, rates, place } => show_count(*place(rates(&mut settings)), Some((word, 0))),
            Kind::Power { place, .. } => place(&mut settings).to_string(),
            Kind::Bytes { place, .. } => {
                let shown = show_bytes(*place(&mut settings));
                if shown.contains(' ') { format!("{shown:?}") } else { shown }
            }
            Kind::Flag { place } => place(&mut settings).to_string(),
            Kind::Word { words, get, .. } => format!("{:?}", words[get(&settings)]),
            Kind::Text { place } | Kind::Topic { place } | Kind::Mount { place } | Kind::Path { place } => {
                format!("{:?}", place(&mut settings))
            }
            Kind::Texts { place }
            | Kind::Origins { place }
            | Kind::Endpoints { place }
            | Kind::Banned { place, .. } => format!("{:?}", place(&mut settings)),
            Kind::Order { place } => Way::show(place(&mut settings)),
            Kind::Ways { place } => place(&mut settings).show(),
            Kind::Networks { place } | Kind::BannedNetworks { place } => {
                let networks: Vec<String> = place(&mut settings).iter().map(Prefix::to_string).collect();
                format!("{networks:?}")
            }
            Kind::Mode { place } => format!("\"{:04o}\"", place(&mut settings)),
            Kind::Moment { place } => {
                format!("{:?}", place(&mut settings).map_or(String::new(), moment::show))
            }
            Kind::Address { place } => {
                format!("{:?}", place(&mut settings).as_ref().map_or(String::new(), Address::to_string))
            }
            Kind::Addresses { place } => {
                let addresses: Vec<String> = place(&mut settings).iter().map(Address::to_string).collect();
                format!("{addresses:?}")
            }
        }
    }

    fn expected(&self) -> String {
        match &self.kind {
            Kind::Count { range, word, .. } => expected_count(range, word.map(|(word, _)| word)),
            Kind::Rate { word, .. } => expected_count(&(0..=RATE_MAX), Some(word)),
            Kind::Power { range, .. } => {
                format!("expected a power of two from {} to {}", range.start(), range.end())
            }
            Kind::Bytes { range, .. } => format!(
                "expected a number of bytes from {} to {}, plain or with a unit such as \"64 KiB\" or \"1 MiB\"",
                range.start(),
                range.end()
            ),
            Kind::Flag { .. } => "expected true or false".to_owned(),
            Kind::Word { words, .. } => format!("expected one of \"{}\"", words.join("\", \"")),
            Kind::Text { .. } => format!("expected a text of at most {TEXT_BYTES_MAX} bytes without NUL"),
            Kind::Topic { .. } => {
                format!("expected a topic of at most {TEXT_BYTES_MAX} bytes without NUL and without + and #")
            }
            Kind::Mount { .. } => format!(
                "expected levels of a topic with a slash at the end, for example \"site1/\", of at most {TEXT_BYTES_MAX} bytes, \
                 without + and #, and not beginning with $"
            ),
            Kind::Texts { .. } => "expected a list of texts".to_owned(),
            Kind::Order { .. } => format!("expected a list, for example {}", Way::show(&Way::ALL)),
            Kind::Ways { .. } => {
                "expected a list, for example [\"certificate\", \"password\"], or \"off\" or \"inherited\""
                    .to_owned()
            }
            Kind::Path { .. } => {
                "expected a path that begins with /, for example \"/mqtt\", or nothing".to_owned()
            }
            Kind::Origins { .. } => "expected a list of origins as browsers write them, for example \
                                     [\"https://page.example\"]"
                .to_owned(),
            Kind::Networks { .. } | Kind::BannedNetworks { .. } => {
                "expected a list of addresses and networks".to_owned()
            }
            Kind::Banned { .. } => "expected a list of names, for example [\"pump-7\"]".to_owned(),
            Kind::Mode { .. } => "expected permissions in octal digits, for example \"0660\"".to_owned(),
            Kind::Moment { .. } => "expected a date and time, for example 2030-01-31T12:00:00Z".to_owned(),
            Kind::Address { .. } => "expected an address, for example \"tls://0.0.0.0:8883\"".to_owned(),
            Kind::Addresses { .. } | Kind::Endpoints { .. } => "expected a list of addresses".to_owned(),
        }
    }
}

fn show_count(number: u64, word: Option<(&str, u64)>) -> String {
    let word = word.filter(|(_, known)| *known == number);
    word.map_or_else(|| number.to_string(), |(word, _)| format!("{word:?}"))
}

fn expected_count(range: &RangeInclusive<u64>, word: Option<&str>) -> String {
    let or = word.map_or(String::new(), |word| format!(", or \"{word}\""));
    format!("expected a whole number from {} to {}{or}", range.start(), range.end())
}

fn is_mount(text: &str) -> bool {
    text.is_empty() || text.ends_with('/') && !text.starts_with('$') && !text.contains(['+', '#'])
}

fn is_text(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.contains('\0')
}

/// Well inside what an MQTT string can carry, so that what is appended still fits.
const TEXT_BYTES_MAX: usize = 1024;
