//! Files that are refused: every problem with its line, in a sentence that says what to write.

fn acl_problems(text: &str) -> Vec<String> {
    told(access::mosquitto::parse("acl", text))
}

fn own_problems(text: &str) -> Vec<String> {
    told(access::own::parse("r.toml", text))
}

fn told(outcome: Result<access::Layer, Vec<access::Problem>>) -> Vec<String> {
    outcome.expect_err("it is refused").iter().map(ToString::to_string).collect()
}

#[test]
fn a_hash_in_a_file_that_was_named_by_mistake_is_not_shown() {
    for text in ["anna:$7$101$hidden==$hidden==\n", "hiddenhiddenhiddenhiddenhidden\n"] {
        let problems = acl_problems(text);
        assert!(problems.len() == 1 && !problems[0].contains("hidden"), "{problems:?}");
    }
}

#[test]
fn an_acl_file_is_refused_line_by_line() {
    let problems = acl_problems(
        "topic a\nfoo x\ntopic\ntopic a b\nuser\nuser  \n  # c\n\ttopic a\ntopic a/#/b\npattern a/%c+\n",
    );
    let lines: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    let expected: Vec<String> = (2..=10).map(|line| format!("acl, line {line}")).collect();
    assert_eq!(lines, expected, "{problems:#?}");
    assert_eq!(
        problems[2],
        "acl, line 4: `a` is no access: write `read`, `write`, `readwrite` or `deny` before a filter with spaces"
    );
}

#[test]
fn spaces_before_a_word_are_taken_and_the_sentence_about_a_line_says_so() {
    assert!(access::mosquitto::parse("acl", "  user anna\n   topic a\n").is_ok());
    for text in ["\ttopic a\n", "  # c\n", "topics a\n"] {
        let problems = acl_problems(text);
        let says = "or `pattern`, before which spaces may stand, or with `#`, before which nothing may";
        assert!(problems.len() == 1 && problems[0].contains(says), "{problems:?}");
    }
}

#[test]
fn the_problems_of_a_file_stand_in_the_order_of_its_lines() {
    let problems = own_problems(
        "default = 1\n[users]\nanna = \"nobody\"\n[roles.a]\nrule = 1\n[groups]\nplant = 7\n[roles.\"\"]\nrules = 1\n",
    );
    let numbers: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    assert_eq!(numbers, [1, 3, 5, 7, 9].map(|line| format!("r.toml, line {line}")), "{problems:#?}");
}

#[test]
fn files_may_begin_with_a_mark_of_the_order_of_bytes() {
    let marked = |text: &str| format!("\u{feff}{text}");
    assert!(access::mosquitto::parse("acl", &marked("topic a\n")).is_ok());
    assert!(access::own::parse("r.toml", &marked("default = \"deny\"\n")).is_ok());
    assert!(acl_problems(&marked("topic a\n\u{feff}topic b\n"))[0].starts_with("acl, line 2: "), "once");
    assert!(own_problems(&marked("\nrolls = 1"))[0].starts_with("r.toml, line 2: "));
}

#[test]
fn the_problems_of_a_file_that_is_something_else_are_bounded() {
    assert_eq!(acl_problems(&"x\n".repeat(1_000_000)).len(), access::PROBLEMS_MAX);
    let roles = "x = 1\n";
    let text: String = (0..1_000).map(|at| format!("k{at}{roles}")).collect();
    assert_eq!(own_problems(&text).len(), access::PROBLEMS_MAX);
}

#[test]
fn rules_are_refused_with_what_to_write() {
    for (text, line, says) in [
        ("a = [", 1, "this is not TOML"),
        ("\nrolls = 1", 2, "`rolls` is unknown"),
        ("default = \"maybe\"", 1, "\"allow\" or \"deny\""),
        ("users = 1", 1, "write [users]"),
        ("[users]\na = 1", 2, "a text or a list of texts"),
        ("[users]\na = [\"x\", 1]", 2, "a text or a list of texts"),
        ("[users]\na = \"x\"", 2, "write [roles.x]"),
        ("[addresses]\n\"10.0.0.1/8\" = []", 2, "write zeros"),
        ("[roles]\na = 1", 2, "write [a]"),
        ("[roles.a]\nrules = 1", 2, "`rules` is a list"),
        ("[roles.a]\nrules = [ 1 ]", 2, "a rule is {"),
        ("[roles.a]\nrules = [\n{ topics = \"a\" } ]", 3, "either `allow` or `deny`"),
        (
            "[roles.a]\nrules = [ { allow = \"read\", deny = \"read\", topics = \"a\" } ]",
            2,
            "either `allow` or `deny`",
        ),
        ("[roles.a]\nrules = [ { allow = \"read\" } ]", 2, "topics = \"#\""),
        ("[roles.a]\nrules = [ { allow = \"raed\", topics = \"a\" } ]", 2, "`raed` is no action"),
        ("[roles.a]\nrules = [ { allow = [], topics = \"a\" } ]", 2, "names no action"),
        ("[roles.a]\nrules = [ { allow = \"read\", topics = \"a#\" } ]", 2, "no topic filter"),
        ("[roles.a]\nrules = [ { allow = \"read\", topics = \"${x}\" } ]", 2, "no variable"),
        ("[roles.a]\nrules = [ { allow = \"read\", topics = \"$share/g/a\" } ]", 2, "the filter inside"),
        ("[roles.a]\nrules = [ { allow = \"read\", topic = \"a\" } ]", 2, "`topic` is unknown"),
        ("[roles.a]\nqos_max = 3", 2, "0, 1 or 2"),
        ("[roles.a]\npublish_bytes_per_s = 0", 2, "leave it out"),
        ("[roles.a]\npublish_bytes_per_s = -1", 2, "leave it out"),
        ("[roles.a]\nqos = 1", 2, "a role has rules"),
    ] {
        let problems = own_problems(text);
        assert!(
            problems
                .iter()
                .any(|problem| problem.starts_with(&format!("r.toml, line {line}: "))
                    && problem.contains(says)),
            "{text}: {problems:#?}"
        );
    }
}
