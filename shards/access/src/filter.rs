//! The filter of a rule, taken apart: its levels, and the variables in them.

use std::sync::Arc;

use crate::{LEVELS_MAX, Permits};

/// What stands for something of the session.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Variable {
    ClientId,
    User,
    /// The first name of the client's certificate.
    CertificateName,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Piece {
    Text(Box<str>),
    Variable(Variable),
}

/// A level with variables in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Template(Box<[Piece]>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Text(Box<str>),
    Template(Template),
    Any,
    Rest,
}

/// How variables are written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Spelling {
    /// There are none.
    None,
    /// `%c` and `%u`.
    Percent,
    /// These, and `${client_id}`, `${user}`, `${cn}`.
    Both,
}

/// What is a session's own: the values of variables, and rules that it brings.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Names {
    pub client_id: Box<str>,
    pub user: Option<Box<str>>,
    pub certificate_name: Option<Box<str>>,
    pub permits: Option<Arc<Permits>>,
}

/// Takes a filter apart, or says what is wrong with it.
pub fn parse(filter: &str, spelling: Spelling) -> Result<Vec<Level>, String> {
    if !mqtt::is_topic_filter(filter) {
        return Err(format!(
            "`{filter}` is no topic filter: `+` stands alone between slashes, `#` alone at the end"
        ));
    }
    if mqtt::level_count(filter) > LEVELS_MAX {
        return Err(format!("the filter has more than {LEVELS_MAX} levels"));
    }
    filter.split('/').map(|level| parse_level(level, spelling)).collect()
}

fn parse_level(level: &str, spelling: Spelling) -> Result<Level, String> {
    match level {
        "+" => return Ok(Level::Any),
        "#" => return Ok(Level::Rest),
        _ if spelling == Spelling::None => return Ok(Level::Text(level.into())),
        _ => {}
    }
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), level);
    while let Some(first) = rest.chars().next() {
        match parse_variable(rest, spelling)? {
            Some((variable, after)) => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                }
                pieces.push(Piece::Variable(variable));
                rest = after;
            }
            None => {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    if pieces.is_empty() {
        return Ok(Level::Text(text.into()));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    Ok(Level::Template(Template(pieces.into())))
}

/// The variable at the beginning of `text`, and what follows it.
fn parse_variable(text: &str, spelling: Spelling) -> Result<Option<(Variable, &str)>, String> {
    for (written, variable) in [("%c", Variable::ClientId), ("%u", Variable::User)] {
        if let Some(after) = text.strip_prefix(written) {
            return Ok(Some((variable, after)));
        }
    }
    let Some(name) = text.strip_prefix("${").filter(|_| spelling == Spelling::Both) else { return Ok(None) };
    let variable = name.split_once('}').and_then(|(name, after)| {
        let variable = match name {
            "client_id" => Variable::ClientId,
            "user" => Variable::User,
            "cn" => Variable::CertificateName,
            _ => return None,
        };
        Some((variable, after))
    });
    match variable {
        Some(found) => Ok(Some(found)),
        None => Err(format!("`{text}` is no variable: there are ${{client_id}}, ${{user}} and ${{cn}}")),
    }
}

impl Template {
    /// What is left of `topic` behind this level, if it begins with it: `None` inside where the topic ends. A value with slashes
    /// stands for several levels. Also whether all values are plain.
    pub fn strip<'t>(&self, topic: &'t str, names: &Names) -> Option<(Option<&'t str>, bool)> {
        let (mut rest, mut are_plain) = (topic, true);
        for piece in &self.0 {
            let text = match piece {
                Piece::Text(text) => text,
                Piece::Variable(variable) => {
                    let value = names.value(*variable).filter(|value| !has_wildcard(value))?;
                    are_plain &= is_plain(value);
                    value
                }
            };
            rest = rest.strip_prefix(text)?;
        }
        let below = if rest.is_empty() { None } else { Some(rest.strip_prefix('/')?) };
        Some((below, are_plain))
    }
}

impl Names {
    fn value(&self, variable: Variable) -> Option<&str> {
        match variable {
            Variable::ClientId => Some(&self.client_id),
            Variable::User => self.user.as_deref(),
            Variable::CertificateName => self.certificate_name.as_deref(),
        }
    }
}

/// Whether a client that chose this name gains nothing by it where the name stands for a level: it is one level, no wildcard, not
/// empty, and does not make the topic one of those that begin with `$`.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$') && !name.contains('/') && !has_wildcard(name)
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(pieces: &[Piece]) -> Level {
        Level::Template(Template(pieces.into()))
    }

    #[test]
    fn levels_have_their_variables() {
        let (id, user) = (Piece::Variable(Variable::ClientId), Piece::Variable(Variable::User));
        let text = |text: &str| Piece::Text(text.into());
        assert_eq!(
            parse("a/+/#", Spelling::Both),
            Ok(vec![Level::Text("a".into()), Level::Any, Level::Rest])
        );
        assert_eq!(parse("%c", Spelling::Percent), Ok(vec![template(std::slice::from_ref(&id))]));
        assert_eq!(parse("%c", Spelling::None), Ok(vec![Level::Text("%c".into())]));
        assert_eq!(
            parse("%%cx%u%", Spelling::Percent),
            Ok(vec![template(&[text("%"), id.clone(), text("x"), user.clone(), text("%")])])
        );
        assert_eq!(parse("${user}", Spelling::Both), Ok(vec![template(&[user])]));
        assert_eq!(parse("${user}", Spelling::Percent), Ok(vec![Level::Text("${user}".into())]));
        assert_eq!(
            parse("${cn}${client_id}", Spelling::Both),
            Ok(vec![template(&[Piece::Variable(Variable::CertificateName), id])])
        );
    }

    #[test]
    fn what_is_no_filter_is_told() {
        let deep = vec!["a"; LEVELS_MAX + 1].join("/");
        for filter in ["", "a+", "#/a", "${x}", "${user", "a/${}", &deep] {
            assert!(parse(filter, Spelling::Both).is_err(), "{filter}");
        }
        assert!(parse(&vec!["a"; LEVELS_MAX].join("/"), Spelling::Both).is_ok());
    }

    #[test]
    fn a_template_takes_what_its_values_say() {
        let levels = parse("d-%c", Spelling::Both).expect("a filter");
        let [Level::Template(template)] = &levels[..] else { panic!("one template: {levels:?}") };
        let names = |client_id: &str| Names { client_id: client_id.into(), ..Names::default() };
        let strip = |topic, id| template.strip(topic, &names(id));
        assert_eq!(strip("d-1", "1"), Some((None, true)));
        assert_eq!(strip("d-1/x", "1"), Some((Some("x"), true)));
        assert_eq!(strip("d-1/", "1"), Some((Some(""), true)));
        assert_eq!(strip("d-12", "1"), None);
        assert_eq!(strip("d-1/2/x", "1/2"), Some((Some("x"), false)));
        assert_eq!(strip("d-/x", ""), Some((Some("x"), false)));
        assert_eq!(strip("d-+/x", "+"), None, "a wildcard is no name");
    }
}
