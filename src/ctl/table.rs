//! Tables for people: columns as wide as what stands in them.

use serde_json::Value;

use crate::text;

/// Lines of cells below their heads. Numbers stand to the right.
pub struct Table {
    heads: Vec<&'static str>,
    lines: Vec<Vec<Cell>>,
}

struct Cell {
    text: String,
    is_number: bool,
}

impl Table {
    pub fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), lines: Vec::new() }
    }

    pub fn line(&mut self, cells: &[Value]) {
        let cell = |value: &Value| Cell { text: shown(value), is_number: value.is_number() };
        self.lines.push(cells.iter().map(cell).collect());
    }

    pub fn text(&self) -> String {
        let width = |at: usize| {
            let cells = self.lines.iter().map(|line| line[at].text.chars().count());
            // One very long cell moves what follows in its own line, and in no other.
            let usual = cells.filter(|letters| *letters <= COLUMN_LETTERS_MAX);
            usual.chain([self.heads[at].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let mut text = String::new();
        let heads = self.heads.iter().enumerate().map(|(at, head)| {
            let is_number = self.lines.first().is_some_and(|line| line[at].is_number);
            padded(head, widths[at], is_number)
        });
        text.push_str(heads.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        for line in &self.lines {
            let cells =
                line.iter().zip(&widths).map(|(cell, width)| padded(&cell.text, *width, cell.is_number));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn padded(text: &str, width: usize, is_right: bool) -> String {
    let padding = " ".repeat(width.saturating_sub(text.chars().count()));
    if is_right { format!("{padding}{text}") } else { format!("{text}{padding}") }
}

/// What comes from clients must not steer a terminal, nor fill it: whoever needs all of it asks for JSON.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text::shortened(&text::visible(text), CELL_LETTERS_MAX),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

const CELL_LETTERS_MAX: usize = 256;
const COLUMN_LETTERS_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut table = Table::new(&["CLIENT", "QUEUED", "USER"]);
        table.line(&[json!("a-long-one"), json!(5), Value::Null]);
        table.line(&[json!("b\u{1b}[2J"), json!(12345), json!("ada")]);
        assert_eq!(
            table.text(),
            "CLIENT      QUEUED  USER\na-long-one       5  -\nb\\u{1b}[2J   12345  ada\n"
        );
    }

    #[test]
    fn one_long_name_fills_neither_the_screen_nor_the_lines_of_others() {
        let mut table = Table::new(&["CLIENT", "USER"]);
        table.line(&[json!("L".repeat(65_535)), json!("eve")]);
        table.line(&[json!("pump"), json!("ada")]);
        let text = table.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[2]), ("CLIENT  USER", "pump    ada"));
        assert!(lines[1].chars().count() < 300 && lines[1].ends_with("L  eve"), "{}", lines[1]);
    }
}
