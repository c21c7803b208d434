//! The environment as a source of configuration: `IOTHUB_SECTION__KEY`.

use std::ffi::OsString;

use super::{Key, Origin, Problem, Value, nearest::nearest, table::KEYS};

/// Brings every variable that names a key to `set`, and every problem, sorted by name.
pub fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    mut set: impl FnMut(&'static Key, &Value<'_>, Origin, &str) -> Result<(), Problem>,
) -> Vec<Problem> {
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| is_ours(name))
        .collect();
    ours.sort();
    let mut problems = Vec::new();
    for (variable, value) in ours {
        let key = KEYS.iter().find(|key| key.variable() == variable);
        let origin = Origin::Environment { variable: variable.clone() };
        let outcome = match (key, value.to_str()) {
            (Some(key), Some(text)) => set(key, &Value::Word(text), origin, text),
            (Some(_), None) => {
                Err(problem(origin, &value.to_string_lossy(), "expected text in UTF-8".to_owned()))
            }
            // What is no setting of ours may be a secret.
            (None, _) => Err(problem(origin, "", unknown(&variable))),
        };
        problems.extend(outcome.err());
    }
    problems
}

/// Two underscores make a variable ours. With fewer it is a slip if it spells a key otherwise, and else somebody's
/// own: container platforms set variables such as `IOTHUB_PORT_1883_TCP`.
fn is_ours(variable: &str) -> bool {
    let Some(rest) = variable.strip_prefix("IOTHUB_") else { return false };
    rest.contains("__") || KEYS.iter().any(|key| key.variable().replace("__", "_") == variable)
}

fn unknown(variable: &str) -> String {
    let known: Vec<(String, String)> =
        KEYS.iter().map(|key| (key.variable().to_ascii_lowercase(), key.variable())).collect();
    match nearest(variable, known.iter().map(|(lower, _)| lower.as_str())) {
        Some(meant) => format!("unknown variable: did you mean {}?", meant.to_ascii_uppercase()),
        None => "unknown variable: expected IOTHUB_SECTION__KEY, for example IOTHUB_SERVER__MAX_CONNECTIONS"
            .to_owned(),
    }
}

fn problem(origin: Origin, value: &str, remedy: String) -> Problem {
    Problem { origin, key: String::new(), value: value.to_owned(), remedy }
}
