//! Certificates that lists name as revoked, for those who are connected: TLS looks at the lists in the handshake alone.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use aws_lc_rs::digest;
use shard::{CertificateId, Revision};
use x509_parser::{prelude::FromDer, revocation_list::CertificateRevocationList, x509::X509Name};

use crate::{
    config::{Fault, Settings},
    numbering::Numbers,
    tls,
};

/// Those of one listener.
pub type Revoked = Arc<BTreeSet<CertificateId>>;

/// By the listeners' numbers; nothing where nobody comes in any more.
pub fn load(settings: &Settings, numbers: &Numbers) -> Result<Vec<Revoked>, Vec<Fault>> {
    let mut loaded: Vec<(String, Revoked)> = Vec::new();
    let mut by_number = Vec::new();
    for (entrance, is_open) in numbers.all() {
        let file = entrance.listener.tls(&settings.tls).client_crl_file;
        if file.is_empty() || !is_open {
            by_number.push(Revoked::default());
            continue;
        }
        let known = loaded.iter().find(|(known, _)| *known == file);
        let revoked = match known {
            Some((_, revoked)) => Arc::clone(revoked),
            None => read(Path::new(&file))
                .map_err(|what| vec![Fault::of("tls", "client_crl_file", what).at(&entrance.address)])?,
        };
        loaded.push((file, Arc::clone(&revoked)));
        by_number.push(revoked);
    }
    Ok(by_number)
}

fn read(path: &Path) -> Result<Revoked, String> {
    let mut revoked = BTreeSet::new();
    for der in tls::revocations(path)? {
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|error| {
            format!("{}: a revocation list in it cannot be read: {error}", path.display())
        })?;
        let serials = list.iter_revoked_certificates();
        revoked.extend(serials.map(|revoked| id(list.issuer(), revoked.raw_serial())));
    }
    Ok(Arc::new(revoked))
}

/// The name of the issuer says how long it is, so that nothing else has the same bytes.
pub fn id(issuer: &X509Name<'_>, raw_serial: &[u8]) -> CertificateId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(issuer.as_raw());
    context.update(raw_serial);
    let mut id = CertificateId::default();
    id.copy_from_slice(context.finish().as_ref());
    id
}

/// What those have to be told whose certificates are revoked only now.
pub fn revisions(before: &[Revoked], after: &[Revoked]) -> Vec<Arc<Revision>> {
    let nothing = Revoked::default();
    let before = before.iter().chain(std::iter::repeat(&nothing));
    let added = |(door, (before, after)): (u16, (&Revoked, &Revoked))| {
        let certificates: BTreeSet<CertificateId> = after.difference(before).copied().collect();
        let revision = Revision::Revoked { door, certificates: Arc::new(certificates) };
        (!after.is_subset(before)).then(|| Arc::new(revision))
    };
    (0..).zip(before.zip(after)).filter_map(added).collect()
}
