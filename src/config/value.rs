//! A value as its source gives it, and the attempts to read it as what a key takes.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use transport::Prefix;

use super::{Address, Api, moment};

/// The environment and flags know only words; the file knows types.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Word(&'a str),
    Toml(&'a DeValue<'a>),
}

impl Value<'_> {
    /// A whole number within the range, or `word` for the number that it stands for.
    pub fn count(&self, range: &RangeInclusive<u64>, word: Option<(&str, u64)>) -> Option<u64> {
        if let (Some(text), Some((known, number))) = (self.text(), word)
            && text == known
        {
            return Some(number);
        }
        self.whole().filter(|number| range.contains(number))
    }

    /// A number of bytes within the range: plain, or text with a unit such as "1 MiB".
    pub fn bytes(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        self.whole().or_else(|| bytes(self.text()?)).filter(|number| range.contains(number))
    }

    pub fn flag(&self) -> Option<bool> {
        match self {
            Value::Word("true") | Value::Toml(DeValue::Boolean(true)) => Some(true),
            Value::Word("false") | Value::Toml(DeValue::Boolean(false)) => Some(false),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Word(word) => Some(word),
            Value::Toml(DeValue::String(text)) => Some(text),
            Value::Toml(_) => None,
        }
    }

    /// As RFC 3339 writes it, in seconds of unix time.
    pub fn moment(&self) -> Option<u64> {
        match self {
            Value::Toml(DeValue::Datetime(moment)) => moment::parse(&moment.to_string()),
            _ => moment::parse(self.text()?),
        }
    }

    /// A list of texts; a word has commas between them.
    pub fn texts(&self) -> Result<Vec<String>, String> {
        let example = "[\"/etc/iothub/broker.pem\"]";
        let items = self.items().ok_or_else(|| format!("expected a list of texts, for example {example}"))?;
        match items.iter().find(|item| item.len() > FILE_NAME_BYTES_MAX || item.contains('\0')) {
            Some(_) => Err(format!("expected texts of at most {FILE_NAME_BYTES_MAX} bytes without NUL")),
            None => Ok(items.into_iter().map(ToOwned::to_owned).collect()),
        }
    }

    /// Of a URL; empty for any.
    pub fn path(&self) -> Option<&str> {
        let is_path = |text: &&str| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        self.text().filter(|text| text.is_empty() || is_path(text) && text.len() <= FILE_NAME_BYTES_MAX)
    }

    /// Scheme, host and port each, without a path: that is what browsers send.
    pub fn origins(&self) -> Option<Vec<String>> {
        let is_origin = |text: &&str| {
            let host = text.split_once("://").map_or("", |(_, host)| host);
            !host.is_empty() && !host.contains('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let items = self.items()?;
        items.iter().all(is_origin).then(|| items.into_iter().map(ToOwned::to_owned).collect())
    }

    /// Addresses and networks such as 192.0.2.0/24.
    pub fn networks(&self) -> Result<Vec<Prefix>, String> {
        let items = self.items().ok_or("expected a list of texts, for example [\"192.0.2.0/24\"]")?;
        items.into_iter().map(|item| item.parse::<Prefix>().map_err(|error| error.to_string())).collect()
    }

    /// The texts of a list; a word has commas between them.
    pub fn items(&self) -> Option<Vec<&str>> {
        match self {
            Value::Word(word) => {
                Some(word.split(',').map(str::trim).filter(|part| !part.is_empty()).collect())
            }
            Value::Toml(DeValue::Array(items)) => items.iter().map(|item| item.get_ref().as_str()).collect(),
            Value::Toml(_) => None,
        }
    }

    /// A list of addresses; a word has commas between them.
    pub fn addresses(&self) -> Result<Vec<Address>, String> {
        let texts = self.items().ok_or("expected a list of texts, for example [\"tcp://0.0.0.0:1883\"]")?;
        if texts.is_empty() {
            return Err("expected at least one address, for example tcp://127.0.0.1:1883".to_owned());
        }
        let addresses: Vec<Address> = texts.into_iter().map(Address::parse).collect::<Result<_, _>>()?;
        for (at, address) in addresses.iter().enumerate() {
            if addresses[..at].contains(address) {
                return Err(format!("{address} is there twice: name each address once"));
            }
        }
        Ok(addresses)
    }

    /// A list of hosts with ports, as they were written; nothing is an empty one.
    pub fn endpoints(&self) -> Result<Vec<String>, String> {
        let texts = self.items().ok_or("expected a list of texts, for example [\"127.0.0.1:9883\"]")?;
        let mut endpoints: Vec<String> = Vec::new();
        for text in texts {
            let (host, port) = Address::parse_endpoint(text, Api::PORT)
                .ok_or_else(|| format!("{text}: expected HOST:PORT, for example 127.0.0.1:{}", Api::PORT))?;
            let endpoint = match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            };
            if endpoints.contains(&endpoint) {
                return Err(format!("{endpoint} is there twice: name each address once"));
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    fn whole(&self) -> Option<u64> {
        match self {
            Value::Word(word) => digits(word.trim()),
            Value::Toml(DeValue::Integer(number)) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Value::Toml(_) => None,
        }
    }
}

/// Digits, with underscores between them as in the file.
fn digits(text: &str) -> Option<u64> {
    let plain = text.replace('_', "");
    // `parse` alone would take a plus sign.
    (!plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit())).then(|| plain.parse().ok())?
}

fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim();
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    digits(number)?.checked_mul(*factor)
}

/// What the kernel takes.
const FILE_NAME_BYTES_MAX: usize = 4096;

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A number of bytes as it is written best.
pub fn show_bytes(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{} {unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_plain_or_with_a_unit() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("1 MiB", Some(1 << 20)),
            ("1MiB", Some(1 << 20)),
            ("64kib", Some(64 << 10)),
            ("2 GB", Some(2_000_000_000)),
            ("1_000 B", Some(1000)),
            ("MiB", None),
            ("1.5 MiB", None),
            ("-1", None),
            ("+1", None),
            ("1 XiB", None),
            ("99999999999 GiB", None),
        ] {
            assert_eq!(Value::Word(text).bytes(&(0..=u64::MAX)), expected, "{text}");
        }
    }

    #[test]
    fn a_shown_size_reads_back() {
        for size in [0, 1, 1000, 1024, 1536, 1 << 20, 3 << 30, 268_435_460] {
            assert_eq!(Value::Word(&show_bytes(size)).bytes(&(0..=u64::MAX)), Some(size));
        }
    }

    #[test]
    fn a_word_stands_for_its_number() {
        let never = Some(("forever", 7));
        assert_eq!(Value::Word("forever").count(&(0..=7), never), Some(7));
        assert_eq!(Value::Word("3").count(&(0..=7), never), Some(3));
        assert_eq!(Value::Word("8").count(&(0..=7), never), None);
        assert_eq!(Value::Word("never").count(&(0..=7), never), None);
        assert_eq!(Value::Word("forever").count(&(0..=7), None), None);
    }

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        let shown = |text: &str| Value::Word(text).endpoints();
        assert_eq!(shown(""), Ok(vec![]));
        assert_eq!(
            shown("0.0.0.0,[::1]:5, localhost:0"),
            Ok(["0.0.0.0:9883", "[::1]:5", "localhost:0"].map(str::to_owned).to_vec())
        );
        for wrong in ["http://127.0.0.1:1", "::1:9", "*:1", "a:70000", "9883", "127.0.0.1,127.0.0.1:9883"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_in_a_word_has_commas() {
        let addresses = Value::Word("tcp://127.0.0.1:1, [::1]:2,").addresses().expect("two addresses");
        assert_eq!(addresses.len(), 2);
        assert!(Value::Word(" , ").addresses().is_err());
    }
}
