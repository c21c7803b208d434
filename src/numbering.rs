//! The numbers of the listeners: by them connections know where they came in, so that each stays one listener's for the life
//! of the process.

use std::sync::Arc;

use runtime::Place;

use crate::listen::{self, Entrance};

/// By their numbers, those that were closed as well: connections that came in by them are still there.
#[derive(Debug, Clone)]
pub struct Numbers {
    all: Vec<Numbered>,
}

#[derive(Debug, Clone)]
struct Numbered {
    entrance: Entrance,
    is_open: bool,
}

/// Where the socket of a listener comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It is there, under this number.
    There(u16),
    Added,
}

impl Numbers {
    pub fn first(entrances: Vec<Entrance>) -> Numbers {
        let all = entrances.into_iter().map(|entrance| Numbered { entrance, is_open: true }).collect();
        Numbers { all }
    }

    /// With whether it is open.
    pub fn all(&self) -> impl Iterator<Item = (&Entrance, bool)> {
        self.all.iter().map(|numbered| (&numbered.entrance, numbered.is_open))
    }

    pub fn open(&self) -> impl Iterator<Item = &Entrance> {
        self.all().filter_map(|(entrance, is_open)| is_open.then_some(entrance))
    }

    /// By which rules and those who are asked know each, by number. Those that are open have the first choice.
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by_key(|number| !self.all[*number].is_open);
        let sorted: Vec<Entrance> = order.iter().map(|number| self.all[*number].entrance.clone()).collect();
        let mut named: Vec<(usize, Arc<str>)> = order.into_iter().zip(listen::names(&sorted)).collect();
        named.sort_by_key(|(number, _)| *number);
        named.into_iter().map(|(_, name)| name).collect()
    }

    /// The numbers of those that are wanted now, and for each number where its socket comes from; none where nobody comes in.
    /// What is at the same address keeps its number. Another address at the same place keeps the socket.
    pub fn renumbered(&self, wanted: &[Entrance]) -> Result<(Numbers, Vec<Option<Source>>), String> {
        let mut all = self.all.clone();
        all.iter_mut().for_each(|numbered| numbered.is_open = false);
        let mut sources: Vec<Option<Source>> = vec![None; all.len()];
        let mut is_used = vec![false; all.len()];
        let mut take = |fits: &dyn Fn(&Entrance) -> bool| {
            let found = self.all.iter().zip(&mut is_used).position(|(there, used)| {
                let is_it = there.is_open && !*used && fits(&there.entrance);
                *used |= is_it;
                is_it
            });
            found.map(|number| u16::try_from(number).expect("they were given out as such"))
        };
        let same_address: Vec<Option<u16>> = wanted
            .iter()
            .map(|entrance| {
                take(&|there| there.address == entrance.address && are_one(&there.place, &entrance.place))
            })
            .collect();
        for (entrance, same) in wanted.iter().zip(same_address) {
            let numbered = Numbered { entrance: entrance.clone(), is_open: true };
            if let Some(number) = same {
                all[usize::from(number)] = numbered;
                sources[usize::from(number)] = Some(Source::There(number));
                continue;
            }
            let from =
                take(&|there| !listen::is_chosen(&there.place) && are_one(&there.place, &entrance.place));
            if u16::try_from(all.len()).is_err() {
                return Err(
                    "so many listeners have come and gone that there is no number left: restart the broker"
                        .to_owned(),
                );
            }
            all.push(numbered);
            sources.push(Some(from.map_or(Source::Added, Source::There)));
        }
        Ok((Numbers { all }, sources))
    }
}

/// The mode of a socket in the file system can change.
fn are_one(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Unix { path, .. }, Place::Unix { path: theirs, .. }) => path == theirs,
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, Listener};

    fn entrance(address: &str, place: &str) -> Entrance {
        let address = Address::parse(address).expect(address);
        let place = Place::Tcp(place.parse().expect(place));
        Entrance { listener: Listener::at(address.clone()), address, place }
    }

    fn of(list: &[(&str, &str)]) -> Vec<Entrance> {
        list.iter().map(|(address, place)| entrance(address, place)).collect()
    }

    const A: (&str, &str) = ("tcp://127.0.0.1:1", "127.0.0.1:1");
    const B: (&str, &str) = ("tcp://127.0.0.1:2", "127.0.0.1:2");
    const B_TLS: (&str, &str) = ("tls://127.0.0.1:2", "127.0.0.1:2");
    const CHOSEN: (&str, &str) = ("tcp://127.0.0.1:0", "127.0.0.1:0");

    #[test]
    fn a_listener_keeps_its_number_wherever_it_stands() {
        let numbers = Numbers::first(of(&[A, B]));
        let (numbers, sources) = numbers.renumbered(&of(&[B, A])).expect("room");
        assert_eq!(sources, [Some(Source::There(0)), Some(Source::There(1))]);
        let (numbers, sources) = numbers.renumbered(&of(&[B])).expect("room");
        assert_eq!(sources, [None, Some(Source::There(1))]);
        // What comes again is another one: connections of the first may still be there.
        let (numbers, sources) = numbers.renumbered(&of(&[A, B])).expect("room");
        assert_eq!(sources, [None, Some(Source::There(1)), Some(Source::Added)]);
        let names = numbers.names();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["tcp://127.0.0.1:1#2", "tcp://127.0.0.1:2", "tcp://127.0.0.1:1"]);
    }

    #[test]
    fn another_protocol_at_the_same_place_is_another_listener_with_the_same_socket() {
        let numbers = Numbers::first(of(&[A, B]));
        let (numbers, sources) = numbers.renumbered(&of(&[A, B_TLS])).expect("room");
        assert_eq!(sources, [Some(Source::There(0)), None, Some(Source::There(1))]);
        assert_eq!(numbers.open().count(), 2);
    }

    #[test]
    fn ports_that_the_system_chose_are_told_apart_by_their_order() {
        let numbers = Numbers::first(of(&[CHOSEN, CHOSEN]));
        let (numbers, sources) = numbers.renumbered(&of(&[CHOSEN, CHOSEN, CHOSEN])).expect("room");
        assert_eq!(sources, [Some(Source::There(0)), Some(Source::There(1)), Some(Source::Added)]);
        let (_, sources) = numbers.renumbered(&of(&[CHOSEN])).expect("room");
        assert_eq!(sources, [Some(Source::There(0)), None, None]);
    }
}
