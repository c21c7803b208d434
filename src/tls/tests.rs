//! Files that can be used, and sentences for those that cannot.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

use super::{load, speaking};
use crate::config::{ClientCertificates, MinVersion, Tls};

/// A folder with an authority, which goes with the test.
struct Folder {
    path: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("iothub-tls-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a fresh folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(path.join("ca.pem"), authority.pem()).expect("written");
        Folder { path, authority }
    }

    fn file(&self, name: &str) -> String {
        self.path.join(name).to_string_lossy().into_owned()
    }

    /// Writes a certificate for the name, and its key. Gives back both for those that connect with them.
    fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.authority).expect("signed");
        fs::write(self.path.join(format!("{name}.pem")), certificate.pem()).expect("written");
        let file = self.path.join(format!("{name}.key"));
        fs::write(&file, key.serialize_pem()).expect("written");
        set_mode(&file, 0o600);
        let der = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
        (certificate.der().clone(), der)
    }

    fn settings(&self, names: &[&str]) -> Tls {
        Tls {
            certificate_files: names.iter().map(|name| self.file(&format!("{name}.pem"))).collect(),
            key_files: names.iter().map(|name| self.file(&format!("{name}.key"))).collect(),
            ..Tls::default()
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("an authority");
        roots
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

/// The first certificate that the client is shown; the error of whichever side fails first.
fn shake(client: ClientConfig, settings: &Tls, name: &str) -> Result<CertificateDer<'static>, String> {
    let config = speaking(&load(settings).expect("files that can be used"), &[b"mqtt"]);
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(config).expect("a server");
    let mut bytes = Vec::new();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        bytes.clear();
        client.write_tls(&mut bytes).expect("memory");
        server.read_tls(&mut bytes.as_slice()).expect("memory");
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        bytes.clear();
        server.write_tls(&mut bytes).expect("memory");
        client.read_tls(&mut bytes.as_slice()).expect("memory");
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    Ok(client.peer_certificates().expect("a server shows one")[0].clone().into_owned())
}

fn stranger(folder: &Folder) -> ClientConfig {
    ClientConfig::builder().with_root_certificates(folder.roots()).with_no_client_auth()
}

fn refusal(settings: &Tls) -> String {
    let faults = load(settings).expect_err("it cannot be used");
    faults.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_that_it_asks_for() {
    let folder = Folder::new("names");
    let (first, _) = folder.issue("a.example");
    let (second, _) = folder.issue("b.example");
    let settings = folder.settings(&["a.example", "b.example"]);
    assert_eq!(shake(stranger(&folder), &settings, "b.example"), Ok(second));
    assert_eq!(shake(stranger(&folder), &settings, "a.example"), Ok(first));
    // Nobody has that name, and the first certificate says so.
    let error = shake(stranger(&folder), &settings, "c.example").expect_err("it is for another name");
    assert!(error.starts_with("client: invalid peer certificate"), "{error}");
}

#[test]
fn clients_show_certificates_that_the_authority_has_signed() {
    let folder = Folder::new("clients");
    folder.issue("broker.example");
    let (certificate, key) = folder.issue("sensor.example");
    let client_ca_file = folder.file("ca.pem");
    let required = Tls {
        client_certificates: ClientCertificates::Required,
        client_ca_file,
        ..folder.settings(&["broker.example"])
    };
    let optional = Tls { client_certificates: ClientCertificates::Optional, ..required.clone() };
    let known = |key: &PrivateKeyDer<'static>, certificate: &CertificateDer<'static>| {
        let builder = ClientConfig::builder().with_root_certificates(folder.roots());
        builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).expect("they go together")
    };
    for settings in [&required, &optional] {
        assert!(shake(known(&key, &certificate), settings, "broker.example").is_ok());
    }
    assert!(shake(stranger(&folder), &optional, "broker.example").is_ok());
    let error = shake(stranger(&folder), &required, "broker.example").expect_err("it shows none");
    assert_eq!(error, "server: peer sent no certificates");
    let elsewhere = Folder::new("elsewhere");
    let (certificate, key) = elsewhere.issue("sensor.example");
    let error = shake(known(&key, &certificate), &optional, "broker.example").expect_err("who signed it?");
    assert!(error.starts_with("server: invalid peer certificate: "), "{error}");
}

#[test]
fn an_old_version_is_spoken_only_where_it_is_allowed() {
    let folder = Folder::new("versions");
    folder.issue("broker.example");
    let old = || {
        ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
            .with_root_certificates(folder.roots())
            .with_no_client_auth()
    };
    let settings = folder.settings(&["broker.example"]);
    assert!(shake(old(), &settings, "broker.example").is_ok());
    let strict = Tls { min_version: MinVersion::V1_3, ..settings };
    assert!(shake(old(), &strict, "broker.example").is_err());
    assert!(shake(stranger(&folder), &strict, "broker.example").is_ok());
}

#[test]
fn a_client_that_speaks_something_else_is_told_so_by_its_protocol() {
    let folder = Folder::new("alpn");
    folder.issue("broker.example");
    let speaking = |protocol: &[u8]| {
        let mut client = stranger(&folder);
        client.alpn_protocols = vec![protocol.to_vec()];
        client
    };
    let settings = folder.settings(&["broker.example"]);
    assert!(shake(speaking(b"mqtt"), &settings, "broker.example").is_ok());
    assert!(shake(speaking(b"h2"), &settings, "broker.example").is_err());
}

#[test]
fn every_file_that_cannot_be_used_is_named_with_its_remedy() {
    let folder = Folder::new("files");
    folder.issue("a.example");
    folder.issue("b.example");
    let good = folder.settings(&["a.example"]);
    fs::write(folder.path.join("text.pem"), "no certificate").expect("written");
    fs::write(folder.path.join("locked.key"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").expect("written");
    set_mode(&folder.path.join("locked.key"), 0o600);
    set_mode(&folder.path.join("b.example.key"), 0o644);
    let certificates = |name: &str| Tls { certificate_files: vec![folder.file(name)], ..good.clone() };
    let keys = |name: &str| Tls { key_files: vec![folder.file(name)], ..good.clone() };
    let asking = |ca: String| Tls {
        client_certificates: ClientCertificates::Required,
        client_ca_file: ca,
        ..good.clone()
    };
    for (settings, expected) in [
        (Tls::default(), "a listener speaks TLS and there is no certificate: name its files in".to_owned()),
        (
            Tls { key_files: Vec::new(), ..good.clone() },
            "tls.certificate_files names 1 file and tls.key_files 0 files: ".to_owned(),
        ),
        (certificates("none.pem"), format!("{} cannot be read: No such file", folder.file("none.pem"))),
        (certificates("text.pem"), format!("{}: no certificate in it: expected", folder.file("text.pem"))),
        (certificates("b.example.pem"), format!("{} is not the key of the", folder.file("a.example.key"))),
        (keys("ca.pem"), "".to_owned()),
        (
            keys("b.example.key"),
            format!(
                "others on this machine can read {0}, which holds secrets: chmod o= {0}",
                folder.file("b.example.key")
            ),
        ),
        (keys("locked.key"), format!("{}: the private key needs a passphrase", folder.file("locked.key"))),
        (asking(String::new()), "tls.client_certificates asks clients for certificates: name".to_owned()),
        (asking(folder.file("text.pem")), format!("{}: no certificate in it", folder.file("text.pem"))),
    ] {
        let error = refusal(&settings);
        assert!(error.starts_with(&expected), "{error}");
    }
    assert!(load(&good).is_ok());
}

#[test]
fn a_revocation_list_as_openssl_makes_it_by_default_is_refused_with_what_to_do() {
    let folder = Folder::new("plain-lists");
    for (list, why) in
        [(OF_VERSION_1, "the revocation list of CN=ca is of version 1"), (WITHOUT_NUMBER, "has no number")]
    {
        fs::write(folder.path.join("crl.pem"), list).expect("written");
        let refused =
            super::files::revocations(&folder.path.join("crl.pem")).expect_err("nothing to check by");
        assert!(refused.contains(why) && refused.contains("openssl ca -gencrl"), "{refused}");
    }
}

/// Made by `openssl ca -gencrl`: without `crl_extensions`, and with them but without a file of numbers.
const OF_VERSION_1: &str = "\
-----BEGIN X509 CRL-----\n\
MIGTMDswCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EXDTI2MTEyMTIyNTE0OVoY\n\
DzIxMjYxMDI4MjI1MTQ5WjAKBggqhkjOPQQDAgNIADBFAiAYVdavJ4fs4hQZ20cj\n\
/WwvVSlh9icJ/+nibYtAtISIegIhAP8W7SkR+elVJMFfhstlfu2glELeKz4iHZm0\n\
rMfBVmap\n\
-----END X509 CRL-----\n\n";
const WITHOUT_NUMBER: &str = "\
-----BEGIN X509 CRL-----\n\
MIG8MGMCAQEwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EXDTI2MTEyMTIyNTE0\n\
OVoYDzIxMjYxMDI4MjI1MTQ5WqAjMCEwHwYDVR0jBBgwFoAUGUMvdnDVxIR+aziY\n\
4oqylo4rYJgwCgYIKoZIzj0EAwIDSQAwRgIhALUKggNZ1NtYkr8JKNNAQuTpT4Gw\n\
YQ+srhhGHGBaqcpJAiEA0BIUPnS4iynLq0fYkNM96tphmBIc3CVdiTiEVZNaAuA=\n\
-----END X509 CRL-----\n\n";
