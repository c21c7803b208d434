//! The length of functions: each fits a screen.

use crate::{Offence, Source};

/// Functions that are longer than a screen.
pub fn check(file: &Source) -> Vec<Offence> {
    let code = file.masked().code;
    let tests = file.test_lines();
    let mut offences = Vec::new();
    for function in functions(&code) {
        let lines_max = if tests[function.line - 1] { TEST_LINES_MAX } else { LINES_MAX };
        if function.lines > lines_max {
            let what = format!("`{}` has {} lines; a screen has {lines_max}", function.name, function.lines);
            offences.push(Offence::new(&file.path, function.line, what));
        }
    }
    offences
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function with a body, from its signature to its last brace.
fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = code[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[at..]) {
            let line = 1 + code[..at].matches('\n').count();
            found.push(Function { name, line, lines: 1 + code[at..at + end].matches('\n').count() });
        }
    }
    found
}

/// Where the function's last brace is; a declaration has none.
fn body_end(code: &str) -> Option<usize> {
    let (mut depth, mut brackets) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

const LINES_MAX: usize = 70;
/// A test may carry a table of cases.
const TEST_LINES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lines(lines: usize) -> Source {
        let body = "    x();\n".repeat(lines - 2);
        Source::new("a.rs", &format!("struct S;\nfn long(a: [u8; 4]) {{\n{body}}}\n"))
    }

    #[test]
    fn a_function_beyond_a_screen_is_found() {
        assert_eq!(check(&of_lines(LINES_MAX)), []);
        let offences = check(&of_lines(LINES_MAX + 1));
        assert_eq!(offences.len(), 1);
        assert_eq!(
            (offences[0].line, offences[0].what.as_str()),
            (2, "`long` has 71 lines; a screen has 70")
        );
    }

    #[test]
    fn declarations_and_pointers_have_no_body() {
        assert!(functions("trait T { fn a(&self); }\ntype F = fn (u8);\n").is_empty());
        assert_eq!(functions("trait T { fn a(&self); fn b() { {} } }").len(), 1);
    }
}
