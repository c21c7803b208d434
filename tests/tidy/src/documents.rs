//! What the documents must name: crates, dependencies, keys, counters, and files that their links lead to.

use crate::Offence;

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

/// `section.key = value` for each line of a configuration file that sets something.
pub fn settings_of_config(text: &str) -> Vec<String> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if !line.starts_with('#') && line.contains(" = ") {
            settings.push(format!("{section}.{line}"));
        }
    }
    settings
}

/// The same from the tables of a document: a heading names the section, the first cell of a row the key, the second its
/// default.
pub fn settings_of_tables(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            section = between(line, "[", "]").unwrap_or_default().to_owned();
        } else if !section.is_empty()
            && let (Some(key), Some(default)) = (cell(line, 0), cell(line, 1))
        {
            settings.push(format!("{section}.{key} = {default}"));
        }
    }
    settings
}

/// The names in the first cells of the tables below a heading.
pub fn names_below(text: &str, heading: &str) -> Vec<String> {
    let level = heading.chars().take_while(|c| *c == '#').count();
    let ends = |line: &&str| {
        let hashes = line.chars().take_while(|c| *c == '#').count();
        hashes == 0 || hashes > level
    };
    let below = text.lines().skip_while(|line| *line != heading).skip(1).take_while(ends);
    below.filter_map(|line| cell(line, 0)).map(str::to_owned).collect()
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

/// What stands in backquotes in that cell of a table's row.
fn cell(line: &str, at: usize) -> Option<&str> {
    between(line.strip_prefix('|')?.split('|').nth(at)?, "`", "`")
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
    fn settings_are_read_from_file_and_table() {
        let text = "[a]\n# b = 2\nb = 1\nc = [\"x = y\"]\n\n[d]\ne = 3\n";
        assert_eq!(settings_of_config(text), owned(&["a.b = 1", "a.c = [\"x = y\"]", "d.e = 3"]));
        let text =
            "# T\n| `no` | `1` |\n\n## `[a]` Things\n\n| key | default |\n|---|---|\n| `b` | `1` | `c` |\n";
        assert_eq!(settings_of_tables(text), owned(&["a.b = 1"]));
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
