//! The table of statements against the two specifications and against the tests themselves: nothing is missing,
//! nothing is there twice, and what is named exists.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The specifications as the table calls them, which is also how the names of their tests begin.
const SPECIFICATIONS: [(&str, &str); 2] =
    [("mqtt5", "spec/mqtt-5.0-statements.tsv"), ("mqtt311", "spec/mqtt-3.1.1-statements.tsv")];

/// One line of `statements.tsv`.
struct Row {
    specification: String,
    id: String,
    kind: String,
    text: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn lines(path: &str) -> Vec<String> {
    let text = fs::read_to_string(folder().join(path)).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn table() -> Vec<Row> {
    let row = |line: String| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [specification, id, kind, text] = fields[..] else { panic!("four fields in `{line}`") };
        Row { specification: specification.into(), id: id.into(), kind: kind.into(), text: text.into() }
    };
    lines("statements.tsv").into_iter().map(row).collect()
}

/// The names of all functions that carry `#[test]`, from the sources of the tests.
fn tests() -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    collect_tests(&folder().join("tests"), &mut found);
    found
}

fn collect_tests(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_tests(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next())
                && is_test
            {
                found.insert(name.to_owned(), path.clone());
            }
            is_test = line == "#[test]";
        }
    }
}

fn statements(path: &str) -> Vec<String> {
    // Continuation lines of the head do not begin with an id.
    let id = |line: &String| line.split('\t').next().filter(|id| id.starts_with("MQTT-")).map(str::to_owned);
    lines(path).iter().filter_map(id).collect()
}

#[test]
fn every_statement_is_in_the_table_once() {
    let table = table();
    for (specification, path) in SPECIFICATIONS {
        let statements = statements(path);
        assert!(statements.len() > 100, "{path} is not complete");
        for id in &statements {
            let rows = table.iter().filter(|row| row.specification == specification && row.id == *id).count();
            assert_eq!(rows, 1, "rows for {specification} {id}");
        }
        let known: BTreeSet<_> = statements.iter().collect();
        for row in table.iter().filter(|row| row.specification == specification) {
            assert!(known.contains(&row.id), "{specification} has no statement {}", row.id);
        }
    }
    assert!(table.iter().all(|row| SPECIFICATIONS.iter().any(|(name, _)| row.specification == *name)));
}

#[test]
fn every_row_names_a_test_or_gives_a_reason() {
    let tests = tests();
    for row in table() {
        match row.kind.as_str() {
            "test" => {
                assert!(
                    tests.contains_key(&row.text),
                    "{} {}: no test {}",
                    row.specification,
                    row.id,
                    row.text
                );
                let number = row.id.trim_start_matches("MQTT-").replace(['.', '-'], "_");
                let beginning = format!("{}_{number}_", row.specification);
                assert!(row.text.starts_with(&beginning), "{} begins with {beginning}", row.text);
            }
            "reason" => {
                let is_sentence = row.text.len() > 20 && row.text.contains(' ') && row.text.ends_with('.');
                assert!(is_sentence, "{} {}: the reason is no sentence", row.specification, row.id);
            }
            other => panic!("{} {}: neither test nor reason but `{other}`", row.specification, row.id),
        }
    }
}

#[test]
fn every_test_of_a_statement_is_in_the_table() {
    let named: BTreeSet<String> =
        table().into_iter().filter(|row| row.kind == "test").map(|row| row.text).collect();
    for (name, path) in tests() {
        let belongs = SPECIFICATIONS.iter().any(|(prefix, _)| name.starts_with(&format!("{prefix}_")));
        assert!(!belongs || named.contains(&name), "{name} in {} is not in the table", path.display());
    }
}

/// The doc comment of a test names the statement, so that a search for it finds the test.
#[test]
fn every_test_of_a_statement_says_which_one() {
    let tests = tests();
    for row in table().into_iter().filter(|row| row.kind == "test") {
        let path = &tests[&row.text];
        let text = fs::read_to_string(path).unwrap();
        let place = text.find(&format!("fn {}(", row.text)).unwrap();
        let before: Vec<&str> = text[..place].lines().rev().take_while(|line| !line.is_empty()).collect();
        let id = format!("[{}]", row.id);
        assert!(before.iter().any(|line| line.contains(&id)), "{} has no {id} in its comment", row.text);
    }
}
