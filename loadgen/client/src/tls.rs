//! What a client brings along for TLS: whom it trusts, and who it is. The protocol is rustls'.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use thiserror::Error;

use crate::tls::any_name::AnyName;
use crate::tls::anybody::Anybody;

mod any_name;
mod anybody;

/// What the user says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A file of certificates of authorities, in PEM.
    pub ca_file: Option<PathBuf>,
    /// A directory of such files.
    pub ca_path: Option<PathBuf>,
    /// The client's certificate, with those between it and its authority, and its key; in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Take a certificate of another name than the host's, as long as an authority has signed it.
    pub any_name: bool,
    /// Take every certificate, and read none that authorities have: nothing may be told to who is there.
    pub anybody: bool,
    /// What is said to be spoken inside.
    pub alpn: Option<String>,
    /// Nothing older than TLS 1.3.
    pub only_1_3: bool,
}

/// Ready for use, for any number of connections; sessions are resumed between them.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
}

#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {what}")]
    Unfit { path: PathBuf, what: String },
    #[error("the system has no certificates of authorities at the usual places: say which file has them")]
    NoSystemRoots,
    #[error("TLS: {0}")]
    Refused(#[from] rustls::Error),
}

impl Tls {
    /// Reads the files. Without any authority those of the system are trusted.
    pub fn new(options: &TlsOptions) -> Result<Tls, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = verifier(options, &provider)?;
        let versions: &[&SupportedProtocolVersion] =
            if options.only_1_3 { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &options.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                config.with_client_auth_cert(chain, private_key(key)?)?
            }
        };
        config.alpn_protocols = options.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Tls { config: Arc::new(config) })
    }

    /// Each connection begins a session of its own.
    pub fn without_resumption(self) -> Tls {
        let mut config = (*self.config).clone();
        config.resumption = Resumption::disabled();
        Tls { config: Arc::new(config) }
    }
}

fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if options.anybody {
        return Ok(Arc::new(Anybody(Arc::clone(provider))));
    }
    let roots = Arc::new(roots(options)?);
    let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
    let verifier = builder.build().map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(if options.any_name { Arc::new(AnyName(verifier)) } else { verifier })
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        add_roots(&mut roots, path, certificates(path)?)?;
    }
    if let Some(directory) = &options.ca_path {
        for path in files_of(directory)? {
            // Such directories hold more than certificates.
            if let Ok(found) = certificates(&path) {
                add_roots(&mut roots, &path, found)?;
            }
        }
        if roots.is_empty() {
            return Err(unfit(directory, "no file in it has a certificate in PEM"));
        }
    }
    if options.ca_file.is_none() && options.ca_path.is_none() {
        let path = system_roots().ok_or(TlsError::NoSystemRoots)?;
        // One that this library does not understand must not take the others with it.
        roots.add_parsable_certificates(certificates(&path)?);
    }
    Ok(roots)
}

fn add_roots(
    roots: &mut RootCertStore,
    path: &Path,
    certificates: Vec<CertificateDer<'static>>,
) -> Result<(), TlsError> {
    certificates
        .into_iter()
        .try_for_each(|certificate| roots.add(certificate))
        .map_err(|error| unfit(path, format!("no certificate of an authority: {error}")))
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: directory.to_owned(), source };
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths.collect::<io::Result<Vec<PathBuf>>>().map_err(unreadable)
}

/// Where distributions keep them; the environment wins, as it does for OpenSSL.
fn system_roots() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.or_else(|| SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.is_file()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unfit(path, format!("no PEM: {error}")))?;
    if found.is_empty() {
        return Err(unfit(path, "no certificate in PEM: it would begin with -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(&text, b"ENCRYPTED") => {
            unfit(path, "the key is encrypted: write it decrypted with `openssl pkey -in FILE -out KEY`")
        }
        pem::Error::NoItemsFound => unfit(path, "no private key in PEM"),
        error => unfit(path, format!("no PEM: {error}")),
    })
}

/// The whole of a regular file. A pipe would make us wait for somebody who writes.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(unreadable)?;
    // Asked of the open file: what a name stands for can change in between.
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(unfit(path, "no regular file, and not read: name a file, or a link to one"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unfit(path, format!("more than {FILE_BYTES_MAX} bytes: is it the file that was meant?")));
    }
    Ok(bytes)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

fn unfit(path: &Path, what: impl Into<String>) -> TlsError {
    TlsError::Unfit { path: path.to_owned(), what: what.into() }
}

const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Bundles of all public authorities have a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::env;
    use std::process::{self, Command};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let folder = env::temp_dir().join(format!("iothub-client-tls-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let pipe = folder.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&*pipe, &*folder, Path::new("/dev/zero")] {
            let as_authority = TlsOptions { ca_file: Some(path.to_owned()), ..TlsOptions::default() };
            let identity = Some((path.to_owned(), path.to_owned()));
            let as_identity = TlsOptions { identity, anybody: true, ..TlsOptions::default() };
            for options in [as_authority, as_identity] {
                let error = Tls::new(&options).unwrap_err().to_string();
                assert!(error.ends_with("name a file, or a link to one"), "{error}");
            }
        }
        // In a directory of authorities it is passed over.
        let options = TlsOptions { ca_path: Some(folder.clone()), ..TlsOptions::default() };
        let error = Tls::new(&options).unwrap_err().to_string();
        assert!(error.ends_with("no file in it has a certificate in PEM"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
