//! Pages of rows that all shards have: one shard after the other, from where a cursor says.

use std::hash::{DefaultHasher, Hash, Hasher};

use runtime::{Desk, Looked};
use serde::Deserialize;
use serde_json::Value;
use shard::{Look, ShardId};

use super::{answer, asking, asking::Trouble};

/// A place in the rows of all shards: those of this shard behind this row, and those of the shards after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub shard: u8,
    pub after: Option<u64>,
}

impl Cursor {
    pub fn read(text: Option<&str>) -> Result<Cursor, Trouble> {
        let Some(text) = text else { return Ok(Cursor { shard: 0, after: None }) };
        let read = || {
            let (shard, after) = text.split_once('-')?;
            let after = if after.is_empty() { None } else { Some(after.parse().ok()?) };
            Some(Cursor { shard: shard.parse().ok()?, after })
        };
        read().ok_or_else(wrong_cursor)
    }

    pub fn text(self) -> String {
        format!("{}-{}", self.shard, self.after.map_or(String::new(), |after| after.to_string()))
    }
}

/// What is asked of a list that has no other parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paged {
    pub cursor: Option<String>,
    pub limit: Option<usize>,
}

/// How many rows a page is to have.
pub fn limit(asked: Option<usize>) -> Result<usize, Trouble> {
    match asked.unwrap_or(ROWS_USUAL) {
        limit @ 1..=ROWS_MAX => Ok(limit),
        _ => Err(answer::refused(&format!("limit: expected a number from 1 to {ROWS_MAX}")).into()),
    }
}

/// A page of a list that is there as a whole, from behind the item that the cursor names. Rows are made of no other items than its own.
pub fn part<T: Hash>(
    all: impl Iterator<Item = T> + Clone,
    Paged { cursor, limit }: &Paged,
    row: impl Fn(&T) -> Value,
) -> Result<Rows, Trouble> {
    let limit = self::limit(*limit)?;
    let first = cursor.as_deref().map_or(Ok(0), |cursor| behind(all.clone(), cursor))?;
    let (mut bytes, mut rows, mut last) = (0, Vec::new(), None);
    let mut rest = all.skip(first);
    while rows.len() < limit && bytes < BYTES_MAX {
        let Some(item) = rest.next() else { return Ok(Rows { rows, cursor: None }) };
        let row = row(&item);
        bytes += weight(&row);
        rows.push(row);
        last = Some(item);
    }
    let last = last.filter(|_| rest.next().is_some());
    let end = first + rows.len();
    let cursor = last.map(|last| format!("{}-{:016x}", end - 1, mark(&last)));
    Ok(Rows { rows, cursor })
}

/// Behind the item that was the last one, wherever it stands by now; if it is gone, where it stood. Of several like it, it is the one nearest to that
/// place, so that whoever goes on from a list that stays as it is comes to its end.
fn behind<T: Hash>(all: impl Iterator<Item = T> + Clone, cursor: &str) -> Result<usize, Trouble> {
    let read = || {
        let (place, marked) = cursor.split_once('-')?;
        Some((place.parse::<usize>().ok()?, u64::from_str_radix(marked, 16).ok()?))
    };
    let (place, marked) = read().ok_or_else(wrong_cursor)?;
    // Nearly always.
    if all.clone().nth(place).is_some_and(|item| mark(&item) == marked) {
        return Ok(place + 1);
    }
    let like_it = all.enumerate().filter(|(_, item)| mark(item) == marked).map(|(at, _)| at);
    let found = like_it.min_by_key(|at| at.abs_diff(place));
    Ok(found.map_or(place, |found| found + 1))
}

/// Tells an item from others. It holds as long as the broker runs.
fn mark(item: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    hasher.finish()
}

fn wrong_cursor() -> Trouble {
    answer::refused("cursor: expected what the page before has said").into()
}

/// Some rows.
pub struct Rows {
    pub rows: Vec<Value>,
    /// Where it goes on. None: this is the end.
    pub cursor: Option<String>,
}

/// Rows until there are enough of them, or until they are so large, or so much was looked through, that the rest is for another question.
pub async fn collect(
    desk: &Desk,
    from: Cursor,
    limit: usize,
    ask: impl Fn(Option<u64>, usize) -> Look,
    take: impl Fn(Looked) -> (Vec<Value>, Option<u64>),
) -> Result<Rows, Trouble> {
    let shards = desk.shards().count();
    let (mut rows, mut bytes, mut at) = (Vec::new(), 0, from);
    for _ in 0..LOOKS_MAX {
        if rows.len() >= limit || bytes >= BYTES_MAX || usize::from(at.shard) >= shards {
            break;
        }
        let looked = asking::look(desk, ShardId(at.shard), ask(at.after, limit - rows.len())).await?;
        let (more, next) = take(looked);
        bytes += more.iter().map(weight).sum::<usize>();
        rows.extend(more);
        at = match next {
            Some(after) => Cursor { after: Some(after), ..at },
            None => Cursor { shard: at.shard + 1, after: None },
        };
    }
    let is_end = usize::from(at.shard) >= shards;
    Ok(Rows { rows, cursor: (!is_end).then(|| at.text()) })
}

/// The bytes of the texts in it.
pub fn weight(row: &Value) -> usize {
    match row {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(fields) => fields.values().map(weight).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The texts of one page, beyond which it ends. A control character is six as JSON writes it.
pub const BYTES_MAX: usize = 512 << 10;

/// Rows of one page.
const ROWS_USUAL: usize = 100;
const ROWS_MAX: usize = 1000;

/// Looks for one page: each takes a shard less than a millisecond, and covers some thousand sessions.
const LOOKS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::iter::successors;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_told_and_nothing_else_is() {
        for cursor in [Cursor { shard: 0, after: None }, Cursor { shard: 7, after: Some(12) }] {
            assert_eq!(Cursor::read(Some(&cursor.text())).ok(), Some(cursor));
        }
        assert_eq!(Cursor::read(None).ok(), Some(Cursor { shard: 0, after: None }));
        for wrong in ["", "-", "1", "x-1", "1-x", "256-", "1--1", "1-18446744073709551616"] {
            assert!(Cursor::read(Some(wrong)).is_err(), "{wrong}");
        }
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err() && limit(None).is_ok());
    }

    #[test]
    fn a_list_that_changes_between_two_pages_goes_on_where_it_was() {
        let list = |names: &[&str]| names.iter().map(|name| Value::from(*name)).collect::<Vec<_>>();
        let page = |names: &[&str], cursor: Option<&str>| {
            let paged = Paged { cursor: cursor.map(str::to_owned), limit: Some(2) };
            part(list(names).iter(), &paged, |row| (*row).clone()).map(|rows| (rows.rows, rows.cursor)).ok()
        };
        let (first, cursor) = page(&["a", "b", "c", "d"], None).expect("there is no cursor");
        assert_eq!(first, list(&["a", "b"]));
        let cursor = cursor.as_deref();
        for (names, expected) in [
            (&["a", "b", "c", "d"][..], &["c", "d"][..]),
            (&["b", "c", "d"], &["c", "d"]),
            (&["a", "c", "d"], &["c", "d"]),
            (&["a", "b", "c", "d", "e"], &["c", "d"]),
            (&["a", "b"], &[]),
            (&[], &[]),
        ] {
            let (rows, next) = page(names, cursor).expect("the cursor was told");
            assert_eq!((rows, next.is_some()), (list(expected), names.len() == 5), "{names:?}");
        }
        for wrong in ["", "1", "x-1", "1-x", "1-", "-1"] {
            assert!(page(&["a"], Some(wrong)).is_none(), "{wrong}");
        }
        let long = "x".repeat(60_000);
        let many = Paged { cursor: None, limit: Some(1000) };
        let Ok(rows) = part([long.as_str(); 20].iter(), &many, |row| Value::from(**row)) else {
            panic!("there is no cursor")
        };
        assert_eq!((rows.rows.len(), rows.cursor.is_some()), (BYTES_MAX / 60_000 + 1, true));
    }

    /// Every list of up to four rows out of three, so with twins, triplets and all of one.
    fn lists() -> Vec<Vec<Value>> {
        let longer = |shorter: &Vec<Vec<Value>>| {
            let with = |list: &Vec<Value>, name: &str| [&list[..], &[Value::from(name)]].concat();
            shorter.iter().flat_map(|list| ["a", "b", "c"].map(|name| with(list, name))).collect()
        };
        let of_lengths = successors(Some(vec![Vec::new()]), |shorter| Some(longer(shorter)));
        of_lengths.take(5).flatten().collect()
    }

    fn first_page(list: &[Value]) -> Rows {
        part(list.iter(), &Paged { cursor: None, limit: Some(2) }, |row| (*row).clone())
            .ok()
            .expect("there is no cursor")
    }

    /// All rows from a cursor on. None: there are more pages than rows.
    fn all_behind(list: &[Value], mut cursor: Option<String>, limit: usize) -> Option<Vec<Value>> {
        let mut told = Vec::new();
        for _ in 0..=list.len() {
            let paged = Paged { cursor, limit: Some(limit) };
            let Ok(page) = part(list.iter(), &paged, |row| (*row).clone()) else {
                panic!("the cursor was told")
            };
            told.extend(page.rows);
            cursor = page.cursor;
            if cursor.is_none() {
                return Some(told);
            }
        }
        None
    }

    #[test]
    fn every_list_has_an_end_and_each_of_its_rows_is_told_once_whatever_is_in_it() {
        for list in lists() {
            for limit in 1..=3 {
                assert_eq!(all_behind(&list, None, limit).as_ref(), Some(&list), "{limit}");
            }
        }
    }

    #[test]
    fn every_list_has_an_end_whatever_it_was_when_the_page_before_was_told() {
        let lists = lists();
        for before in &lists {
            let Some(cursor) = first_page(before).cursor else { continue };
            for after in &lists {
                let rest = all_behind(after, Some(cursor.clone()), 1);
                assert!(rest.is_some(), "{before:?}, then {after:?}");
            }
        }
    }

    /// With one more somewhere, and without one, but for the row at this place.
    fn others(before: &[Value], kept: usize) -> Vec<Vec<Value>> {
        let with = |at: usize| [&before[..at], &[Value::from("x")], &before[at..]].concat();
        let without = |at: usize| [&before[..at], &before[at + 1..]].concat();
        let places = 0..before.len();
        let fewer = places.clone().filter(|at| *at != kept).map(without);
        places.map(with).chain(fewer).collect()
    }

    #[test]
    fn a_row_that_comes_or_goes_hides_no_other() {
        for before in lists() {
            let first = first_page(&before);
            let Some(cursor) = first.cursor else { continue };
            for after in others(&before, first.rows.len() - 1) {
                let rest = all_behind(&after, Some(cursor.clone()), 1).expect("it ends");
                let is_told = |row: &&Value| *row == "x" || first.rows.contains(row) || rest.contains(row);
                let hidden = after.iter().find(|row| !is_told(row));
                assert_eq!(hidden, None, "{before:?}, then {after:?}");
            }
        }
    }

    #[test]
    fn a_row_weighs_what_its_texts_do() {
        let row = serde_json::json!({ "client_id": "pump", "lost": [{ "topic": "a/b", "count": 7 }], "user": null });
        assert_eq!(weight(&row), 7);
    }
}
