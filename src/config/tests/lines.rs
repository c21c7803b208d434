//! The lines of a configuration file: in which order what is wrong with them is told, and what may stand before the first.

use super::*;

#[test]
fn problems_stand_in_the_order_of_the_file() {
    let told = problems_of_file(
        "[api]\ncertificate = \"a\"\n[limits]\nmax_receive_memory = \"1 B\"\n[runtime]\nshards = \"all\"\n",
    );
    let lines: Vec<&str> = told.iter().map(|problem| problem.split(':').next().expect("a line")).collect();
    assert_eq!(lines, ["FILE, line 2", "FILE, line 4", "FILE, line 6"], "{told:?}");
}

#[test]
fn a_file_may_begin_with_a_mark_of_the_order_of_bytes() {
    let file = Scratch::new("\u{feff}[runtime]\nshards = 3\n");
    let loaded = load(Some(&file.0), [], &Flags::default()).expect("no problem");
    assert_eq!(loaded.settings.runtime.shards, 3);
    let told = problems_of_file("\u{feff}[runtime]\nshards = \n");
    assert!(told.len() == 1 && told[0].starts_with("FILE, line 2: shards"), "{told:?}");
}
