//! Pages of rows that all shards have: one shard after the other, from where a cursor says.

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
        read().ok_or_else(|| answer::refused("cursor: expected what the page before has said").into())
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
    fn a_row_weighs_what_its_texts_do() {
        let row = serde_json::json!({ "client_id": "pump", "lost": [{ "topic": "a/b", "count": 7 }], "user": null });
        assert_eq!(weight(&row), 7);
    }
}
