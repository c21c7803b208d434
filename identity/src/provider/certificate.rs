//! Clients that are what their certificate says.

use crate::{Ask, Aspects, Certificate, Identity, Judgement, Provider, Reason};

/// Which part of a certificate is the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateName {
    CommonName,
    /// The first of them.
    AlternativeName,
    /// SHA-256 of the certificate, as 64 hexadecimal digits.
    Fingerprint,
}

#[derive(Debug, Clone, Copy)]
pub struct ByCertificate {
    pub user: CertificateName,
}

impl ByCertificate {
    fn name_in(self, certificate: &Certificate) -> Option<Box<str>> {
        let name = match self.user {
            CertificateName::CommonName => certificate.common_name.clone(),
            CertificateName::AlternativeName => certificate.alternative_names.first().cloned(),
            CertificateName::Fingerprint => Some(certificate.fingerprint_text().into()),
        };
        name.filter(|name| !name.is_empty())
    }

    /// Another part of the certificate is another user.
    fn kind_of_name(self) -> &'static str {
        match self.user {
            CertificateName::CommonName => "common name of a certificate",
            CertificateName::AlternativeName => "alternative name of a certificate",
            CertificateName::Fingerprint => "fingerprint of a certificate",
        }
    }
}

impl Provider for ByCertificate {
    fn name(&self) -> &str {
        "certificate"
    }

    fn kind(&self) -> &'static str {
        self.kind_of_name()
    }

    fn looks_at(&self) -> Aspects {
        Aspects { certificate: true, ..Aspects::default() }
    }

    fn is_quick(&self, _ask: &Ask) -> bool {
        true
    }

    /// A user name in the CONNECT is passed over: the certificate is the better witness.
    fn judge(&self, ask: &Ask, _unix_ms: u64) -> Judgement {
        let (None, Some(certificate)) = (&ask.enhanced, &ask.certificate) else { return Judgement::Pass };
        match self.name_in(certificate) {
            Some(name) => Judgement::Accept(Identity {
                user: Some((*name).into()),
                provider: "certificate".into(),
                kind: self.kind_of_name(),
                ..Identity::default()
            }),
            None => Judgement::reject(
                Reason::NotAuthorized,
                "the certificate lacks the name that is to be the user",
            ),
        }
    }
}
