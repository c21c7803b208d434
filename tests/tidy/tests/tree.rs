//! Every check, over the whole repository.

use std::path::Path;

use tidy::{
    Offence, Tree, arrows, assert_none, comments, documents, functions, layout, manifest::Manifest, names,
    purity,
};

fn tree() -> Tree {
    Tree::read().expect("the repository can be read")
}

fn manifests(tree: &Tree) -> Vec<(String, Manifest)> {
    let files = tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let parsed = files.map(|file| (file.path.clone(), Manifest::parse(&file.text).expect(&file.path)));
    parsed.collect()
}

/// Those of the workspace itself, without what it excludes.
fn members(tree: &Tree) -> Vec<Manifest> {
    let excluded = Manifest::parse(tree.text("Cargo.toml")).expect("the workspace's manifest").exclude;
    let is_member = |path: &str| !excluded.iter().any(|prefix| path.starts_with(prefix.as_str()));
    manifests(tree).into_iter().filter(|(path, _)| is_member(path)).map(|(_, manifest)| manifest).collect()
}

#[test]
fn files_have_charters_bounds_and_names() {
    let tree = tree();
    assert_none(tree.rust().flat_map(layout::check));
    assert_none(
        tree.files.iter().filter(|file| !file.is_rust()).flat_map(|file| layout::check_name(&file.path)),
    );
}

#[test]
fn functions_fit_a_screen() {
    assert_none(tree().rust().flat_map(functions::check));
}

#[test]
fn names_say_something_and_nothing_unwraps() {
    assert_none(tree().rust().flat_map(names::check));
}

#[test]
fn comments_speak_of_what_is() {
    // The checks' own words are in strings, and prose has its own rules.
    let tree = tree();
    let prose = [".md", ".tsv", ".json", ".lock", "LICENSE-MIT", "LICENSE-APACHE"];
    let code = tree.files.iter().filter(|file| !prose.iter().any(|end| file.path.ends_with(end)));
    assert_none(code.flat_map(comments::check));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let tree = tree();
    assert_none(
        tree.files
            .iter()
            .filter(|file| !file.path.starts_with("tests/tidy/src/"))
            .flat_map(comments::check_paths),
    );
}

#[test]
fn the_pure_crates_reach_nothing_outside() {
    let tree = tree();
    for directory in purity::PURE {
        assert!(tree.rust().any(|file| file.path.starts_with(directory)), "{directory} has files");
    }
    let pure =
        tree.rust().filter(|file| purity::PURE.iter().any(|directory| file.path.starts_with(directory)));
    assert_none(pure.flat_map(purity::check));
}

#[test]
fn crates_know_those_that_the_architecture_draws() {
    assert_none(arrows::check(&members(&tree())));
}

#[test]
fn the_workspace_names_every_crate_and_lints_it() {
    let tree = tree();
    let root = Manifest::parse(tree.text("Cargo.toml")).expect("the workspace's manifest");
    let named: Vec<String> = root.members.iter().chain(&root.exclude).cloned().collect();
    assert_none(layout::check_members(&tree, &named));
    let bare = members(&tree).into_iter().filter(|manifest| !manifest.lints_workspace);
    assert_none(
        bare.map(|manifest| Offence::new(&manifest.package, 0, "does not take the workspace's lints")),
    );
}

#[test]
fn the_readme_maps_every_crate() {
    let tree = tree();
    let root = Manifest::parse(tree.text("Cargo.toml")).expect("the workspace's manifest");
    let readme = tree.text("README.md");
    let crates = root.members.iter().chain(&root.exclude).filter(|path| *path != ".");
    let missing = crates.filter(|path| !readme.contains(&format!("`{path}`")));
    assert_none(missing.map(|path| Offence::new("README.md", 0, format!("the map has no `{path}`"))));
}

#[test]
fn every_dependency_has_its_reason() {
    let tree = tree();
    let root = Manifest::parse(tree.text("Cargo.toml")).expect("the workspace's manifest");
    let members = members(&tree);
    let is_ours = |name: &String| members.iter().any(|manifest| manifest.package == *name);
    let mut used: Vec<String> =
        manifests(&tree).into_iter().flat_map(|(_, manifest)| manifest.dependencies).collect();
    used.retain(|name| !is_ours(name));
    used.sort();
    used.dedup();
    let document = "docs/decisions/dependencies.md";
    let written = documents::names_of_items(tree.text(document));
    assert_none(documents::check_both_ways(document, &written, "the manifests", &used));
    let idle = root.workspace_dependencies.into_iter().filter(|name| !is_ours(name) && !used.contains(name));
    assert_none(idle.map(|name| Offence::new("Cargo.toml", 0, format!("no crate uses `{name}`"))));
}

#[test]
fn every_key_is_documented_with_its_default_and_every_documented_key_is_real() {
    let tree = tree();
    let real = documents::settings_of_config(tree.text("config.toml"));
    assert!(!real.is_empty(), "config.toml has keys");
    let document = "docs/configuration.md";
    let written = documents::settings_of_tables(tree.text(document));
    assert_none(documents::check_both_ways(document, &written, "config.toml", &real));
}

#[test]
fn every_counter_is_documented_and_every_documented_counter_is_real() {
    let tree = tree();
    let real = documents::counters(tree.text("shards/shard/src/counters.rs"));
    assert!(!real.is_empty(), "there are counters");
    let document = "docs/operations.md";
    let written = documents::names_below(tree.text(document), "## Counters");
    assert_none(documents::check_both_ways(document, &written, "shards/shard/src/counters.rs", &real));
}

#[test]
fn links_lead_somewhere() {
    let tree = tree();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    let dead = documents.flat_map(|file| {
        let links = documents::links(&file.path, &file.text).into_iter();
        links
            .filter(|target| !root.join(target).exists())
            .map(|target| Offence::new(&file.path, 0, format!("`{target}` is not there")))
    });
    assert_none(dead);
}
