//! The broker's own certificates, and which of them a client is shown.

use std::{path::Path, sync::Arc};

use rustls::{
    Error, InconsistentKeys,
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::ServerName,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::files;
use crate::config::Tls;

/// At least one. The first is for those who ask for no name, or for one that no other has.
#[derive(Debug)]
pub struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    pub fn read(settings: &Tls, provider: &CryptoProvider) -> Result<Certificates, String> {
        let (certificates, keys) = (&settings.certificate_files, &settings.key_files);
        if certificates.is_empty() {
            return Err(
                "a listener speaks TLS and there is no certificate: name its files in tls.certificate_files \
                        and tls.key_files"
                    .to_owned(),
            );
        }
        if certificates.len() != keys.len() {
            return Err(format!(
                "tls.certificate_files names {} files and tls.key_files {}: the keys stand in the order of their \
                 certificates",
                certificates.len(),
                keys.len()
            ));
        }
        let pairs = certificates.iter().zip(keys);
        let all =
            pairs.map(|(certificate, key)| pair(certificate, key, provider)).collect::<Result<_, _>>()?;
        Ok(Certificates { all })
    }
}

fn pair(certificate: &str, key: &str, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
    let chain = files::certificates(Path::new(certificate))?;
    // A certificate that cannot be parsed would fail each handshake.
    ParsedCertificate::try_from(&chain[0])
        .map_err(|error| format!("{certificate}: {}", unusable(&error)))?;
    let signer = provider
        .key_provider
        .load_private_key(files::private_key(Path::new(key))?)
        .map_err(|error| format!("{key}: not a key that TLS can use: {error}"))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => Err(format!("{key} is not the key of the certificate in {certificate}")),
    }
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
