//! Lists that come in pages: how many rows are asked for, and what is said beside them.

use clap::{Args, builder::RangedU64ValueParser};
use serde_json::{Value, json};

use super::{
    Failure, Shown,
    table::Table,
    target::{Target, encoded},
};
use crate::{output, text};

#[derive(Debug, Args)]
pub struct MostArgs {
    /// Show so many at most; without it 1000 of a table, and all as JSON
    #[arg(short = 'n', long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: Option<usize>,
}

impl MostArgs {
    pub fn rows(&self, is_json: bool) -> Wanted {
        let usual = if is_json { usize::MAX } else { TABLE_ROWS };
        Wanted { limit: self.limit.unwrap_or(usual), is_json }
    }
}

/// How many rows, and how they are told: as JSON each is printed as it comes, and none is kept.
#[derive(Clone, Copy)]
pub struct Wanted {
    limit: usize,
    is_json: bool,
}

/// Rows of several pages.
#[derive(Default)]
pub struct Listed {
    pub rows: Vec<Value>,
    /// Those that were printed already.
    printed: usize,
    has_more: bool,
    /// Messages that belong to a list, and that the store alone has.
    pub on_disk: u64,
}

impl Listed {
    pub fn of(rows: Vec<Value>) -> Listed {
        Listed { rows, ..Listed::default() }
    }

    pub fn table(self, heads: &[&'static str], columns: &[&str], none: &str) -> Shown {
        let mut table = Table::new(heads);
        for row in &self.rows {
            table.line(&columns.iter().map(|column| row[column].clone()).collect::<Vec<_>>());
        }
        self.shown(&table, none)
    }

    pub fn shown(self, table: &Table, none: &str) -> Shown {
        self.told(table.text(), none)
    }

    /// `none` stands there in place of heads without rows, and answers what was asked: a list of all is empty for another reason than
    /// one that was searched.
    pub fn told(self, text: String, none: &str) -> Shown {
        let told = self.rows.len() + self.printed;
        let mut notes = Vec::new();
        if self.has_more {
            notes.push(format!(
                "there are more than these {told}: -n N shows N of them, --json without -n all"
            ));
        }
        if told == 0 {
            notes.push(none.to_owned());
        }
        Shown {
            text: if told == 0 { String::new() } else { text },
            rows: self.rows,
            notes,
            ..Shown::default()
        }
    }
}

pub fn note_of_disk(count: u64) -> Option<String> {
    let (messages, are) = (text::count(count, "message"), if count == 1 { "is" } else { "are" });
    (count > 0).then(|| format!("{messages} that {} {are} on disk alone, and not shown", waits(count)))
}

fn waits(count: u64) -> &'static str {
    if count == 1 { "waits" } else { "wait" }
}

/// All rows, however many pages they take.
pub fn all_rows(target: &Target<'_>, path: &str, name: &str) -> Result<Vec<Value>, Failure> {
    let all = Wanted { limit: usize::MAX, is_json: false };
    pages(target, path, name, &[], all).map(|listed| listed.rows)
}

/// Asks for page after page until there are enough rows.
pub fn pages(
    target: &Target<'_>,
    path: &str,
    name: &str,
    query: &[(&str, String)],
    wanted: Wanted,
) -> Result<Listed, Failure> {
    pages_by(wanted, name, |cursor, limit| {
        let mut asked = format!("{path}?limit={limit}");
        let at = cursor.map(|cursor| ("cursor", cursor));
        for (key, value) in query.iter().map(|(key, value)| (*key, value.as_str())).chain(at) {
            asked.push_str(&format!("&{key}={}", encoded(value)));
        }
        target.get(&asked)
    })
}

/// The same where the question stands in the body.
pub fn pages_asked(
    target: &Target<'_>,
    path: &str,
    name: &str,
    body: &Value,
    wanted: Wanted,
) -> Result<Listed, Failure> {
    pages_by(wanted, name, |cursor, limit| {
        let mut body = body.clone();
        (body["cursor"], body["limit"]) = (json!(cursor), json!(limit));
        target.ask("POST", path, Some(body))
    })
}

fn pages_by(
    Wanted { limit, is_json }: Wanted,
    name: &str,
    ask: impl Fn(Option<&str>, usize) -> Result<Value, Failure>,
) -> Result<Listed, Failure> {
    let (mut listed, mut cursor) = (Listed::default(), None::<String>);
    loop {
        let left = limit - listed.rows.len() - listed.printed;
        if left == 0 {
            return Ok(Listed { has_more: true, ..listed });
        }
        let answer = ask(cursor.as_deref(), left.min(PAGE_ROWS))?;
        let mut rows = rows_of(&answer, name);
        rows.truncate(left);
        listed.on_disk = answer["on_disk"].as_u64().unwrap_or(0);
        if is_json {
            listed.printed += rows.len();
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            // Whoever does not read on has enough.
            if !output::print_json_more(&lines).map_err(Failure::Unreachable)? {
                return Ok(listed);
            }
        } else {
            listed.rows.extend(rows);
        }
        match answer["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(listed),
        }
    }
}

pub fn rows_of(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().cloned().unwrap_or_default()
}

/// The most that the API gives at once.
const PAGE_ROWS: usize = 1000;
/// Nobody reads more at a terminal without wanting to.
const TABLE_ROWS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_those_wanted_are_named_on_standard_error_and_no_row_says_so() {
        let page = |cursor: Option<&str>, most: usize| {
            let rows: Vec<Value> = (0..most.min(3)).map(|row| json!({ "row": row })).collect();
            Ok(json!({ "rows": rows, "cursor": cursor.map_or(Some("2"), |_| None) }))
        };
        let listed = |limit| pages_by(Wanted { limit, is_json: false }, "rows", page).ok().expect("pages");
        let shown = |limit| listed(limit).table(&["ROW"], &["row"], "none");
        let (all, cut) = (shown(9), shown(4));
        assert_eq!((all.rows.len(), all.notes.len()), (6, 0));
        assert_eq!((cut.rows.len(), cut.text.lines().count()), (4, 5));
        assert!(listed(3).has_more && listed(2).has_more && !listed(7).has_more);
        let none = Listed::default().table(&["ROW"], &["row"], "there is none");
        assert_eq!((none.text.as_str(), none.notes.as_slice()), ("", &["there is none".to_owned()][..]));
    }
}
