//! Places that somebody with a token keeps for as long as he likes, and who gives one up where there is none for somebody else.
//!
//! An address has a share of them. But all of a machine are one address, and so are all behind a proxy: there a lower role makes room for a
//! higher one, and of the same role the token that has most for one that has fewer. So nobody can keep out who may do more.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    guard::Caller,
    shares::{NoPlace, share_of},
    token_list::Role,
};
use crate::metrics::Used;

/// Who wants a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// None: the control socket, which makes room for nobody.
    token: Option<Arc<str>>,
    role: Role,
    /// None: the control socket, and all are its share.
    origin: Option<IpAddr>,
}

/// Beside each holder something that ends it.
#[derive(Debug)]
pub struct Places<T> {
    holders: BTreeMap<u64, Holder<T>>,
    questions_ever: u64,
    refused: u64,
}

#[derive(Debug)]
struct Holder<T> {
    asker: Asker,
    /// Grows with each question of anybody.
    last_question: u64,
    kept: T,
}

impl Asker {
    pub fn new(caller: &Caller, origin: Option<IpAddr>) -> Asker {
        Asker { token: caller.token.clone(), role: caller.role.unwrap_or(Role::Viewer), origin }
    }
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places { holders: BTreeMap::new(), questions_ever: 0, refused: 0 }
    }
}

impl<T> Places<T> {
    /// Whether there is room for one more among those that count, of which there are `most`; or who has to go for it. Who goes already is
    /// looked at as gone.
    pub fn find_room(
        &self,
        asker: &Asker,
        most: usize,
        going: Option<u64>,
        counts: impl Fn(&T) -> bool,
    ) -> Result<Option<u64>, NoPlace> {
        let is_there =
            |(number, holder): &(&u64, &Holder<T>)| Some(**number) != going && counts(&holder.kept);
        let is_own = |holder: &Holder<T>| asker.origin.is_some() && holder.asker.origin == asker.origin;
        let (mut all, mut own) = (0, 0);
        for (_, holder) in self.holders.iter().filter(is_there) {
            all += 1;
            own += usize::from(is_own(holder));
        }
        let (is_full, has_share) = (all >= most, own >= share_of(most) && asker.origin.is_some());
        if !is_full && !has_share {
            return Ok(None);
        }
        let rivals = self.holders.iter().filter(is_there).filter(|(_, holder)| !has_share || is_own(holder));
        match first_to_go(asker, rivals.map(|(number, holder)| (*number, holder)).collect()) {
            Some(number) => Ok(Some(number)),
            None if is_full => Err(NoPlace::OfAll),
            None => Err(NoPlace::OfAddress),
        }
    }

    /// The one of this number has a place from now on.
    pub fn take(&mut self, number: u64, asker: Asker, kept: T) {
        self.questions_ever += 1;
        let before = self.holders.insert(number, Holder { asker, last_question: self.questions_ever, kept });
        assert!(before.is_none(), "a number is of one holder");
    }

    /// One that has a place asks again, maybe with another token.
    pub fn note_question(&mut self, number: u64, asker: &Asker) {
        if let Some(holder) = self.holders.get_mut(&number) {
            self.questions_ever += 1;
            (holder.asker, holder.last_question) = (asker.clone(), self.questions_ever);
        }
    }

    /// Nothing where it had to make room before.
    pub fn give_back(&mut self, number: u64) -> Option<T> {
        self.holders.remove(&number).map(|holder| holder.kept)
    }

    /// Somebody has gone without one, or has had to go for somebody else.
    pub fn note_refusal(&mut self) {
        self.refused += 1;
    }

    pub fn used(&self, place: &'static str, most: usize) -> Used {
        Used { place, taken: self.holders.len() as u64, most: most as u64, refused: self.refused }
    }

    pub fn count(&self, counts: impl Fn(&T) -> bool) -> usize {
        self.holders.values().filter(|holder| counts(&holder.kept)).count()
    }
}

/// Of those who have to give way to this one: the lowest role, then the token that has most, then who has asked nothing for longest.
fn first_to_go<T>(asker: &Asker, rivals: Vec<(u64, &Holder<T>)>) -> Option<u64> {
    let mut of_token: HashMap<Option<&str>, usize> = HashMap::new();
    for (_, holder) in &rivals {
        *of_token.entry(holder.asker.token.as_deref()).or_default() += 1;
    }
    let has = |asker: &Asker| of_token.get(&asker.token.as_deref()).copied().unwrap_or_default();
    // One more must not have more than that one is left with.
    let gives_way = |holder: &Holder<T>| match holder.asker.role.cmp(&asker.role) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => holder.asker.token.is_some() && has(asker) + 1 < has(&holder.asker),
        std::cmp::Ordering::Greater => false,
    };
    let going = rivals.iter().filter(|(_, holder)| gives_way(holder));
    let going = going
        .min_by_key(|(_, holder)| (holder.asker.role, Reverse(has(&holder.asker)), holder.last_question));
    going.map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(token: &str, role: Role, last: u8) -> Asker {
        Asker { token: Some(token.into()), role, origin: Some(IpAddr::from([192, 0, 2, last])) }
    }

    fn control() -> Asker {
        Asker { token: None, role: Role::Admin, origin: None }
    }

    /// With so many of this one, numbered from 0.
    fn held_by(asker: &Asker, count: u64) -> Places<()> {
        let mut places = Places::default();
        (0..count).for_each(|number| places.take(number, asker.clone(), ()));
        places
    }

    fn room(places: &Places<()>, asker: &Asker, most: usize) -> Result<Option<u64>, NoPlace> {
        places.find_room(asker, most, None, |()| true)
    }

    #[test]
    fn an_address_has_three_quarters_and_the_control_socket_all_that_are_left() {
        let one = asker("eye", Role::Viewer, 1);
        let mut places = held_by(&one, 3);
        assert_eq!(room(&places, &one, 5), Ok(None));
        places.take(3, one.clone(), ());
        assert_eq!(room(&places, &one, 5), Err(NoPlace::OfAddress));
        assert_eq!(room(&places, &asker("eye", Role::Viewer, 2), 5), Ok(None));
        assert_eq!(room(&places, &control(), 5), Ok(None));
        places.take(4, asker("eye", Role::Viewer, 2), ());
        assert_eq!(room(&places, &one, 5), Err(NoPlace::OfAll));
        assert_eq!(room(&places, &asker("eye", Role::Viewer, 3), 5), Err(NoPlace::OfAll));
    }

    #[test]
    fn a_lower_role_makes_room_for_a_higher_one_and_never_the_other_way() {
        let roles = [Role::Viewer, Role::Operator, Role::Admin];
        for holds in roles {
            let places = held_by(&asker("holds", holds, 1), 1);
            for wants in roles {
                let (found, gives_way) = (room(&places, &asker("wants", wants, 1), 1), holds < wants);
                assert_eq!(found.is_ok(), gives_way, "{holds:?} {wants:?}");
            }
            assert_eq!(room(&places, &control(), 1).is_ok(), holds < Role::Admin);
        }
        assert_eq!(room(&held_by(&control(), 9), &asker("boss", Role::Admin, 1), 9), Err(NoPlace::OfAll));
    }

    #[test]
    fn of_the_same_role_a_token_makes_room_until_both_have_as_many() {
        let (one, other) = (asker("one", Role::Viewer, 1), asker("other", Role::Viewer, 1));
        let mut places = held_by(&one, 6);
        for number in 6.. {
            match room(&places, &other, 8) {
                Ok(Some(going)) => drop(places.give_back(going)),
                Ok(None) => {}
                Err(why) => {
                    assert_eq!(why, NoPlace::OfAddress);
                    break;
                }
            }
            places.take(number, other.clone(), ());
        }
        let of = |token: &Asker| places.holders.values().filter(|holder| holder.asker == *token).count();
        assert_eq!((of(&one), of(&other)), (3, 3));
        assert_eq!(room(&places, &one, 8), Err(NoPlace::OfAddress));
    }

    #[test]
    fn who_has_asked_nothing_for_longest_goes_first_and_of_an_address_with_its_share_only_its_own() {
        let (eye, boss) = (asker("eye", Role::Viewer, 1), asker("boss", Role::Admin, 1));
        let mut places = held_by(&eye, 3);
        places.note_question(0, &eye);
        assert_eq!(room(&places, &boss, 4), Ok(Some(1)));
        places.take(3, asker("far", Role::Viewer, 2), ());
        places.note_question(0, &boss);
        places.note_question(1, &boss);
        places.note_question(2, &boss);
        assert_eq!(room(&places, &boss, 4), Err(NoPlace::OfAll), "its address has its share");
        assert_eq!(room(&places, &asker("boss", Role::Admin, 3), 4), Ok(Some(3)));
    }

    #[test]
    fn who_goes_already_is_gone_and_who_does_not_count_does_not_go() {
        let eye = asker("eye", Role::Viewer, 1);
        let mut places = held_by(&eye, 2);
        let boss = asker("boss", Role::Admin, 2);
        assert_eq!(places.find_room(&boss, 2, Some(0), |()| true), Ok(None));
        assert_eq!(places.find_room(&boss, 0, None, |()| false), Err(NoPlace::OfAll));
        assert_eq!((places.give_back(0), places.give_back(0)), (Some(()), None));
        assert_eq!(places.count(|()| true), 1);
    }
}
