//! What is wrong with the configuration, in one sentence each: where, which key, which value, what would be right.

use std::fmt;

/// Where a value comes from. The later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File { path: String, line: usize },
    Environment { variable: String },
    Flag { flag: &'static str },
}

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The key as its source writes it; empty where the file as a whole is meant.
    pub key: String,
    /// The value as it is written there.
    pub value: String,
    /// What is wrong and what would be right.
    pub remedy: String,
}

impl Origin {
    /// People read a file from the top, and what is elsewhere after it.
    pub fn line_of_file(&self) -> usize {
        match self {
            Origin::File { line, .. } => *line,
            Origin::Environment { .. } | Origin::Flag { .. } => usize::MAX,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: 0 } => write!(f, "{path}"),
            Origin::File { path, line } => write!(f, "{path}, line {line}"),
            Origin::Environment { variable } => write!(f, "environment variable {variable}"),
            Origin::Flag { flag } => write!(f, "flag {flag}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A variable and a flag are their own key.
        let key = if matches!(self.origin, Origin::File { .. }) { self.key.as_str() } else { "" };
        write!(f, "{}:", self.origin)?;
        let key = shortened(key);
        match (key.is_empty(), self.value.is_empty()) {
            (false, false) => write!(f, " {key} = {}:", shortened(&self.value))?,
            (false, true) => write!(f, " {key}:")?,
            (true, false) => write!(f, " {}:", shortened(&self.value))?,
            (true, true) => {}
        }
        write!(f, " {}", self.remedy)
    }
}

/// One line of bearable length.
fn shortened(value: &str) -> String {
    let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

const VALUE_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_and_kept_on_one_line() {
        let problem = Problem {
            origin: Origin::Flag { flag: "--listen" },
            key: String::new(),
            value: format!("a\nb{}", "x".repeat(200)),
            remedy: "no".to_owned(),
        };
        assert_eq!(problem.to_string(), format!("flag --listen: a b{}...: no", "x".repeat(77)));
    }
}
