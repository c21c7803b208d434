//! The rules of who may do what: from the files that the configuration names to rules that can be asked.

use std::path::Path;

use access::{Builder, Fallback, Layer, Problem, Rules};

use crate::{
    config::{AccessDefault, Fault, Settings},
    numbering::Numbers,
};

/// Reads every file, and says everything that is wrong.
pub fn load(settings: &Settings, numbers: &Numbers) -> Result<Rules, Vec<Fault>> {
    let access = &settings.access;
    let read = |acl: File<'_>, rules: File<'_>| {
        let mut builder = layers(acl, rules, fallback(access.default))?;
        // Those that were closed as well: who came in by them is still held to the rules.
        for (name, (entrance, _)) in numbers.names().iter().zip(numbers.all()) {
            if let Some(default) = entrance.listener.access_default {
                builder = builder.listener(name, fallback(default));
            }
        }
        Ok::<Builder, Vec<Fault>>(builder)
    };
    let hears_permits = settings.authentication.hears_permits();
    let rules = read(file("acl_file", &access.acl_file), file("rules_file", &access.rules_file));
    let shadow_files = (
        file("shadow_acl_file", &access.shadow_acl_file),
        file("shadow_rules_file", &access.shadow_rules_file),
    );
    let shadow = match shadow_files {
        (None, None) => None,
        (acl, rules) => Some(read(acl, rules)),
    };
    match (rules, shadow.transpose()) {
        (Ok(rules), Ok(None)) => Ok(rules.hears_permits(hears_permits).build()),
        (Ok(rules), Ok(Some(shadow))) => {
            Ok(rules.hears_permits(hears_permits).build().with_shadow(shadow.build()))
        }
        (rules, shadow) => Err(rules.err().into_iter().chain(shadow.err()).flatten().collect()),
    }
}

/// A file, by the key that names it.
type File<'a> = Option<(&'static str, &'a Path)>;

fn file<'a>(key: &'static str, name: &'a str) -> File<'a> {
    (!name.is_empty()).then(|| (key, Path::new(name)))
}

/// A file in mosquitto's format, one in ours, or both.
pub fn read(acl: Option<&Path>, rules: Option<&Path>, fallback: Fallback) -> Result<Rules, Vec<String>> {
    layers(acl.map(|path| ("acl_file", path)), rules.map(|path| ("rules_file", path)), fallback)
        .map(Builder::build)
        .map_err(|faults| faults.into_iter().map(|fault| fault.what).collect())
}

fn layers(acl: File<'_>, rules: File<'_>, fallback: Fallback) -> Result<Builder, Vec<Fault>> {
    let acl = acl.map(|file| layer(file, access::mosquitto::parse));
    let rules = rules.map(|file| layer(file, access::own::parse));
    let (mut builder, mut faults) = (Rules::builder(fallback), Vec::new());
    for read in [acl, rules].into_iter().flatten() {
        match read {
            Ok(layer) => builder = builder.layer(layer),
            Err(of_file) => faults.extend(of_file),
        }
    }
    if faults.is_empty() { Ok(builder) } else { Err(faults) }
}

fn fallback(default: AccessDefault) -> Fallback {
    match default {
        AccessDefault::Allow => Fallback::Allow,
        AccessDefault::Deny => Fallback::Deny,
    }
}

/// One file of rules, or every problem that it has.
fn layer(
    (key, path): (&'static str, &Path),
    parse: fn(&str, &str) -> Result<Layer, Vec<Problem>>,
) -> Result<Layer, Vec<Fault>> {
    let name = path.to_string_lossy();
    let fault = |what| vec![Fault::of("access", key, what)];
    let bytes =
        identity::read_file(path, identity::FILE_BYTES_MAX).map_err(|error| fault(error.to_string()))?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        fault(format!(
            "{name}, line {line}: this is no text (UTF-8), as topics are: is it the file that was meant?"
        ))
    })?;
    let of_line = |problem: &Problem| Fault::elsewhere(problem.to_string());
    parse(&name, text).map_err(|problems| problems.iter().map(of_line).collect())
}
