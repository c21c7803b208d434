//! Whether a payload is JSON, and its shortest spelling. It reads the grammar of RFC 8259 and builds no values.

/// The payload without the blanks between its tokens, or `None` if it is not one JSON text.
pub fn compact(payload: &[u8]) -> Option<String> {
    let mut reader = Reader { left: std::str::from_utf8(payload).ok()?, out: String::new() };
    reader.value(DEPTH_MAX)?;
    reader.left.is_empty().then_some(reader.out)
}

struct Reader<'a> {
    left: &'a str,
    out: String,
}

impl Reader<'_> {
    fn value(&mut self, depth_left: usize) -> Option<()> {
        self.skip_blanks();
        match self.left.bytes().next()? {
            b'{' => self.members(b'}', depth_left.checked_sub(1)?)?,
            b'[' => self.members(b']', depth_left.checked_sub(1)?)?,
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| self.left.starts_with(word))?;
                self.take(word.len());
            }
        }
        self.skip_blanks();
        Some(())
    }

    /// The inside of an object or an array: they differ in the names alone.
    fn members(&mut self, end: u8, depth_left: usize) -> Option<()> {
        self.take(1);
        self.skip_blanks();
        if self.accept(end) {
            return Some(());
        }
        loop {
            if end == b'}' {
                self.skip_blanks();
                self.left.starts_with('"').then_some(())?;
                self.string()?;
                self.skip_blanks();
                self.accept(b':').then_some(())?;
            }
            self.value(depth_left)?;
            if self.accept(end) {
                return Some(());
            }
            self.accept(b',').then_some(())?;
        }
    }

    fn string(&mut self) -> Option<()> {
        let bytes = self.left.as_bytes();
        let mut at = 1;
        loop {
            match *bytes.get(at)? {
                b'"' => break,
                b'\\' if bytes.get(at + 1)? == &b'u' => {
                    bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    at += 6;
                }
                b'\\' => {
                    b"\"\\/bfnrt".contains(bytes.get(at + 1)?).then_some(())?;
                    at += 2;
                }
                control if control < b' ' => return None,
                _ => at += 1,
            }
        }
        self.take(at + 1);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            _ = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let len = self.left.bytes().take_while(u8::is_ascii_digit).count();
        self.take(len);
        (len > 0).then_some(())
    }

    fn accept(&mut self, byte: u8) -> bool {
        let is_there = self.left.bytes().next() == Some(byte);
        if is_there {
            self.take(1);
        }
        is_there
    }

    fn take(&mut self, len: usize) {
        let (taken, left) = self.left.split_at(len);
        self.out.push_str(taken);
        self.left = left;
    }

    fn skip_blanks(&mut self) {
        self.left = self.left.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}

// A payload of brackets alone must not exhaust the stack.
const DEPTH_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_without_its_blanks() {
        for (payload, expected) in [
            ("1", "1"),
            (
                " { \"a b\" : [ 1 , -0.5e+3, true,null ] , \"\" : {} }\n",
                r#"{"a b":[1,-0.5e+3,true,null],"":{}}"#,
            ),
            (r#""\u00e9\n \" é""#, r#""\u00e9\n \" é""#),
            ("[ ]", "[]"),
        ] {
            assert_eq!(compact(payload.as_bytes()).as_deref(), Some(expected), "{payload}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let payloads =
            r#"hello|1 2|01|1.|-|1e|[1,]|[1|{1:2}|{"a"}|{"a":1,}|"a|"\x"|"\u12g4"|nul|[1}|}|"\| |"#;
        for payload in payloads.split('|').chain(["\"\t\""]) {
            assert_eq!(compact(payload.as_bytes()), None, "{payload}");
        }
        assert_eq!(compact(b"\"\xff\""), None);
        assert_eq!(compact("[".repeat(100_000).as_bytes()), None);
    }
}
