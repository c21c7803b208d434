//! The rules of who may do what: from the files that the configuration names to rules that can be asked.

use std::path::Path;

use access::{Builder, Fallback, Layer, Problem, Rules};

use crate::{
    config::{AccessDefault, Settings},
    numbering::Numbers,
};

/// Reads every file. The error has a sentence for each problem.
pub fn load(settings: &Settings, numbers: &Numbers) -> Result<Rules, Vec<String>> {
    let access = &settings.access;
    let file = |name: &String| (!name.is_empty()).then(|| Path::new(name).to_owned());
    let read = |acl: &String, rules: &String| {
        let mut builder = layers(file(acl).as_deref(), file(rules).as_deref(), fallback(access.default))?;
        // Those that were closed as well: who came in by them is still held to the rules.
        for (name, (entrance, _)) in numbers.names().iter().zip(numbers.all()) {
            if let Some(default) = entrance.listener.access_default {
                builder = builder.listener(name, fallback(default));
            }
        }
        Ok::<Builder, Vec<String>>(builder)
    };
    let hears_permits = settings.authentication.hears_permits();
    let rules = read(&access.acl_file, &access.rules_file)?.hears_permits(hears_permits).build();
    if access.shadow_acl_file.is_empty() && access.shadow_rules_file.is_empty() {
        return Ok(rules);
    }
    Ok(rules.with_shadow(read(&access.shadow_acl_file, &access.shadow_rules_file)?.build()))
}

/// A file in mosquitto's format, one in ours, or both.
pub fn read(acl: Option<&Path>, rules: Option<&Path>, fallback: Fallback) -> Result<Rules, Vec<String>> {
    layers(acl, rules, fallback).map(Builder::build)
}

fn layers(acl: Option<&Path>, rules: Option<&Path>, fallback: Fallback) -> Result<Builder, Vec<String>> {
    let mut builder = Rules::builder(fallback);
    if let Some(path) = acl {
        builder = builder.layer(layer(path, access::mosquitto::parse)?);
    }
    if let Some(path) = rules {
        builder = builder.layer(layer(path, access::own::parse)?);
    }
    Ok(builder)
}

fn fallback(default: AccessDefault) -> Fallback {
    match default {
        AccessDefault::Allow => Fallback::Allow,
        AccessDefault::Deny => Fallback::Deny,
    }
}

/// One file of rules, or every problem that it has.
fn layer(path: &Path, parse: fn(&str, &str) -> Result<Layer, Vec<Problem>>) -> Result<Layer, Vec<String>> {
    let name = path.to_string_lossy();
    let bytes = identity::read_file(path, FILE_BYTES_MAX).map_err(|error| vec![error.to_string()])?;
    let text = str::from_utf8(&bytes).map_err(|error| vec![format!("{name} is no UTF-8: {error}")])?;
    parse(&name, text).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Millions of rules.
const FILE_BYTES_MAX: u64 = 512 << 20;
