//! Text that goes into HTML or SVG.

use std::fmt::Write;

/// The text, with nothing left in it that could be markup. Characters that XML has no place for become a replacement.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c if c.is_control() && !c.is_whitespace() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// A name for files and anchors: letters, digits and hyphens.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() && c != ',' {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.is_empty() { "run".to_owned() } else { out.to_owned() }
}

/// Slugs of several texts, told apart by a number where they are the same.
pub fn slugs<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for text in texts {
        let mut name = slug(text);
        let base_len = name.len();
        let mut number = 2;
        while out.contains(&name) {
            name.truncate(base_len);
            let _ = write!(name, "-{number}");
            number += 1;
        }
        out.push(name);
    }
    out
}

#[cfg(test)]
pub mod well_formed {
    //! Whether a text of tags is well-formed: every tag is closed in its order, and text has no markup of its own.

    const VOID: [&str; 2] = ["meta", "br"];

    /// Panics with the place where it is not.
    pub fn check(text: &str) {
        let mut open: Vec<String> = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('<') {
            check_text(&rest[..at]);
            rest = &rest[at..];
            let end = tag_end(rest).unwrap_or_else(|| panic!("a tag is never closed: {rest:.80}"));
            let tag = &rest[1..end];
            rest = &rest[end + 1..];
            if tag.starts_with(['!', '?']) {
                continue;
            }
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name), "closed before: {rest:.80}");
                continue;
            }
            let name = tag.split([' ', '/', '\n']).next().unwrap_or_default().to_owned();
            assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
            check_attributes(&tag[name.len()..]);
            // What stands in a style is not markup.
            if name == "style" {
                rest = &rest[rest.find("</style>").expect("a style ends") + "</style>".len()..];
            } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
        check_text(rest);
        assert!(open.is_empty(), "never closed: {open:?}");
    }

    fn tag_end(text: &str) -> Option<usize> {
        let mut is_quoted = false;
        text.char_indices().find_map(|(at, c)| {
            is_quoted ^= c == '"';
            (c == '>' && !is_quoted).then_some(at)
        })
    }

    fn check_text(text: &str) {
        for (at, _) in text.match_indices('&') {
            let entity = text[at..].split_once(';').map(|(entity, _)| entity);
            assert!(
                entity.is_some_and(|entity| ["&amp", "&lt", "&gt", "&quot", "&#39"].contains(&entity)),
                "a bare &: {:.40}",
                &text[at..]
            );
        }
        assert!(!text.contains('>'), "a bare >: {text:.80}");
    }

    fn check_attributes(text: &str) {
        let mut rest = text.trim_end_matches('/').trim();
        while !rest.is_empty() {
            let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("attributes: {text}"));
            assert!(name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "attributes: {text}");
            let (value, after) = value.split_once('"').unwrap_or_else(|| panic!("attributes: {text}"));
            assert!(!value.contains('<'), "attributes: {text}");
            check_text(value);
            rest = after.trim();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_could_be_markup() {
        assert_eq!(
            escaped("a<b & \"c\" 'd'>\u{1b}\n"),
            "a&lt;b &amp; &quot;c&quot; &#39;d&#39;&gt;\u{FFFD}\n"
        );
        well_formed::check(&format!("<p title=\"{0}\">{0}</p>", escaped("</p>\"<script>&")));
    }

    #[test]
    fn names_for_files_are_plain_and_differ() {
        assert_eq!(slug("each alone, 20,000/s"), "each-alone-20000-s");
        assert_eq!(slug("../<&>"), "run");
        assert_eq!(slugs(["a b", "a-b", "a/b"].into_iter()), ["a-b", "a-b-2", "a-b-3"]);
    }

    #[test]
    fn what_is_not_well_formed_is_found() {
        for text in
            ["<p>", "</p>", "<p><b></p></b>", "a & b", "<p a=b></p>", "a > b", "<p a=\"<\"></p>", "<p"]
        {
            assert!(std::panic::catch_unwind(|| well_formed::check(text)).is_err(), "{text}");
        }
    }
}
