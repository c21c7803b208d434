//! A command line cut into words as a shell cuts it, without a shell: blanks part, quotes and backslashes hold together.

/// The words of a command. Nothing is expanded: no variables, no patterns, no redirection.
pub fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let quoted = word.get_or_insert_default();
                take_until_quote(&mut chars, quoted)?;
            }
            '"' => {
                let quoted = word.get_or_insert_default();
                take_until_double_quote(&mut chars, quoted)?;
            }
            '\\' => {
                let escaped = chars.next().ok_or("there is nothing behind the last backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn take_until_quote(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    for c in chars {
        match c {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
    Err("a ' is never closed".to_owned())
}

/// A backslash takes the meaning of the quote, of itself, of `$` and of the backtick, and stays before anything else.
fn take_until_double_quote(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("a \" is never closed".to_owned())
}

/// One command again, for people: a word with blanks or quotes is quoted.
pub fn join(words: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,{}+@%".contains(c);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        for (command, words) in [
            ("a b  c", vec!["a", "b", "c"]),
            ("  a\t", vec!["a"]),
            ("", vec![]),
            ("'a b' c", vec!["a b", "c"]),
            ("a'b c'd", vec!["ab cd"]),
            ("\"a 'b'\" ''", vec!["a 'b'", ""]),
            (r#""\"\\\n\$" \ "#, vec![r#""\\n$"#, " "]),
            (r"'\'", vec!["\\"]),
        ] {
            assert_eq!(split(command).unwrap(), words, "{command}");
        }
    }

    #[test]
    fn what_is_left_open_is_an_error() {
        for command in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(split(command).is_err(), "{command}");
        }
    }

    #[test]
    fn what_was_joined_is_split_into_the_same() {
        let words = ["a", "b c", "", "it's", "\\", "\"q\"", "--x={port}"].map(str::to_owned);
        assert_eq!(split(&join(&words)).unwrap(), words);
        assert_eq!(join(&words[..2]), "a 'b c'");
    }
}
