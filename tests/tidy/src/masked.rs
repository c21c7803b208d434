//! Rust source, split into what is code and what is comment. Line breaks stay, so that line numbers hold in both.

/// The same text twice: each half has blanks where the other has its characters; strings are blank in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    pub code: String,
    pub comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Text,
}

impl Masked {
    pub fn new(source: &str) -> Masked {
        let mut masked = Masked { code: String::new(), comments: String::new() };
        let chars: Vec<char> = source.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            let (kind, end) = token(&chars, at);
            for &c in &chars[at..end] {
                let blank = if c == '\n' { '\n' } else { ' ' };
                masked.code.push(if kind == Kind::Code { c } else { blank });
                masked.comments.push(if kind == Kind::Comment { c } else { blank });
            }
            at = end;
        }
        masked
    }
}

/// What begins here, and where it ends.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let inside_name = at > 0 && is_name(chars[at - 1]);
    match chars[at] {
        '/' if starts("//") => (Kind::Comment, line_end(chars, at)),
        '/' if starts("/*") => (Kind::Comment, block_end(chars, at)),
        '"' => (Kind::Text, string_end(chars, at + 1)),
        '\'' => quote(chars, at),
        'b' if !inside_name && starts("b'") => {
            let (kind, end) = quote(chars, at + 1);
            (kind, end)
        }
        'r' | 'b' | 'c' if !inside_name => match raw_hashes(chars, at) {
            Some((hashes, body)) => (Kind::Text, raw_end(chars, body, hashes)),
            None => (Kind::Code, at + 1),
        },
        _ => (Kind::Code, at + 1),
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len())
}

/// Block comments nest.
fn block_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// `at` is behind the opening quote.
fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character, or the lifetime that looks like the beginning of one.
fn quote(chars: &[char], at: usize) -> (Kind, usize) {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let end = (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1);
            (Kind::Text, end)
        }
        (Some(_), Some('\'')) => (Kind::Text, at + 3),
        _ => (Kind::Code, at + 1),
    }
}

/// The number of hashes of a raw string that begins here, and where its body begins.
fn raw_hashes(chars: &[char], mut at: usize) -> Option<(usize, usize)> {
    if matches!(chars[at], 'b' | 'c') {
        at += 1;
    }
    if chars.get(at) != Some(&'r') {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + 1 + hashes) == Some(&'"')).then_some((hashes, at + 2 + hashes))
}

fn raw_end(chars: &[char], at: usize, hashes: usize) -> usize {
    let closes = |i: &usize| chars[*i] == '"' && (1..=hashes).all(|h| chars.get(i + h) == Some(&'#'));
    (at..chars.len()).find(closes).map_or(chars.len(), |i| i + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_part_and_strings_vanish() {
        for (source, code, comments) in [
            ("a // b\nc", "a     \nc", "  // b\n "),
            ("a /* b /* c */ d */ e", "a                   e", "  /* b /* c */ d */  "),
            ("f(\"// no\")", "f(       )", "          "),
            ("f(\"\\\"{\")", "f(     )", "        "),
            ("r#\"{\"}\"#;", "        ;", "         "),
            ("b\"{\"", "b   ", "    "),
            ("'{' 'a b'\\''", "    'a b    ", "            "),
            ("<'a>(b'{')", "<'a>(    )", "          "),
            ("for_r\"x\"", "for_r   ", "        "),
        ] {
            let masked = Masked::new(source);
            assert_eq!(masked.comments, comments, "{source}");
            // The prefix of a byte is blank with it or stays: both are harmless.
            assert_eq!(masked.code.replace('b', " "), code.replace('b', " "), "{source}");
        }
    }

    #[test]
    fn every_text_keeps_its_lines() {
        for source in ["\"a\nb\"", "/*\n*/\n", "'", "\"", "r#\"", "/*", "b'\\"] {
            let masked = Masked::new(source);
            assert_eq!(masked.code.matches('\n').count(), source.matches('\n').count());
        }
    }
}
