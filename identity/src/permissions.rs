//! Rules that come with the proof of identity: from JSON to what permissions are asked of. They are compiled here, where it may take its time.
//!
//! An array of `{"allow": "publish", "topics": "a/#"}`, in the words of a file of rules: `allow` or `deny`, and `topics`, each a text or
//! an array of texts.

use std::sync::Arc;

use access::{Permit, Permits};
use serde_json::{Map, Value};

/// None where nothing is said. `source` is what says it, as the log names it.
pub fn read(source: &str, value: Option<&Value>) -> Result<Option<Arc<Permits>>, String> {
    let values = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(values)) => values,
        Some(_) => return Err("it is no array".to_owned()),
    };
    let permits = values.iter().map(permit).collect::<Result<Vec<_>, String>>()?;
    let permits = Permits::new(source, &permits)?;
    Ok((!permits.is_empty()).then(|| Arc::new(permits)))
}

fn permit(value: &Value) -> Result<Permit<'_>, String> {
    let rule = value.as_object().ok_or("a rule is no object")?;
    // A word that is not understood might have been the one that denies.
    if let Some(unknown) = rule.keys().find(|key| !["allow", "deny", "topics"].contains(&key.as_str())) {
        return Err(format!("`{unknown}` is unknown: a rule has allow or deny, and topics"));
    }
    let (is_denial, actions) = match (rule.get("allow"), rule.get("deny")) {
        (Some(_), None) => (false, texts(rule, "allow")?),
        (None, Some(_)) => (true, texts(rule, "deny")?),
        _ => return Err("a rule has either `allow` or `deny`".to_owned()),
    };
    Ok(Permit { is_denial, actions, topics: texts(rule, "topics")? })
}

fn texts<'a>(rule: &'a Map<String, Value>, key: &str) -> Result<Vec<&'a str>, String> {
    let texts = match rule.get(key) {
        Some(Value::String(text)) => Some(vec![text.as_str()]),
        Some(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
        _ => None,
    };
    texts.ok_or_else(|| format!("`{key}` is a text or an array of texts"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_read_as_a_file_has_them() {
        let value = json!([
            {"allow": "publish", "topics": "a/#"},
            {"deny": ["read", "write"], "topics": ["b/%c", "c"]},
        ]);
        let permits = read("claim", Some(&value)).expect("they are in order").expect("there are some");
        assert_eq!(permits.text(0), Some("allow publish on a/#"));
        assert_eq!(permits.text(1), Some("deny read, write on b/%c, c"));
        assert_eq!((permits.text(2), permits.source()), (None, "claim"));
    }

    #[test]
    fn nothing_said_is_nothing() {
        for value in [None, Some(json!(null)), Some(json!([]))] {
            assert_eq!(read("claim", value.as_ref()), Ok(None));
        }
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        for (value, said) in [
            (json!({}), "no array"),
            (json!(["publish a"]), "no object"),
            (json!([{"allow": "read", "topics": "a", "denny": "b"}]), "`denny` is unknown"),
            (json!([{"topics": "a"}]), "either"),
            (json!([{"allow": "read", "deny": "read", "topics": "a"}]), "either"),
            (json!([{"allow": "read"}]), "`topics` is a text"),
            (json!([{"allow": [1], "topics": "a"}]), "`allow` is a text"),
            (json!([{"allow": "fly", "topics": "a"}]), "no action"),
            (json!([{"allow": "read", "topics": "a+"}]), "no topic filter"),
            (json!([{"allow": "read", "topics": ""}]), "no topic filter"),
        ] {
            let error = read("claim", Some(&value)).expect_err("it is wrong");
            assert!(error.contains(said), "{error}");
        }
    }
}
