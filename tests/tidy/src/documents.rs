//! What the documents must name: crates, dependencies, keys, counters, and files that their links lead to.

use toml::de::{DeTable, DeValue};

use crate::{Offence, manifest};

/// Names on one side and not on the other, told for each side.
pub fn check_both_ways(document: &str, written: &[String], source: &str, real: &[String]) -> Vec<Offence> {
    let missing = real.iter().filter(|name| !written.contains(name));
    let invented = written.iter().filter(|name| !real.contains(name));
    missing
        .map(|name| Offence::new(document, 0, format!("does not mention `{name}` of {source}")))
        .chain(
            invented
                .map(|name| Offence::new(document, 0, format!("mentions `{name}`, which {source} has not"))),
        )
        .collect()
}

/// `section.key` of a configuration file.
pub fn keys_of_config(text: &str) -> Vec<String> {
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };
    let root = DeValue::Table(document.into_inner());
    let sections = manifest::keys(&root, &[]);
    let keys = |section: &String| {
        let section = section.clone();
        manifest::keys(&root, &[&section])
            .into_iter()
            .map(move |key| format!("{section}.{key}"))
            .collect::<Vec<_>>()
    };
    sections.iter().flat_map(keys).collect()
}

/// `section.key` of the tables in a document: a heading names the section, the first cell of a row the key.
pub fn keys_of_tables(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            section = between(line, "[", "]").unwrap_or_default().to_owned();
        } else if let Some(key) = first_cell(line)
            && !section.is_empty()
        {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

/// The names in the first cells of the tables below a heading.
pub fn names_below(text: &str, heading: &str) -> Vec<String> {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let ends = |line: &&str| {
        let hashes = line.chars().take_while(|c| *c == '#').count();
        hashes == 0 || hashes > level
    };
    let below = text.lines().skip_while(|line| *line != heading).skip(1).take_while(ends);
    below.filter_map(first_cell).map(str::to_owned).collect()
}

/// Names in backquotes at the beginning of a list item.
pub fn names_of_items(text: &str) -> Vec<String> {
    let items = text.lines().filter_map(|line| line.strip_prefix("- `"));
    items.filter_map(|item| Some(item.split_once('`')?.0.to_owned())).collect()
}

/// Names of the counters, from the list that makes them.
pub fn counters(text: &str) -> Vec<String> {
    let list =
        text.lines().skip_while(|line| !line.starts_with("counters! {")).take_while(|line| *line != "}");
    list.filter_map(|line| line.trim().strip_suffix(','))
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// Relative links of a document, from the root of the repository.
pub fn links(path: &str, text: &str) -> Vec<String> {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    files.map(|target| resolved(directory, target.split('#').next().unwrap_or(target))).collect()
}

fn resolved(directory: &str, target: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn first_cell(line: &str) -> Option<&str> {
    let cell = line.strip_prefix('|')?.split('|').next()?;
    between(cell, "`", "`")
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    Some(text.split_once(open)?.1.split_once(close)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_on_one_side_only_is_found_on_either() {
        assert_eq!(check_both_ways("d", &owned(&["a"]), "s", &owned(&["a"])), []);
        assert_eq!(check_both_ways("d", &owned(&[]), "s", &owned(&["a"])).len(), 1);
        assert_eq!(check_both_ways("d", &owned(&["a"]), "s", &owned(&[])).len(), 1);
    }

    #[test]
    fn keys_are_read_from_file_and_table() {
        assert_eq!(keys_of_config("[a]\nb = 1\nc = 2\n[d]\ne = [1]\n"), owned(&["a.b", "a.c", "d.e"]));
        let text = "# T\n\n| x | y |\n|---|---|\n| `no` | |\n\n## `[a]` Things\n\n| key | |\n|---|---|\n| `b` | `c` |\n";
        assert_eq!(keys_of_tables(text), owned(&["a.b"]));
    }

    #[test]
    fn names_below_a_heading_end_with_the_next() {
        let text = "## One\n| `a` |\n### More\n| `b` |\n## Two\n| `c` |\n";
        assert_eq!(names_below(text, "## One"), owned(&["a", "b"]));
        assert_eq!(names_below(text, "## Three"), owned(&[]));
    }

    #[test]
    fn counters_are_read_from_their_list() {
        let text = "macro_rules! counters {\n    ($a) => {};\n}\ncounters! {\n    #[doc = \"A.\"]\n    one,\n    two_2,\n}\n";
        assert_eq!(counters(text), owned(&["one", "two_2"]));
    }

    #[test]
    fn links_lead_from_their_document() {
        let text = "[a](b.md) [c](../d.rs#L1) [e](https://f.example/) [g](#h)";
        assert_eq!(links("docs/x/y.md", text), owned(&["docs/x/b.md", "docs/d.rs"]));
        assert_eq!(names_of_items("- `a`: b\n- c\n"), owned(&["a"]));
    }
}
