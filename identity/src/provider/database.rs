//! Clients of the user database, which may change while the broker runs.

use std::{
    fs, io,
    num::NonZeroU32,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    Ask, Aspects, Hash, Identity, Judgement, Known, LoadError, Provider, Reason, Secret, UserRecord,
    UserTable,
    provider::{
        kind::DATABASE,
        scram::{begin, first_message, other_password},
    },
    scram::{Credential, Decoy, ITERATIONS_DEFAULT, Mechanism, Server},
};

/// Reads the file again when it is told to look whether it has changed. One that cannot be read changes nothing.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    name: Arc<str>,
    users: RwLock<Arc<Users>>,
    generation: AtomicU64,
    decoy: Decoy,
}

/// The users as they are at one moment.
#[derive(Debug)]
pub(crate) struct Users {
    table: UserTable,
    decoy: Option<Hash>,
    seen: Option<Seen>,
}

/// By what a changed file is known: one that was replaced has another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Database {
    /// The secret makes the salts of users that there are not.
    pub fn load(path: &Path, decoys: &Secret) -> Result<Database, LoadError> {
        let iterations = NonZeroU32::new(ITERATIONS_DEFAULT).expect("the default is not none");
        Ok(Database {
            users: RwLock::new(Arc::new(Users::load(path)?)),
            name: format!("user database {}", path.display()).into(),
            path: path.to_owned(),
            generation: AtomicU64::new(0),
            decoy: Decoy::new(decoys.expose(), iterations),
        })
    }

    /// Looks whether the file has changed, and takes it if it has. Whether it did; an error says why what is known goes on.
    pub fn refresh(&self) -> Result<bool, LoadError> {
        if self.users().seen.is_some() && Seen::of(&self.path).ok() == self.users().seen {
            return Ok(false);
        }
        let users = Users::load(&self.path)?;
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// Who is known now.
    pub fn known(&self) -> Known {
        Known::of_table(self.users())
    }

    fn users(&self) -> Arc<Users> {
        self.users.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self, users: &Users, mechanism: Mechanism, data: &[u8]) -> Judgement {
        begin(mechanism, data, &self.decoy, |user| {
            let record = users.table.records.get(user).filter(|record| !record.is_disabled)?;
            record.credential(mechanism)
        })
    }
}

impl Users {
    #[cfg(test)]
    pub fn of(table: UserTable) -> Users {
        Users { decoy: None, table, seen: None }
    }

    pub fn table(&self) -> &UserTable {
        &self.table
    }

    fn load(path: &Path) -> Result<Users, LoadError> {
        // Before it is read: a change meanwhile is found the next time.
        let seen = Seen::of(path).ok();
        let table = UserTable::load(path)?;
        Ok(Users { decoy: table.decoy(), table, seen })
    }
}

impl Seen {
    fn of(path: &Path) -> io::Result<Seen> {
        let metadata = fs::metadata(path)?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Ok(Seen { inode: metadata.ino(), bytes: metadata.len(), changed })
    }
}

impl Provider for Database {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        DATABASE
    }

    fn looks_at(&self) -> Aspects {
        Aspects::LOGIN
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn is_quick(&self, ask: &Ask) -> bool {
        ask.login().is_none()
    }

    /// As with a password file: who is known and wrong is rejected, who is not known costs nothing here.
    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        let users = self.users();
        if ask.enhanced.is_some() {
            let Some((mechanism, data)) = first_message(ask) else { return Judgement::Pass };
            return match Server::user_of(data) {
                Ok(user) if !users.table.records.contains_key(user.as_str()) => Judgement::Pass,
                _ => self.begin(&users, mechanism, data),
            };
        }
        let Some((user, password)) = ask.login() else { return Judgement::Pass };
        let Some(record) = users.table.records.get(user) else { return Judgement::Pass };
        // The time of a password also for those that have none.
        let hash = record.password.as_ref().or(users.decoy.as_ref());
        let is_right = hash.is_some_and(|hash| hash.is_of(password)) && record.password.is_some();
        match (is_right, record.is_disabled) {
            (true, false) => Judgement::Accept(identity(user, record, &self.name)),
            (true, true) => Judgement::reject(Reason::NotAuthorized, "the user is disabled"),
            (false, _) => Judgement::reject(Reason::BadUserNameOrPassword, "the password is wrong"),
        }
    }

    fn vouch(&self, user: &str, credential: &Credential) -> Judgement {
        let users = self.users();
        let Some(record) = users.table.records.get(user) else { return Judgement::Pass };
        match record.credential(credential.mechanism) == Some(credential) {
            true if record.is_disabled => Judgement::reject(Reason::NotAuthorized, "the user is disabled"),
            true => Judgement::Accept(identity(user, record, &self.name)),
            false => other_password(),
        }
    }

    fn pretend(&self, ask: &Ask) -> Option<Judgement> {
        first_message(ask).map(|(mechanism, data)| self.begin(&self.users(), mechanism, data))
    }

    fn burn(&self, ask: &Ask) -> bool {
        let users = self.users();
        match (ask.login(), &users.decoy) {
            (Some((_, password)), Some(decoy)) => {
                std::hint::black_box(decoy.is_of(password));
                true
            }
            _ => false,
        }
    }
}

fn identity(user: &str, record: &UserRecord, provider: &str) -> Identity {
    Identity {
        user: Some(user.into()),
        groups: record.groups.clone(),
        roles: record.roles.clone(),
        provider: provider.to_owned().into(),
        kind: DATABASE,
        ..Identity::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;
    use crate::{Chain, Cost, Enhanced, Exchange, Kind, Replacement, chain::tests::ask, scram::Client};

    fn record(password: &[u8]) -> UserRecord {
        let cost = Cost { kind: Kind::Pbkdf2, rounds: 10, memory_kib: 0 };
        UserRecord {
            password: Some(Hash::make(password, cost).expect("a hash")),
            scram: vec![Credential::make(Mechanism::Sha256, password, 4096).expect("made")],
            roles: vec!["operator".into()],
            ..UserRecord::default()
        }
    }

    fn write(path: &Path, records: &[(&str, UserRecord)]) {
        let records = records.iter().map(|(user, record)| ((*user).into(), record.clone())).collect();
        let table = UserTable { records };
        Replacement::begin(path).expect("begun").finish(&table.bytes()).expect("written");
    }

    fn path(name: &str) -> PathBuf {
        env::temp_dir().join(format!("iothub-database-{}-{name}", process::id()))
    }

    fn reason(judgement: Judgement) -> Option<Reason> {
        match judgement {
            Judgement::Reject(rejection) => Some(rejection.reason),
            Judgement::Accept(identity) => {
                assert_eq!(identity.roles.len(), 1);
                None
            }
            other => panic!("{other:?}"),
        }
    }

    fn login(database: &Database, user: &str, password: &str) -> Judgement {
        database.judge(&ask("192.0.2.1:1", Some((user, password))), 0)
    }

    #[test]
    fn users_are_judged_by_what_the_file_says_about_them() {
        let path = path("judge");
        let disabled = UserRecord { is_disabled: true, ..record(b"secret") };
        let bare = UserRecord { password: None, ..record(b"secret") };
        write(&path, &[("alice", record(b"secret")), ("bob", disabled), ("carol", bare)]);
        let database = Database::load(&path, &Secret::new(b"s")).expect("a good file");
        assert_eq!(reason(login(&database, "alice", "secret")), None);
        assert_eq!(reason(login(&database, "alice", "x")), Some(Reason::BadUserNameOrPassword));
        // Who does not know the password is not told that the user is disabled, or has none.
        assert_eq!(reason(login(&database, "bob", "x")), Some(Reason::BadUserNameOrPassword));
        assert_eq!(reason(login(&database, "bob", "secret")), Some(Reason::NotAuthorized));
        assert_eq!(reason(login(&database, "carol", "secret")), Some(Reason::BadUserNameOrPassword));
        assert!(matches!(login(&database, "dave", "secret"), Judgement::Pass));
        assert!(database.burn(&ask("192.0.2.1:1", Some(("dave", "x")))));
        fs::remove_file(path).expect("removed");
    }

    #[test]
    fn a_changed_file_is_taken_and_a_bad_one_is_not() {
        let path = path("refresh");
        write(&path, &[("alice", record(b"one"))]);
        let database = Arc::new(Database::load(&path, &Secret::new(b"s")).expect("a good file"));
        let chain = Chain::new(vec![database.clone()]);
        assert!(!database.refresh().expect("unchanged"));
        assert_eq!(chain.generation(), 0);
        write(&path, &[("alice", record(b"two"))]);
        assert!(database.refresh().expect("changed"));
        assert_eq!(chain.generation(), 1);
        assert_eq!(reason(login(&database, "alice", "one")), Some(Reason::BadUserNameOrPassword));
        assert_eq!(reason(login(&database, "alice", "two")), None);
        Replacement::begin(&path).expect("begun").finish(b"nonsense\n").expect("written");
        assert!(database.refresh().is_err() && database.refresh().is_err());
        assert_eq!(reason(login(&database, "alice", "two")), None);
        fs::remove_file(&path).expect("removed");
        assert!(database.refresh().is_err());
        assert_eq!(reason(login(&database, "alice", "two")), None);
    }

    #[test]
    fn a_password_can_be_proved_by_scram_as_well() {
        let path = path("scram");
        let disabled = UserRecord { is_disabled: true, ..record(b"secret") };
        write(&path, &[("alice", record(b"secret")), ("bob", disabled)]);
        let chain =
            Chain::new(vec![Arc::new(Database::load(&path, &Secret::new(b"s")).expect("a good file"))]);
        fs::remove_file(path).expect("removed");
        for (user, is_in) in [("alice", true), ("bob", false), ("carol", false)] {
            let mut client = Client::new(Mechanism::Sha256, user, Secret::new(b"secret"), "abc");
            let data = Secret::new(&client.first());
            let enhanced = Enhanced { method: "SCRAM-SHA-256".into(), data, exchange: None };
            let asked = Ask { enhanced: Some(enhanced), ..ask("192.0.2.1:1", None) };
            let Judgement::Challenge(first, exchange) = chain.judge(&asked, 0) else { panic!("a challenge") };
            // The iterations of those that are not there are the default.
            let proof = client.answer(&first).expect("an answer");
            match exchange.go_on(&proof, 0, &chain) {
                Judgement::AcceptWith(identity, _) => assert!(is_in && identity.roles.len() == 1, "{user}"),
                judgement => assert!(!is_in && matches!(judgement, Judgement::Reject(_)), "{user}"),
            }
        }
    }

    #[test]
    fn a_proof_is_judged_by_the_users_of_its_moment() {
        let path = path("moment");
        let alice = record(b"secret");
        let promoted = UserRecord { roles: vec!["admin".into()], ..alice.clone() };
        let disabled = UserRecord { is_disabled: true, ..alice.clone() };
        let later = [
            (Some(promoted), Some("admin")),
            (Some(record(b"other")), None),
            (Some(disabled), None),
            (None, None),
        ];
        for (record_later, role) in later {
            write(&path, &[("alice", alice.clone())]);
            let database = Arc::new(Database::load(&path, &Secret::new(b"s")).expect("a good file"));
            let chain = Chain::new(vec![database.clone()]);
            let begun = [(); 2].map(|()| begin_as_alice(&chain));
            let records: Vec<_> = record_later.map(|record| ("alice", record)).into_iter().collect();
            write(&path, &records);
            assert!(database.refresh().expect("changed"));
            // Changed alone, and read again with everything else, by a reload.
            let again = Chain::new(vec![Arc::new(Database::load(&path, &Secret::new(b"s")).expect("good"))]);
            for (chain, (proof, exchange)) in [&chain, &again].into_iter().zip(begun) {
                match exchange.go_on(&proof, 0, chain) {
                    Judgement::AcceptWith(identity, _) => {
                        assert_eq!(identity.roles.first().map(|it| &**it), role)
                    }
                    judgement => assert!(role.is_none() && matches!(judgement, Judgement::Reject(_))),
                }
            }
        }
        fs::remove_file(path).expect("removed");
    }

    /// Alice's proof, and the exchange that it is for.
    fn begin_as_alice(chain: &Chain) -> (Vec<u8>, Box<dyn Exchange>) {
        let mut client = Client::new(Mechanism::Sha256, "alice", Secret::new(b"secret"), "abc");
        let data = Secret::new(&client.first());
        let enhanced = Enhanced { method: "SCRAM-SHA-256".into(), data, exchange: None };
        let asked = Ask { enhanced: Some(enhanced), ..ask("192.0.2.1:1", None) };
        let Judgement::Challenge(first, exchange) = chain.judge(&asked, 0) else { panic!("a challenge") };
        (client.answer(&first).expect("an answer"), exchange)
    }
}
