//! The rules of who may do what: from the files that the configuration names to rules that can be asked.

use std::path::Path;

use access::{Builder, DefaultRule, Fallback, Layer, Problem, Rules};
use identity::FileError;
use zeroize::Zeroizing;

use crate::{
    config::{AccessDefault, Fault, Loaded, Origin},
    listen::Entrance,
    numbering::Numbers,
};

/// Reads every file, and says everything that is wrong.
pub fn load(loaded: &Loaded, numbers: &Numbers) -> Result<Rules, Vec<Fault>> {
    let access = &loaded.settings.access;
    let read = |acl: File<'_>, rules: File<'_>| {
        let mut builder = layers(acl, rules, default(loaded), identity::read_rights)?;
        // Those that were closed as well: who came in by them is still held to the rules.
        for (name, (entrance, is_open)) in numbers.names().iter().zip(numbers.all()) {
            if let Some(default) = entrance.listener.access_default {
                builder = builder.listener(name, default_of(entrance, default, loaded, is_open));
            }
        }
        Ok::<Builder, Vec<Fault>>(builder)
    };
    let hears_permits = loaded.settings.authentication.hears_permits();
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

/// A file in mosquitto's format, one in ours, or both, for whoever asks what they say; and why a broker would refuse them.
pub fn ask(
    acl: Option<&Path>,
    rules: Option<&Path>,
    default: DefaultRule,
) -> Result<(Rules, Vec<String>), Vec<String>> {
    let mut refusals = Vec::new();
    let read = |path: &Path| {
        let (bytes, refusal) = identity::read_open_rights(path)?;
        refusals.extend(refusal.map(|refusal| refusal.to_string()));
        Ok(bytes)
    };
    let (acl, rules) = (acl.map(|path| ("acl_file", path)), rules.map(|path| ("rules_file", path)));
    let builder = layers(acl, rules, default, read)
        .map_err(|faults| faults.into_iter().map(|fault| fault.what).collect::<Vec<String>>())?;
    Ok((builder.build(), refusals))
}

fn layers(
    acl: File<'_>,
    rules: File<'_>,
    default: DefaultRule,
    mut read: impl FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, FileError>,
) -> Result<Builder, Vec<Fault>> {
    let acl = acl.map(|(key, path)| {
        let bytes = read(path).map(without_comments);
        layer((key, path), bytes, access::mosquitto::parse)
    });
    let rules = rules.map(|(key, path)| layer((key, path), read(path), access::own::parse));
    let (mut builder, mut faults) = (Rules::builder(default), Vec::new());
    for read in [acl, rules].into_iter().flatten() {
        match read {
            Ok(layer) => builder = builder.layer(layer),
            Err(of_file) => faults.extend(of_file),
        }
    }
    if faults.is_empty() { Ok(builder) } else { Err(faults) }
}

/// What the configuration says where no rule matches.
fn default(loaded: &Loaded) -> DefaultRule {
    let fallback = fallback(loaded.settings.access.default);
    let rule = DefaultRule { text: format!("access.default = \"{fallback}\"").into(), ..fallback.into() };
    loaded.origin("access", "default").map_or(rule.clone(), |origin| written_at(rule, origin))
}

/// What it says of one listener. Where one was that is closed now is not known any more.
fn default_of(entrance: &Entrance, default: AccessDefault, loaded: &Loaded, is_open: bool) -> DefaultRule {
    let fallback = fallback(default);
    let text = format!("access_default = \"{fallback}\" of {}", entrance.address).into();
    let rule = DefaultRule { text, layer: CONFIGURATION.into(), ..fallback.into() };
    let origin = loaded.origin_of_listener(&entrance.address, "access_default").filter(|_| is_open);
    origin.map_or(rule.clone(), |origin| written_at(rule, origin))
}

fn written_at(rule: DefaultRule, origin: &Origin) -> DefaultRule {
    match origin {
        Origin::File { path, line } => DefaultRule {
            file: Some(path.as_str().into()),
            line: u32::try_from(*line).ok(),
            layer: CONFIGURATION.into(),
            ..rule
        },
        Origin::Environment { variable } => DefaultRule {
            text: format!("{variable}={}", rule.fallback).into(),
            layer: "environment".into(),
            ..rule
        },
        Origin::Flag { flag } => DefaultRule {
            text: format!("{flag} {}", rule.fallback).into(),
            layer: "command line".into(),
            ..rule
        },
    }
}

const CONFIGURATION: &str = "configuration";

fn fallback(default: AccessDefault) -> Fallback {
    match default {
        AccessDefault::Allow => Fallback::Allow,
        AccessDefault::Deny => Fallback::Deny,
    }
}

/// Comments of an ACL file can be in any encoding, as mosquitto does not read them. Each leaves its line behind.
fn without_comments(bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let kept = lines.flat_map(|line| if line.starts_with(b"#") { b"\n" } else { line });
    Zeroizing::new(kept.copied().collect())
}

/// One file of rules, or every problem that it has.
fn layer(
    (key, path): (&'static str, &Path),
    bytes: Result<Zeroizing<Vec<u8>>, FileError>,
    parse: fn(&str, &str) -> Result<Layer, Vec<Problem>>,
) -> Result<Layer, Vec<Fault>> {
    let name = path.to_string_lossy();
    let fault = |what| vec![Fault::of("access", key, what)];
    let bytes = bytes.map_err(|error| fault(error.to_string()))?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        fault(format!(
            "{name}, line {line}: this is no text (UTF-8), as topics are: is it the file that was meant?"
        ))
    })?;
    let of_line = |problem: &Problem| Fault::elsewhere(problem.to_string());
    parse(&name, text).map_err(|problems| problems.iter().map(of_line).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{
        config::{self, Flags},
        listen,
    };

    /// What a client is told that no rule knows.
    fn denial(file: &str, variables: &[(&str, &str)]) -> String {
        let path = std::env::temp_dir().join(format!("iothub-defaults-{}.toml", std::process::id()));
        std::fs::write(&path, file).expect("the folder can be written");
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let loaded = config::load(Some(&path), variables, &Flags::default()).expect("it is right");
        std::fs::remove_file(&path).expect("it was written");
        let listen = listen::resolve(loaded.listeners(), loaded.listens_by_default).expect("addresses");
        let numbers = Numbers::first(listen.entrances);
        let rules = load(&loaded, &numbers).expect("there are no files");
        let listener = &*numbers.names()[0];
        let holder = rules.holder(&access::Who { listener, ..access::Who::default() });
        let explained =
            holder.explain(&holder.check(&access::Ask::new(access::Action::Publish, "a"))).to_string();
        explained.replace(&*path.to_string_lossy(), "broker.toml")
    }

    #[test]
    fn a_file_of_rules_that_others_can_change_is_refused_and_a_question_is_answered() {
        let path = std::env::temp_dir().join(format!("iothub-rules-mode-{}", std::process::id()));
        std::fs::write(&path, "").expect("the folder can be written");
        let read = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
            let file = Some(("acl_file", &*path));
            let layers = |acl, rules| layers(acl, rules, Fallback::Deny.into(), identity::read_rights);
            [layers(file, None), layers(None, file)].map(|outcome| {
                outcome
                    .map(drop)
                    .map_err(|faults| faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>())
            })
        };
        for refused in read(0o664) {
            let sentences = refused.expect_err("it is a door");
            let (_, refusals) =
                ask(Some(&path), None, Fallback::Deny.into()).expect("a question lets nobody in");
            assert_eq!(refusals, sentences);
            let shown = path.display();
            assert_eq!(
                sentences,
                [format!(
                    "others on this machine can change {shown}, which says who may do what: chmod go-w {shown}"
                )]
            );
        }
        assert!(read(0o644).iter().all(Result::is_ok), "everybody may know them");
        std::fs::remove_file(&path).expect("it was written");
    }

    #[test]
    fn comments_of_an_acl_file_can_be_in_any_encoding_and_its_lines_cannot() {
        let path = std::env::temp_dir().join(format!("iothub-latin-{}", std::process::id()));
        let read = |text: &[u8]| {
            std::fs::write(&path, text).expect("the folder can be written");
            ask(Some(&path), None, Fallback::Deny.into()).map(drop)
        };
        assert_eq!(read(b"# T\xfcren\n#\xfc\ntopic read a\n"), Ok(()));
        let shown = path.display();
        for (text, line) in [(&b"# T\xfcren\ntopic read \xfc\n"[..], 2), (b" # T\xfcren\n", 1)] {
            let problems = read(text).expect_err("no topic");
            let begins = format!("{shown}, line {line}: this is no text (UTF-8)");
            assert!(problems[0].starts_with(&begins), "{problems:?}");
        }
        let problems = read(b"# T\xfcren\n\nfly a\n").expect_err("no word of it");
        assert!(problems[0].contains("3"), "comments leave their lines behind: {problems:?}");
        std::fs::remove_file(&path).expect("it was written");
    }

    #[test]
    fn a_default_names_who_says_it() {
        let of_listener = "[[listener]]\naddress = \"tcp://127.0.0.1:1\"\n";
        for (file, variables, place) in [
            (
                "[access]\ndefault = \"deny\"\n",
                &[][..],
                "access.default = \"deny\" (broker.toml:2, configuration)",
            ),
            ("", &[("IOTHUB_ACCESS__DEFAULT", "deny")], "IOTHUB_ACCESS__DEFAULT=deny (environment)"),
            (
                &format!("{of_listener}access_default = \"deny\"\n"),
                &[],
                "access_default = \"deny\" of tcp://127.0.0.1:1 (broker.toml:3, configuration)",
            ),
            (
                &format!("{of_listener}[access]\ndefault = \"deny\"\n"),
                &[],
                "access.default = \"deny\" (broker.toml:4, configuration)",
            ),
        ] {
            let said = denial(file, variables);
            assert!(said.starts_with("denied: ") && said.ends_with(place), "{said}");
        }
    }
}
