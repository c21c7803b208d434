//! Who is banned, by the configuration and by the operator: the list that the whole process has, and what each shard is told of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::SystemTime,
};

use shard::{Bans, Network};
use transport::Prefix;

/// Somebody who may not come in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ban {
    pub whom: Whom,
    /// None is for ever.
    pub until: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whom {
    ClientId(Box<str>),
    /// Who has proved to be this user.
    User(Box<str>),
    /// An address, or all that begin like it.
    Network(Prefix),
}

impl Whom {
    /// Whether it can be anybody, and not everybody. The error says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Whom::ClientId(name) | Whom::User(name) => check_name(name),
            Whom::Network(network) => check_network(network),
        }
    }

    /// Whether all who are the other one are this one, too.
    pub fn covers(&self, other: &Whom) -> bool {
        match (self, other) {
            (Whom::Network(network), Whom::Network(part)) => {
                network.bits() <= part.bits() && network.contains(part.address())
            }
            _ => self == other,
        }
    }
}

/// Names come in strings of MQTT.
fn check_name(name: &str) -> Result<(), String> {
    match name {
        "" => {
            Err("the name is empty, and nobody has such a one: write a client id or a user name".to_owned())
        }
        _ if name.len() > NAME_BYTES_MAX => Err(format!(
            "the name has {} bytes: no client id and no user name has more than {NAME_BYTES_MAX}",
            name.len()
        )),
        _ if name.contains('\0') => {
            Err("the name has a NUL, which no client id and no user name has: write it without".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_network(network: &Prefix) -> Result<(), String> {
    if network.bits() == 0 {
        return Err(format!(
            "{network} is everybody: name smaller networks, or take the listener out of the configuration"
        ));
    }
    let address = network.address();
    let is_one = *network == Prefix::of(address);
    if address.is_multicast() || is_one && address.is_unspecified() {
        return Err(format!("{network}: nobody connects from there: write an address of those who do"));
    }
    Ok(())
}

/// Of a string of MQTT.
const NAME_BYTES_MAX: usize = 65_535;

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Banned {
    pub configured: usize,
    /// By the operator.
    pub ordered: usize,
}

#[derive(Debug, Default)]
pub(crate) struct BanTable {
    configured: Vec<Ban>,
    /// By the operator, while the broker runs.
    ordered: Vec<Ban>,
    /// What was told last, until something is changed or one of them is over.
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    bans: Arc<[Ban]>,
    until: Option<SystemTime>,
}

impl BanTable {
    pub fn of(configured: Vec<Ban>) -> BanTable {
        BanTable { configured, ..BanTable::default() }
    }

    /// What the configuration says takes the place of what it said before.
    pub fn configure(&mut self, bans: Vec<Ban>) {
        self.configured = bans;
        self.told = None;
    }

    /// For somebody whom the operator has banned before this one counts.
    pub fn order(&mut self, ban: Ban) {
        self.lift(&ban.whom);
        self.ordered.push(ban);
        self.told = None;
    }

    /// Before any other is ordered.
    pub fn take_up(&mut self, bans: Vec<Ban>) {
        self.ordered.extend(bans);
        self.told = None;
    }

    /// False: it is not the operator who has banned him.
    pub fn lift(&mut self, whom: &Whom) -> bool {
        let before = self.ordered.len();
        self.ordered.retain(|ban| ban.whom != *whom);
        self.told = None;
        self.ordered.len() < before
    }

    /// As `list` has them. Whoever asks again without a change has the same ones, and nothing is copied.
    pub fn tell(&mut self, now: SystemTime) -> Arc<[Ban]> {
        if let Some(Told { bans, until }) = &self.told
            && until.is_none_or(|until| now < until)
        {
            return Arc::clone(bans);
        }
        let bans: Arc<[Ban]> = self.list(now).into();
        let until = bans.iter().filter_map(|ban| ban.until).min();
        self.told = Some(Told { bans: Arc::clone(&bans), until });
        bans
    }

    /// Those that hold; those of the configuration first. Whoever is banned several times stands there once, for as long as the longest of them lasts.
    pub fn list(&mut self, now: SystemTime) -> Vec<Ban> {
        let holds = |ban: &Ban| ban.until.is_none_or(|until| until > now);
        self.ordered.retain(holds);
        let mut bans: Vec<Ban> = Vec::new();
        let mut places: HashMap<&Whom, usize> = HashMap::new();
        for ban in self.configured.iter().filter(|ban| holds(ban)).chain(&self.ordered) {
            match places.entry(&ban.whom) {
                Entry::Occupied(place) => {
                    let until = &mut bans[*place.get()].until;
                    *until = until.zip(ban.until).map(|(one, other)| one.max(other));
                }
                Entry::Vacant(place) => {
                    place.insert(bans.len());
                    bans.push(ban.clone());
                }
            }
        }
        bans
    }

    /// The operator's, those that hold.
    pub fn ordered(&mut self, now: SystemTime) -> Vec<Ban> {
        self.ordered.retain(|ban| ban.until.is_none_or(|until| until > now));
        self.ordered.clone()
    }

    /// Those that hold.
    pub fn count(&self, now: SystemTime) -> Banned {
        let holding =
            |bans: &[Ban]| bans.iter().filter(|ban| ban.until.is_none_or(|until| until > now)).count();
        Banned { configured: holding(&self.configured), ordered: holding(&self.ordered) }
    }

    /// For the shards, which have no calendar.
    pub fn snapshot(&mut self, now: SystemTime) -> Arc<Bans> {
        let mut banned = Bans::default();
        for Ban { whom, until } in self.list(now) {
            let lasts = until.map(|until| until.duration_since(now).unwrap_or_default());
            match whom {
                Whom::ClientId(name) => banned.client_ids.push((name, lasts)),
                Whom::User(name) => banned.users.push((name, lasts)),
                Whom::Network(network) => {
                    let network = Network::around(network.address(), network.bits());
                    banned.networks.push((network.expect("a prefix is no longer than its address"), lasts));
                }
            }
        }
        Arc::new(banned)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn whom_nobody_can_be_and_what_is_everybody_are_no_bans() {
        let network = |text: &str| Whom::Network(text.parse().expect("a network"));
        let names: [fn(Box<str>) -> Whom; 2] = [Whom::ClientId, Whom::User];
        for whom in names {
            for (name, said) in [("", "is empty"), ("a\0b", "NUL"), (&*"x".repeat(65_536), "65536 bytes")] {
                let error = whom(name.into()).check().expect_err("nobody");
                assert!(error.contains(said), "{error}");
            }
            for name in ["a", " ", "x/+#", &*"x".repeat(65_535)] {
                assert_eq!(whom(name.into()).check(), Ok(()));
            }
        }
        for everybody in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            assert!(network(everybody).check().expect_err("everybody").contains("everybody"), "{everybody}");
        }
        for nobody in ["0.0.0.0", "::", "224.0.0.0/4", "239.1.2.3", "ff02::1", "ff00::/8"] {
            assert!(network(nobody).check().expect_err("nobody").contains("nobody connects"), "{nobody}");
        }
        for somebody in ["0.0.0.0/1", "::/64", "10.0.0.0/8", "127.0.0.1", "::1", "2001:db8::/32"] {
            assert_eq!(network(somebody).check(), Ok(()), "{somebody}");
        }
    }

    #[test]
    fn a_network_covers_its_parts_and_a_name_itself_alone() {
        let network = |text: &str| Whom::Network(text.parse().expect("a network"));
        let client = |name: &str| Whom::ClientId(name.into());
        for (whom, other, covers) in [
            (network("10.0.0.0/8"), network("10.1.2.3"), true),
            (network("10.0.0.0/8"), network("10.0.0.0/8"), true),
            (network("10.0.0.0/8"), network("10.0.0.0/7"), false),
            (network("10.0.0.0/8"), network("11.0.0.1"), false),
            (network("10.0.0.0/8"), network("2001:db8::/32"), false),
            (network("10.1.2.3"), network("10.0.0.0/8"), false),
            (client("a"), client("a"), true),
            (client("a"), client("ab"), false),
            (client("a"), Whom::User("a".into()), false),
        ] {
            assert_eq!(whom.covers(&other), covers, "{whom:?} {other:?}");
        }
    }

    #[test]
    fn what_is_told_again_is_the_same_until_a_ban_comes_goes_or_is_over() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let client = |name: &str, until| Ban { whom: Whom::ClientId(name.into()), until };
        let mut table = BanTable::of(vec![client("a", None)]);
        let first = table.tell(now);
        assert!(Arc::ptr_eq(&first, &table.tell(now + Duration::from_secs(9))), "no copy");
        table.order(client("b", Some(now + Duration::from_secs(5))));
        assert_eq!(table.tell(now).len(), 2);
        assert_eq!(table.tell(now + Duration::from_secs(4)).len(), 2);
        assert_eq!(table.tell(now + Duration::from_secs(5))[..], first[..], "it is over");
        table.take_up(vec![client("c", None)]);
        assert_eq!(table.tell(now).len(), 2);
        assert!(table.lift(&client("c", None).whom));
        assert_eq!(table.tell(now)[..], first[..]);
        table.configure(Vec::new());
        assert!(table.tell(now).is_empty());
    }

    #[test]
    fn bans_come_and_go_and_the_longest_of_several_counts() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let until = |seconds: u64| Some(now + Duration::from_secs(seconds));
        let user = |until| Ban { whom: Whom::User("ada".into()), until };
        let client = |until| Ban { whom: Whom::ClientId("c".into()), until };
        let mut table = BanTable::of(vec![user(until(50)), client(Some(UNIX_EPOCH))]);
        assert_eq!(table.list(now), [user(until(50))], "what is over is not there");
        table.order(user(until(20)));
        table.order(client(None));
        let bans = table.snapshot(now);
        assert_eq!(bans.users, [("ada".into(), Some(Duration::from_secs(50)))]);
        assert_eq!(bans.client_ids, [("c".into(), None)]);
        table.order(user(until(70)));
        assert_eq!(table.list(now), [user(until(70)), client(None)], "each once, as long as it holds");
        assert!(table.lift(&Whom::User("ada".into())) && !table.lift(&Whom::User("ada".into())));
        assert_eq!(table.list(now), [user(until(50)), client(None)]);
        table.configure(Vec::new());
        assert_eq!(table.list(now), [client(None)]);
    }

    #[test]
    fn whom_the_configuration_bans_twice_is_listed_once() {
        let until = |seconds: u64| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let ban = |name: &str, until| Ban { whom: Whom::ClientId(name.into()), until };
        let configured = vec![ban("x", until(30)), ban("a", None), ban("x", until(20)), ban("a", until(40))];
        let mut table = BanTable::of(configured);
        assert_eq!(table.list(UNIX_EPOCH), [ban("x", until(30)), ban("a", None)]);
        assert_eq!(table.list(UNIX_EPOCH + Duration::from_secs(35)), [ban("a", None)]);
    }
}
