//! The files that a configuration names: what each is for, and what can be told of it without telling what it holds.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    path::{Path, PathBuf},
};

use access::{Fallback, Rules};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{
    config::{Settings, Tls},
    numbering::Numbers,
    text::count,
};

/// A file, and what is read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    pub what: What,
    pub path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Certificate,
    Key,
    Authorities,
    Revocations,
    Users,
    UserDatabase,
    Scram,
    TokenKeys,
    HttpAuthorization,
    CollectorAuthorization,
    Rules,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Certificate => "certificate",
            What::Key => "key",
            What::Authorities => "authorities",
            What::Revocations => "revocation lists",
            What::Users => "password file",
            What::UserDatabase => "user database",
            What::Scram => "SCRAM file",
            What::TokenKeys => "keys of tokens",
            What::HttpAuthorization => "authorization of call-outs",
            What::CollectorAuthorization => "authorization of the collector",
            What::Rules => "rules",
        }
    }
}

impl NamedFile {
    /// What it is for, and its name.
    pub fn shown(&self) -> String {
        format!("{} {}", self.what.name(), self.path.display())
    }
}

/// Every file that is read at a start and at a reload, each once.
pub fn named_files(settings: &Settings, numbers: &Numbers) -> Vec<NamedFile> {
    let mut files: Vec<NamedFile> = Vec::new();
    let mut add = |what: What, name: &str| {
        let file = NamedFile { what, path: PathBuf::from(name) };
        if !name.is_empty() && !files.contains(&file) {
            files.push(file);
        }
    };
    for entrance in numbers.open() {
        let tls: Tls = entrance.listener.tls(&settings.tls);
        tls.certificate_files.iter().for_each(|name| add(What::Certificate, name));
        tls.key_files.iter().for_each(|name| add(What::Key, name));
        add(What::Authorities, &tls.client_ca_file);
        add(What::Revocations, &tls.client_crl_file);
    }
    add(What::Certificate, &settings.api.certificate);
    add(What::Key, &settings.api.private_key);
    let authentication = &settings.authentication;
    add(What::Users, &authentication.password_file);
    add(What::UserDatabase, &authentication.user_database);
    add(What::Scram, &authentication.scram_file);
    if !authentication.jwt_keys.contains("://") {
        add(What::TokenKeys, &authentication.jwt_keys);
    }
    add(What::Authorities, &authentication.jwt_ca_file);
    add(What::Authorities, &authentication.http_ca_file);
    add(What::HttpAuthorization, &authentication.http_authorization_file);
    let telemetry = &settings.telemetry;
    if !telemetry.otlp_endpoint.is_empty() {
        add(What::Authorities, &telemetry.otlp_ca_file);
        add(What::CollectorAuthorization, &telemetry.otlp_authorization_file);
    }
    let access = &settings.access;
    for name in [&access.acl_file, &access.rules_file, &access.shadow_acl_file, &access.shadow_rules_file] {
        add(What::Rules, name);
    }
    files
}

/// What is known of each file that was read, to tell what another reading has changed.
#[derive(Debug, Default)]
pub struct Facts {
    facts: Vec<Fact>,
    hasher: RandomState,
}

#[derive(Debug, PartialEq, Eq)]
struct Fact {
    file: String,
    words: String,
    /// Of the bytes, by a key that never leaves the process: many files hold secrets.
    digest: u64,
}

impl Facts {
    /// Looks at the files as they are now.
    pub fn look(&self, files: &[NamedFile], rules: &Rules) -> Facts {
        let fact = |file: &NamedFile| {
            let bytes = identity::read_file(&file.path, identity::FILE_BYTES_MAX).unwrap_or_default();
            Fact {
                file: format!("{} {}", file.what.name(), file.path.display()),
                words: words(file.what, &file.path, &bytes, rules),
                digest: self.hasher.hash_one(&bytes[..]),
            }
        };
        Facts { facts: files.iter().map(fact).collect(), hasher: self.hasher.clone() }
    }

    /// Looks at one kind of file again. What is different, a sentence for each.
    pub fn look_again(&mut self, files: &[NamedFile], what: What) -> Vec<String> {
        let files: Vec<NamedFile> = files.iter().filter(|file| file.what == what).cloned().collect();
        let seen = self.look(&files, &Rules::builder(Fallback::Allow).build());
        let mut changes = Vec::new();
        for fact in seen.facts {
            if let Some(before) = self.facts.iter_mut().find(|before| before.file == fact.file) {
                changes.extend(fact.change_from(before));
                *before = fact;
            }
        }
        changes
    }

    /// What is different in the later one, a sentence for each file.
    pub fn changes(&self, later: &Facts) -> Vec<String> {
        let of = |facts: &'_ Facts, file: &str| facts.facts.iter().position(|fact| fact.file == file);
        let mut changes = Vec::new();
        for fact in &later.facts {
            match of(self, &fact.file).map(|at| &self.facts[at]) {
                None => changes.push(format!("{} is read{}", fact.file, fact.and_words())),
                Some(before) => changes.extend(fact.change_from(before)),
            }
        }
        let gone = self.facts.iter().filter(|fact| of(later, &fact.file).is_none());
        changes.extend(gone.map(|fact| format!("{} is not read from now on", fact.file)));
        changes
    }
}

impl Fact {
    fn change_from(&self, before: &Fact) -> Option<String> {
        let Fact { file, words, .. } = self;
        let was = if before.words == *words { String::new() } else { format!(" (before: {})", before.words) };
        (before != self).then(|| format!("{file} has changed{}{was}", self.and_words()))
    }

    fn and_words(&self) -> String {
        if self.words.is_empty() { String::new() } else { format!(": {}", self.words) }
    }
}

/// As much as may stand in a log.
fn words(what: What, path: &Path, bytes: &[u8], rules: &Rules) -> String {
    match what {
        What::Certificate => certificate(bytes).unwrap_or_default(),
        What::Authorities => {
            count(CertificateDer::pem_slice_iter(bytes).flatten().count() as u64, "certificate")
        }
        What::Users | What::UserDatabase | What::Scram => {
            let is_user = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"#");
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            count(lines.filter(is_user).count() as u64, "user")
        }
        What::Rules => {
            let name = path.to_string_lossy();
            let layer = rules.layers().iter().find(|layer| layer.file() == name);
            layer.map(|layer| count(layer.rule_count() as u64, "rule")).unwrap_or_default()
        }
        What::Key
        | What::Revocations
        | What::TokenKeys
        | What::HttpAuthorization
        | What::CollectorAuthorization => String::new(),
    }
}

/// Whose it is, and for how long.
fn certificate(bytes: &[u8]) -> Option<String> {
    let der = CertificateDer::from_pem_slice(bytes).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    Some(format!("{}, valid until {}", whose(&parsed), parsed.validity().not_after))
}

/// The name by which people know a certificate.
pub fn whose(certificate: &X509Certificate<'_>) -> String {
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let first = alternative.and_then(|names| names.value.general_names.first().map(ToString::to_string));
    common_name.map(str::to_owned).or(first).unwrap_or_else(|| "no name".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_has_changed_is_told_and_what_is_secret_is_not() {
        let folder = std::env::temp_dir().join(format!("iothub-facts-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        let path = |name: &str| folder.join(name);
        fs::write(path("users"), "# us\nanna:secret\n").expect("written");
        fs::write(path("key"), "secret").expect("written");
        let files = [
            NamedFile { what: What::Users, path: path("users") },
            NamedFile { what: What::Key, path: path("key") },
        ];
        let rules = Rules::builder(Fallback::Allow).build();
        let before = Facts::default().look(&files, &rules);
        assert!(before.changes(&before.look(&files, &rules)).is_empty());
        fs::write(path("users"), "anna:secret\nbob:secret\n").expect("written");
        fs::write(path("key"), "other secret").expect("written");
        let after = before.look(&files, &rules);
        let told = before.changes(&after).join("\n");
        let shown = folder.display();
        assert_eq!(
            told,
            format!(
                "password file {shown}/users has changed: 2 users (before: 1 user)\nkey {shown}/key has changed"
            )
        );
        let fewer = after.look(&files[..1], &rules);
        assert_eq!(after.changes(&fewer), [format!("key {shown}/key is not read from now on")]);
        assert_eq!(fewer.changes(&after), [format!("key {shown}/key is read")]);
        fs::remove_dir_all(folder).expect("removed");
    }
}
