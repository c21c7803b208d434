//! The rules of who may do what: from the files that the configuration names to rules that can be asked.

use std::{fs, path::Path};

use access::{Fallback, Layer, Problem, Rules};

use crate::config::{Access, AccessDefault};

/// Reads every file. The error has a sentence for each problem.
pub fn load(settings: &Access) -> Result<Rules, Vec<String>> {
    let fallback = match settings.default {
        AccessDefault::Allow => Fallback::Allow,
        AccessDefault::Deny => Fallback::Deny,
    };
    let file = |name: &String| (!name.is_empty()).then(|| Path::new(name).to_owned());
    let read =
        |acl: &String, rules: &String| self::read(file(acl).as_deref(), file(rules).as_deref(), fallback);
    let rules = read(&settings.acl_file, &settings.rules_file)?;
    if settings.shadow_acl_file.is_empty() && settings.shadow_rules_file.is_empty() {
        return Ok(rules);
    }
    Ok(rules.with_shadow(read(&settings.shadow_acl_file, &settings.shadow_rules_file)?))
}

/// A file in mosquitto's format, one in ours, or both.
pub fn read(acl: Option<&Path>, rules: Option<&Path>, fallback: Fallback) -> Result<Rules, Vec<String>> {
    let mut builder = Rules::builder(fallback);
    if let Some(path) = acl {
        builder = builder.layer(layer(path, access::mosquitto::parse)?);
    }
    if let Some(path) = rules {
        builder = builder.layer(layer(path, access::own::parse)?);
    }
    Ok(builder.build())
}

/// One file of rules, or every problem that it has.
fn layer(path: &Path, parse: fn(&str, &str) -> Result<Layer, Vec<Problem>>) -> Result<Layer, Vec<String>> {
    let name = path.to_string_lossy();
    let text = fs::read_to_string(path).map_err(|error| vec![format!("{name} cannot be read: {error}")])?;
    parse(&name, &text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}
