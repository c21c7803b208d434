//! TLS of the listeners: from files with certificates and keys to what the runtime's doors ask for.

mod certificates;
mod dates;
mod files;

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use crate::config::{ClientCertificates, MinVersion, Tls};
use certificates::Certificates;
pub use dates::dates;
pub use files::revocations;

/// A key of the section, and a sentence for the log.
pub type Faults = Vec<(&'static str, String)>;

/// Reads every file that the section names, and says everything that is wrong with them.
pub fn load(settings: &Tls) -> Result<ServerConfig, Faults> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificates = Certificates::read(settings, &provider);
    let (certificates, verifier) = match (certificates, verifier(settings, &provider)) {
        (Ok(certificates), Ok(verifier)) => (certificates, verifier),
        (certificates, verifier) => {
            let faults = certificates.err().into_iter().chain(verifier.err());
            return Err(faults.flatten().collect());
        }
    };
    assemble(settings, provider, certificates, verifier).map_err(|what| vec![("certificate_files", what)])
}

fn assemble(
    settings: &Tls,
    provider: Arc<CryptoProvider>,
    certificates: Certificates,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(settings.min_version))
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    // Tickets hold the session themselves, so that every shard resumes what any other began, and none keeps anything.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()
        .map_err(|error| format!("TLS has no keys for the tickets of its sessions: {error}"))?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// For a listener where these protocols are spoken.
pub fn speaking(config: &ServerConfig, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn versions(min: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        MinVersion::V1_2 => V1_2_AND_LATER,
        MinVersion::V1_3 => V1_3_ONLY,
    }
}

static V1_2_AND_LATER: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static V1_3_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];

/// Who checks the certificates of clients, if they are asked for any.
fn verifier(
    settings: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Faults> {
    if settings.client_certificates == ClientCertificates::None {
        return Ok(None);
    }
    let path = &settings.client_ca_file;
    if path.is_empty() {
        let what = "tls.client_certificates asks clients for certificates: name the authorities that sign them in \
                    tls.client_ca_file";
        return Err(vec![("client_certificates", what.to_owned())]);
    }
    let lists = match settings.client_crl_file.as_str() {
        "" => Ok(None),
        name => files::revocations(Path::new(name)).map(Some),
    };
    let (roots, lists) = match (roots(path), lists) {
        (Ok(roots), Ok(lists)) => (roots, lists),
        (roots, lists) => {
            let of_roots = roots.err().map(|what| ("client_ca_file", what));
            return Err(of_roots
                .into_iter()
                .chain(lists.err().map(|what| ("client_crl_file", what)))
                .collect());
        }
    };
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(lists) = lists {
        // An authority without a list has revoked nothing.
        builder = builder.with_crls(lists).allow_unknown_revocation_status();
    }
    if settings.client_certificates == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| {
        vec![("client_crl_file", format!("{path} and tls.client_crl_file do not go together: {error}"))]
    })?;
    Ok(Some(verifier))
}

fn roots(path: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in files::certificates(Path::new(path))? {
        roots
            .add(authority)
            .map_err(|error| format!("{path}: not the certificate of an authority: {error}"))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
