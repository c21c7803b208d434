//! Which crate may know which: the arrows of docs/architecture.md, and no others.

use crate::{Offence, manifest::Manifest};

/// Each crate of the workspace with those that it knows.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("iothub", &["access", "client", "identity", "runtime", "shard", "transport"]),
    ("runtime", &["shard", "transport"]),
    ("shard", &["access", "mqtt", "secret"]),
    ("secret", &[]),
    ("access", &["mqtt"]),
    ("mqtt", &[]),
    ("identity", &["access", "secret", "transport"]),
    ("transport", &[]),
    ("client", &["mqtt", "transport"]),
    ("loadgen", &["client"]),
    ("benches", &["access", "mqtt", "runtime", "shard", "transport"]),
    ("sim", &["access", "mqtt", "shard"]),
    ("conformance", &[]),
    ("e2e", &["access", "client"]),
    ("tidy", &[]),
];

/// Every arrow that is not drawn, and every drawn one that is not there.
pub fn check(manifests: &[Manifest]) -> Vec<Offence> {
    let ours: Vec<&str> = manifests.iter().map(|manifest| manifest.package.as_str()).collect();
    let mut offences = Vec::new();
    for manifest in manifests {
        let Some((_, drawn)) = ARROWS.iter().find(|(name, _)| *name == manifest.package) else {
            offences.push(Offence::new(&manifest.package, 0, "this crate has no arrows drawn"));
            continue;
        };
        let known = manifest.dependencies.iter().filter(|name| ours.contains(&name.as_str()));
        for name in known.clone().filter(|name| !drawn.contains(&name.as_str())) {
            offences.push(Offence::new(
                &manifest.package,
                0,
                format!("knows `{name}`: no such arrow is drawn"),
            ));
        }
        for name in drawn.iter().filter(|name| !known.clone().any(|known| known == **name)) {
            offences.push(Offence::new(
                &manifest.package,
                0,
                format!("does not know `{name}`: the arrow is idle"),
            ));
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, dependencies: &[&str]) -> Manifest {
        let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
        Manifest { package: package.to_owned(), dependencies, ..Manifest::default() }
    }

    #[test]
    fn a_wrong_a_missing_and_an_unknown_arrow_are_found() {
        let mqtt = manifest("mqtt", &["thiserror"]);
        assert_eq!(check(&[mqtt.clone(), manifest("access", &["mqtt", "slab"])]), []);
        assert_eq!(check(&[manifest("mqtt", &["access"]), manifest("access", &["mqtt"])]).len(), 1);
        assert_eq!(check(&[mqtt.clone(), manifest("access", &[])]).len(), 1);
        assert_eq!(check(&[mqtt, manifest("surprise", &[])]).len(), 1);
    }
}
