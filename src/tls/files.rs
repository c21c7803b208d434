//! PEM files: what is read from them, and what is wrong with one that cannot be used.

use std::path::Path;

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use x509_parser::{prelude::FromDer as _, revocation_list::CertificateRevocationList, x509::X509Version};
use zeroize::Zeroizing;

/// All certificates of the file, in their order. There is at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = objects(path, &read(path)?)?;
    if found.is_empty() {
        return Err(format!(
            "{}: no certificate in it: expected -----BEGIN CERTIFICATE-----",
            path.display()
        ));
    }
    Ok(found)
}

/// The lists of revoked certificates. There is at least one.
pub fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let found: Vec<CertificateRevocationListDer<'static>> = objects(path, &read(path)?)?;
    if found.is_empty() {
        return Err(format!(
            "{}: no revocation list in it: expected -----BEGIN X509 CRL-----",
            path.display()
        ));
    }
    found.iter().try_for_each(|list| check_list(list)).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(found)
}

/// What a library says of such lists does not say what to do about them.
fn check_list(der: &[u8]) -> Result<(), String> {
    let (_, list) = CertificateRevocationList::from_der(der)
        .map_err(|error| format!("the revocation list cannot be read: {error}"))?;
    let lacks = match (list.version(), list.crl_number()) {
        (None | Some(X509Version::V1), _) => "is of version 1",
        (_, None) => "has no number",
        _ => return Ok(()),
    };
    Err(format!(
        "the revocation list of {} {lacks}, and certificates cannot be checked by it. With openssl: give the section that \
         crl_extensions names in openssl.cnf authorityKeyIdentifier=keyid:always, a crlnumber file to the authority, and make the \
         list again (openssl ca -gencrl)",
        list.issuer()
    ))
}

/// The file's first private key. Nobody but owner and group may read the file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let bytes = identity::read_private(path).map_err(|error| error.to_string())?;
    if bytes.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err(format!(
            "{shown}: the private key needs a passphrase, and nobody is here to type it: openssl pkey -in {shown} \
             -out PLAIN.key, then chmod 600 PLAIN.key"
        ));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            format!("{shown}: no private key in it: expected -----BEGIN PRIVATE KEY-----")
        }
        error => format!("{shown}: not PEM: {error}"),
    })
}

fn objects<T: PemObject>(path: &Path, bytes: &[u8]) -> Result<Vec<T>, String> {
    T::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: not PEM: {error}", path.display()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    identity::read_file(path, FILE_BYTES_MAX).map_err(|error| error.to_string())
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Bundles of all public authorities have a quarter of a megabyte; lists of revoked certificates can be long.
const FILE_BYTES_MAX: u64 = 64 << 20;
