//! One `[[ban]]`: who may not come in, and until when.

use runtime::Whom;
use transport::Prefix;

use super::{
    key::{Key, Kind},
    settings::Settings,
    value::Value,
};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ban {
    pub client_ids: Vec<String>,
    pub users: Vec<String>,
    pub addresses: Vec<Prefix>,
    /// Seconds of unix time; none is for ever.
    pub until: Option<u64>,
}

impl Ban {
    /// Who it is of, as the file writes it.
    pub fn whom(&self) -> String {
        let shown = self.shown();
        let of = shown.iter().filter(|(name, _)| *name != "until");
        of.map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }

    /// What it says, as the file writes it.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let alone = |ban: &Ban| Settings { bans: vec![ban.clone()], ..Settings::default() };
        let (own, silent) = (alone(self), alone(&Ban::default()));
        let said = KEYS.iter().filter(|key| key.show(&own) != key.show(&silent));
        said.map(|key| (key.name, key.show(&own))).collect()
    }
}

/// The one that the file is at.
fn last(settings: &mut Settings) -> &mut Ban {
    settings.bans.last_mut().expect("the file has begun one")
}

/// A list of names that somebody can have.
pub fn banned(value: &Value<'_>, whom: fn(Box<str>) -> Whom) -> Result<Vec<String>, String> {
    let items = value.items().ok_or("expected a list of names, for example [\"pump-7\"]")?;
    items.iter().try_for_each(|name| whom((*name).into()).check())?;
    Ok(items.into_iter().map(ToOwned::to_owned).collect())
}

/// A list of networks in which somebody can be.
pub fn banned_networks(value: &Value<'_>) -> Result<Vec<Prefix>, String> {
    let networks = value.networks()?;
    networks.iter().try_for_each(|network| Whom::Network(*network).check())?;
    Ok(networks)
}

/// The section's name in the table, which the file writes as `[[ban]]`.
pub const SECTION: &str = "ban";

/// In the order of the documentation.
pub static KEYS: &[Key] = &[
    Key {
        section: SECTION,
        name: "client_ids",
        kind: Kind::Banned { place: |s| &mut last(s).client_ids, whom: Whom::ClientId },
    },
    Key {
        section: SECTION,
        name: "users",
        kind: Kind::Banned { place: |s| &mut last(s).users, whom: Whom::User },
    },
    Key {
        section: SECTION,
        name: "addresses",
        kind: Kind::BannedNetworks { place: |s| &mut last(s).addresses },
    },
    Key { section: SECTION, name: "until", kind: Kind::Moment { place: |s| &mut last(s).until } },
];
