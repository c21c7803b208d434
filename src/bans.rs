//! Bans as the API, the command and the file of the data directory write them, and that file: what an operator has ordered
//! outlives the broker.

use std::{
    fmt::Display,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use identity::FileError;
use runtime::{Ban, Broker, Whom};
use serde::{Deserialize, Serialize};

use crate::{config::moment, text};

/// One ban. Exactly one of the first three is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanText {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// An address or a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// As RFC 3339 writes it; without it for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What an operator wants of the list of bans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Add(Ban),
    Lift(Whom),
}

/// The bans of a broker that runs, and where those of its operators are kept.
pub struct Keeper {
    /// None without a data directory.
    path: Option<PathBuf>,
}

impl BanText {
    pub fn of(ban: &Ban) -> BanText {
        let text = match &ban.whom {
            Whom::ClientId(name) => BanText { client_id: Some(name.to_string()), ..BanText::default() },
            Whom::User(name) => BanText { user: Some(name.to_string()), ..BanText::default() },
            Whom::Network(network) => BanText { address: Some(network.to_string()), ..BanText::default() },
        };
        let since = |until: SystemTime| until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        BanText { until: ban.until.map(|until| moment::show(since(until))), ..text }
    }

    pub fn whom(&self) -> Result<Whom, String> {
        let BanText { client_id, user, address, .. } = self;
        let (key, whom) = match (client_id, user, address) {
            (Some(name), None, None) => ("client_id", Whom::ClientId(name.as_str().into())),
            (None, Some(name), None) => ("user", Whom::User(name.as_str().into())),
            (None, None, Some(network)) => match network.parse() {
                Ok(network) => ("address", Whom::Network(network)),
                Err(error) => return Err(format!("address: {error}")),
            },
            _ => return Err("a ban names a client_id, a user or an address, and one of them only".to_owned()),
        };
        match whom.check() {
            Ok(()) => Ok(whom),
            Err(error) => Err(format!("{key}: {error}")),
        }
    }

    pub fn ban(&self) -> Result<Ban, String> {
        let until = match self.until.as_deref() {
            None => None,
            Some(text) => {
                let seconds = moment::parse(text).ok_or_else(|| {
                    format!("until: {text}: expected a moment such as 2030-01-31T12:00:00Z")
                })?;
                Some(UNIX_EPOCH + Duration::from_secs(seconds))
            }
        };
        Ok(Ban { whom: self.whom()?, until })
    }
}

/// Whether a start could take up what was ordered. The error is a sentence.
pub fn check(data_dir: &Path) -> Result<(), String> {
    Keeper { path: Some(data_dir.join(NAME)) }.read().map(drop)
}

impl Keeper {
    /// Takes up what was ordered in earlier lives. A file that is not one is left as it is and told.
    pub fn start(data_dir: Option<&Path>, broker: &Broker) -> Result<Keeper, String> {
        let path = data_dir.map(|dir| dir.join(NAME));
        let keeper = Keeper { path };
        broker.take_up_bans(keeper.read()?);
        Ok(keeper)
    }

    /// The bans that hold after it, at every shard. The error says what was wrong, and nothing is changed.
    pub fn carry_out(&self, order: Order, broker: &Broker) -> Result<Arc<[Ban]>, String> {
        match order {
            Order::Add(ban) => {
                if ban.until.is_some_and(|until| until <= SystemTime::now()) {
                    return Err("the ban would be over already".to_owned());
                }
                let text = text_of(&with(broker.ordered_bans(), ban.clone())?)?;
                broker.ban(ban);
                self.write(&text)?;
            }
            Order::Lift(whom) => {
                if !broker.lift_ban(&whom) {
                    return Err(match broker.bans().iter().any(|ban| ban.whom == whom) {
                        true => {
                            "that ban stands in the configuration ([[ban]]): take it out there, and reload"
                                .to_owned()
                        }
                        false => "there is no such ban".to_owned(),
                    });
                }
                self.write(&text_of(&broker.ordered_bans())?)?;
            }
        }
        broker.settle();
        Ok(broker.bans())
    }

    fn read(&self) -> Result<Vec<Ban>, String> {
        let Some(path) = &self.path else { return Ok(Vec::new()) };
        let failed = |error: &dyn Display| {
            format!("the bans that were ordered cannot be taken up: {error}. {}", remedy(path))
        };
        let text = match identity::read_file(path, FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(FileError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(&error)),
        };
        bans_of(&text).map_err(|error| failed(&format!("{}, {error}", path.display())))
    }

    /// Whoever reads it finds the list before or the list after.
    fn write(&self, text: &[u8]) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let written = || {
            let partial = path.with_extension("part");
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
            file.write_all(text)?;
            file.sync_all()?;
            fs::rename(&partial, path)?;
            fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        written().map_err(|error: io::Error| {
            format!(
                "it counts, and does not outlive the broker: {} cannot be written: {error}",
                path.display()
            )
        })
    }
}

fn remedy(path: &Path) -> String {
    let path = path.display();
    format!(
        "Mend what is there, or move the file away, after which these bans are no more: mv {path} {path}.damaged"
    )
}

/// The list with one more, which takes the place of one of the same. The error says why there is no room.
fn with(mut ordered: Vec<Ban>, ban: Ban) -> Result<Vec<Ban>, String> {
    ordered.retain(|other| other.whom != ban.whom);
    if ordered.len() >= ORDERED_MAX {
        return Err(format!("{ORDERED_MAX} bans are ordered already: {REMEDY}"));
    }
    ordered.push(ban);
    Ok(ordered)
}

/// As the file has them. The error says that there are too many.
fn text_of(bans: &[Ban]) -> Result<Vec<u8>, String> {
    let texts: Vec<BanText> = bans.iter().map(BanText::of).collect();
    let mut text = serde_json::to_vec_pretty(&texts).map_err(|error| error.to_string())?;
    text.push(b'\n');
    match text.len() as u64 {
        0..=FILE_BYTES_MAX => Ok(text),
        bytes => Err(format!("the bans would take {bytes} bytes, and may take {FILE_BYTES_MAX}: {REMEDY}")),
    }
}

/// What a file has. The error says what is wrong with it.
fn bans_of(text: &[u8]) -> Result<Vec<Ban>, String> {
    let texts: Vec<BanText> = serde_json::from_slice(text)
        .map_err(|error| format!("line {}: {}", error.line(), text::without_place(&error)))?;
    let bans: Vec<Ban> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| text.ban().map_err(|error| format!("ban {} of the list: {error}", at + 1)))
        .collect::<Result<_, String>>()?;
    if bans.len() > ORDERED_MAX {
        return Err(format!("it has {} bans, and may have {ORDERED_MAX}: {REMEDY}", bans.len()));
    }
    Ok(bans)
}

const NAME: &str = "bans.json";

/// Bans of operators: each is looked at where somebody connects.
pub const ORDERED_MAX: usize = 10_000;

/// All of them together. Each order writes the file.
const FILE_BYTES_MAX: u64 = 16 << 20;

const REMEDY: &str =
    "lift some, ban networks in place of addresses, or put them into the configuration ([[ban]])";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_what_its_text_says() {
        let text = r#"{"address":"10.1.0.0/16","until":"2030-01-31T12:00:00Z"}"#;
        let parsed: BanText = serde_json::from_str(text).expect("a ban");
        let ban = parsed.ban().expect("a right one");
        assert_eq!(ban.whom, Whom::Network("10.1.0.0/16".parse().expect("a network")));
        assert_eq!(serde_json::to_string(&BanText::of(&ban)).expect("a text"), text);
        let forever = BanText { user: Some("ada".to_owned()), ..BanText::default() };
        assert_eq!(forever.ban().expect("a right one"), Ban { whom: Whom::User("ada".into()), until: None });
    }

    fn client(name: &str) -> Ban {
        Ban { whom: Whom::ClientId(name.into()), until: None }
    }

    #[test]
    fn as_many_as_may_be_come_back_from_their_file_and_one_more_is_refused() {
        let ordered: Vec<Ban> = (0..ORDERED_MAX).map(|at| client(&at.to_string())).collect();
        let text = text_of(&ordered).expect("there is room");
        assert_eq!(bans_of(&text).expect("the same"), ordered);
        let error = with(ordered.clone(), client("another")).expect_err("too many");
        assert!(error.contains("10000 bans are ordered already: lift some"), "{error}");
        let again = Ban { until: Some(UNIX_EPOCH), ..client("7") };
        let replaced = with(ordered.clone(), again.clone()).expect("it takes the place of the one before");
        assert_eq!((replaced.len(), replaced.last()), (ORDERED_MAX, Some(&again)));
        let more = [ordered, vec![client("another")]].concat();
        let error = bans_of(&text_of(&more).expect("short enough")).expect_err("too many");
        assert!(error.contains("it has 10001 bans"), "{error}");
    }

    #[test]
    fn names_that_take_too_much_together_are_refused() {
        // Each byte of it takes six in the file.
        let name = |at: usize| format!("{at}{}", "\u{1}".repeat(60_000));
        let mut ordered = Vec::new();
        let refused = (0..ORDERED_MAX).find_map(|at| {
            ordered = with(std::mem::take(&mut ordered), client(&name(at))).expect("not too many");
            text_of(&ordered).err()
        });
        assert!(refused.expect("too many bytes").contains("may take 16777216"));
        assert_eq!(ordered.len(), 47);
    }

    #[test]
    fn a_file_with_a_ban_of_nobody_is_told_with_its_place() {
        let error = bans_of(br#"[{"user":"ada"},{"client_id":""}]"#).expect_err("nobody");
        assert!(error.starts_with("ban 2 of the list: client_id: the name is empty"), "{error}");
        let error = bans_of(br#"[{"address":"0.0.0.0/0"}]"#).expect_err("everybody");
        assert!(error.starts_with("ban 1 of the list: address: 0.0.0.0/0 is everybody"), "{error}");
    }

    #[test]
    fn a_damaged_list_is_named_with_its_place_and_what_to_do() {
        let folder = std::env::temp_dir().join(format!("iothub-bans-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        assert_eq!(check(&folder), Ok(()), "there is none");
        let path = folder.join(NAME).display().to_string();
        for (text, what) in [
            ("[]", None),
            (
                "[\n{\"user\": 5}]",
                Some(format!("{path}, line 2: invalid type: integer `5`, expected a string")),
            ),
            (
                "[{}]",
                Some(format!("{path}, ban 1 of the list: a ban names a client_id, a user or an address")),
            ),
            (
                "[{\"address\": \"here\"}]",
                Some(format!("{path}, ban 1 of the list: address: `here` is no address")),
            ),
        ] {
            fs::write(&path, text).expect("written");
            let told = check(&folder).err();
            let is_told = |what: &String| {
                let told = told.as_deref().expect("told");
                told.starts_with(&format!("the bans that were ordered cannot be taken up: {what}"))
                    && told.ends_with(&format!("these bans are no more: mv {path} {path}.damaged"))
            };
            assert!(what.as_ref().map_or(told.is_none(), is_told), "{text}: {told:?}");
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_ban_of_nobody_of_two_or_until_sometime_is_refused() {
        let two =
            BanText { user: Some("ada".to_owned()), client_id: Some("c".to_owned()), ..BanText::default() };
        assert!(two.ban().is_err() && BanText::default().ban().is_err());
        let sometime = BanText { until: Some("tomorrow".to_owned()), user: two.user, ..BanText::default() };
        assert!(sometime.ban().expect_err("no moment").contains("2030-01-31T12:00:00Z"));
        let nowhere = BanText { address: Some("here".to_owned()), ..BanText::default() };
        assert!(nowhere.ban().is_err());
    }
}
