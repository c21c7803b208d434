//! The broker's own certificates, and which of them a client is shown.

use std::{path::Path, sync::Arc};

use rustls::{
    Error, InconsistentKeys,
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::{CertifiedKey, SigningKey},
};

use super::{Faults, files};
use crate::{config::Tls, text::count};

/// At least one. The first is for those who ask for no name, or for one that no other has.
#[derive(Debug)]
pub struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    pub fn read(settings: &Tls, provider: &CryptoProvider) -> Result<Certificates, Faults> {
        let (certificates, keys) = (&settings.certificate_files, &settings.key_files);
        if certificates.is_empty() {
            let what = "a listener speaks TLS and there is no certificate: name its files in tls.certificate_files \
                        and tls.key_files";
            return Err(vec![("certificate_files", what.to_owned())]);
        }
        if certificates.len() != keys.len() {
            let what = format!(
                "tls.certificate_files names {} and tls.key_files {}: each certificate has its key at the same place of the list",
                count(certificates.len() as u64, "file"),
                count(keys.len() as u64, "file")
            );
            return Err(vec![("key_files", what)]);
        }
        let (mut all, mut faults) = (Vec::new(), Faults::new());
        for (certificate, key) in certificates.iter().zip(keys) {
            match pair(certificate, key, provider) {
                Ok(certified) => all.push(certified),
                Err(of_pair) => faults.extend(of_pair),
            }
        }
        if faults.is_empty() { Ok(Certificates { all }) } else { Err(faults) }
    }
}

fn pair(certificate: &str, key: &str, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Faults> {
    let (chain, signer) = match (chain(certificate), signer(key, provider)) {
        (Ok(chain), Ok(signer)) => (chain, signer),
        (chain, signer) => {
            let of_chain = chain.err().map(|what| ("certificate_files", what));
            return Err(of_chain.into_iter().chain(signer.err().map(|what| ("key_files", what))).collect());
        }
    };
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => {
            Err(vec![("key_files", format!("{key} is not the key of the certificate in {certificate}"))])
        }
    }
}

fn chain(certificate: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = files::certificates(Path::new(certificate))?;
    // A certificate that cannot be parsed would fail each handshake.
    ParsedCertificate::try_from(&chain[0]).map_err(|error| format!("{certificate}: {}", unusable(&error)))?;
    Ok(chain)
}

fn signer(key: &str, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, String> {
    let private = files::private_key(Path::new(key))?;
    let signer = provider.key_provider.load_private_key(private);
    signer.map_err(|error| format!("{key}: not a key that TLS can use: {error}"))
}

/// What the library has no words of its own for.
fn unusable(error: &Error) -> String {
    let text = error.to_string();
    if text.contains("UnsupportedCertVersion") {
        return "it is of X.509 version 1 or 2, and only version 3 counts: issue it with extensions, with its names for example \
                (openssl x509 -req -extfile FILE)"
            .to_owned();
    }
    format!("not a certificate of a server: {text}")
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let first = self.all.first()?;
        if self.all.len() == 1 {
            return Some(Arc::clone(first));
        }
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let meant = named.and_then(|name| self.all.iter().find(|certified| is_for(certified, &name)));
        Some(Arc::clone(meant.unwrap_or(first)))
    }
}
