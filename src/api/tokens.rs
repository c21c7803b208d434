//! The tokens that the API knows at the moment: those of a file, which is read again when it has changed, or one of this process.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use identity::{ReplaceError, Replacement};
use zeroize::Zeroizing;

use super::{
    first_token::Teller,
    token_list::{Role, Token, TokenList},
};
use crate::watch::{Stamp, stamp};

#[derive(Debug)]
pub struct Tokens {
    /// None: they are nowhere else.
    path: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Of the file that was read.
    stamp: Stamp,
    list: TokenList,
}

/// Why nobody can be let in. Each has a sentence for the log.
#[derive(Debug)]
pub enum NoTokens {
    /// The first one was made, and there is no room for it.
    NoRoom(String),
    /// The first one cannot be made or kept, or there are some that cannot be read.
    Failed(String),
}

impl NoTokens {
    fn unkept(error: &ReplaceError) -> NoTokens {
        let why = format!("the API's first token cannot be kept: {error}");
        if error.is_lack_of_room() { NoTokens::NoRoom(why) } else { NoTokens::Failed(why) }
    }
}

impl fmt::Display for NoTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (NoTokens::NoRoom(why) | NoTokens::Failed(why)) = self;
        f.write_str(why)
    }
}

impl Tokens {
    /// Where there are none yet, one is made, if somebody hears of it: what is told then is its secret.
    pub fn open(
        path: Option<PathBuf>,
        teller: &Teller,
    ) -> Result<(Tokens, Option<Zeroizing<String>>), NoTokens> {
        let is_there = path.as_ref().is_some_and(|path| path.exists());
        let mut made = None;
        if !is_there && *teller != Teller::Nobody {
            let mut list = TokenList::default();
            let secret = list.add(FIRST, Role::Admin).map_err(NoTokens::Failed)?;
            teller.keep(&secret).map_err(|error| NoTokens::unkept(&error))?;
            made = Some(secret);
            let Some(path) = &path else {
                let known = Mutex::new(Known { stamp: None, list });
                return Ok((Tokens { path: None, known }, made));
            };
            let written = Replacement::begin(path).and_then(|replacement| replacement.finish(&list.bytes()));
            written.map_err(|error| {
                teller.forget();
                NoTokens::unkept(&error)
            })?;
        }
        let mut known = Known { stamp: None, list: TokenList::default() };
        if let Some(path) = path.as_ref().filter(|_| is_there || made.is_some()) {
            let stamp = stamp(path);
            let list = TokenList::load(path)
                .map_err(|error| NoTokens::Failed(format!("the API's tokens: {error}")))?;
            known = Known { stamp, list };
        }
        Ok((Tokens { path, known: Mutex::new(known) }, made))
    }

    /// None yet: they count from the moment that somebody writes the file.
    pub fn awaited(path: Option<PathBuf>) -> Tokens {
        Tokens { path, known: Mutex::new(Known { stamp: None, list: TokenList::default() }) }
    }

    /// Whoever has this.
    pub fn check(&self, secret: &str) -> Option<Token> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut known);
        known.list.check(secret).cloned()
    }

    /// Whether there is one with this hash still, with this role or one above it. The name says less: another one may have it.
    pub fn has(&self, sha256: &str, role: Role) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut known);
        known.list.tokens.iter().any(|token| token.sha256() == sha256 && token.role >= role)
    }

    /// A look at the file costs a system call. One that is gone has nobody's token; of one that cannot be read, those count that were
    /// there before.
    fn refresh(&self, known: &mut Known) {
        let Some(path) = &self.path else { return };
        let now = stamp(path);
        if now == known.stamp {
            return;
        }
        known.stamp = now;
        if now.is_none() {
            known.list = TokenList::default();
            return;
        }
        match TokenList::load(path) {
            Ok(list) => known.list = list,
            Err(error) => tracing::error!("the API's tokens stay as they were: {error}"),
        }
    }
}

/// The name of the one that is made at the first start.
const FIRST: &str = "admin";

#[cfg(test)]
mod tests {
    use std::{fs, io, os::unix::fs::PermissionsExt};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("iothub-tokens-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).expect("a folder");
        folder
    }

    #[test]
    fn the_first_start_makes_one_and_the_next_knows_it() {
        let folder = folder("first");
        let path = folder.join("api_tokens");
        let (tokens, made) = Tokens::open(Some(path.clone()), &Teller::Terminal).expect("opened");
        let secret = made.expect("made");
        assert_eq!(
            tokens.check(&secret).map(|token| (token.name, token.role)),
            Some(("admin".to_owned(), Role::Admin))
        );
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        let (again, made) = Tokens::open(Some(path.clone()), &Teller::Terminal).expect("opened");
        assert!(made.is_none() && again.check(&secret).is_some());

        fs::write(&path, "nonsense").expect("written");
        assert!(again.check(&secret).is_some(), "a file that cannot be read changes nothing");
        assert!(Tokens::open(Some(path.clone()), &Teller::Terminal).is_err());
        let mut list = TokenList::default();
        let other = list.add("other", Role::Viewer).expect("made");
        Replacement::begin(&path).expect("begun").finish(&list.bytes()).expect("written");
        assert!(again.check(&secret).is_none() && again.check(&other).is_some());
        let hash = again.check(&other).expect("known").sha256().to_owned();
        assert!(again.has(&hash, Role::Viewer) && !again.has(&hash, Role::Admin));
        assert!(list.remove("other"));
        let replaced = list.add("other", Role::Viewer).expect("made");
        Replacement::begin(&path).expect("begun").finish(&list.bytes()).expect("written");
        assert!(again.check(&replaced).is_some() && !again.has(&hash, Role::Viewer), "it has the name alone");
        fs::remove_file(&path).expect("removed");
        assert!(again.check(&replaced).is_none());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_first_one_whose_hash_cannot_be_kept_leaves_nothing_and_another_one_counts_at_once() {
        let folder = folder("unkept");
        let path = folder.join("api_tokens");
        // Nothing can be written under this name.
        let in_its_way = folder.join(".api_tokens.iothub");
        fs::create_dir(&in_its_way).expect("a folder");
        let first = folder.join("api_tokens.first");
        let outcome = Tokens::open(Some(path.clone()), &Teller::File(first.clone()));
        assert!(matches!(outcome, Err(NoTokens::Failed(_))), "{outcome:?}");
        assert!(!first.exists(), "it would open nothing");
        fs::remove_dir(in_its_way).expect("removed");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let full = ReplaceError::Unwritable { path: path.clone(), error: full };
        assert!(matches!(NoTokens::unkept(&full), NoTokens::NoRoom(_)));

        let tokens = Tokens::awaited(Some(path.clone()));
        assert!(tokens.check("iothub_x").is_none());
        let mut list = TokenList::default();
        let secret = list.add("late", Role::Admin).expect("made");
        Replacement::begin(&path).expect("begun").finish(&list.bytes()).expect("written");
        assert!(tokens.check(&secret).is_some());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_nobody_hears_of_is_not_made() {
        let folder = folder("silent");
        let path = folder.join("api_tokens");
        assert!(
            Tokens::open(Some(path.clone()), &Teller::Nobody).expect("opened").1.is_none() && !path.exists()
        );
        assert!(Tokens::open(None, &Teller::Nobody).expect("opened").1.is_none());
        let (tokens, made) = Tokens::open(None, &Teller::Terminal).expect("opened");
        assert!(tokens.check(&made.expect("made")).is_some());
        fs::remove_dir_all(folder).expect("removed");
    }
}
