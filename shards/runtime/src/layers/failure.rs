//! What went wrong in TLS, in words for who runs the broker: most of it is about a certificate that a client shows.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// A sentence for the log and the audit log.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => {
            "the client shows no certificate, and has to (client_certificates = \"required\")".to_owned()
        }
        Error::InvalidCertificate(error) => format!("the client's certificate {}", of_certificate(error)),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "what came is not TLS".to_owned(),
        Error::PeerIncompatible(cause) => of_offer(cause),
        error => error.to_string(),
    }
}

/// What the client offers, and is not enough.
fn of_offer(cause: &PeerIncompatible) -> String {
    match cause {
        PeerIncompatible::SupportedVersionsExtensionRequired => {
            "the client speaks TLS 1.2 at the newest, and 1.3 is the oldest that is spoken here (tls.min_version, or the \
             listener's min_version)"
                .to_owned()
        }
        PeerIncompatible::Tls12NotOffered => {
            "the client speaks TLS 1.1 at the newest, which is not safe: whatever tls.min_version says, 1.2 is the oldest that \
             is spoken"
                .to_owned()
        }
        PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the client offers no version of TLS that is spoken here: that is 1.3, and 1.2 where min_version (of [tls], or of \
             the listener) allows it"
                .to_owned()
        }
        PeerIncompatible::NoCipherSuitesInCommon => {
            "the client knows none of the cipher suites that are spoken here".to_owned()
        }
        cause => format!("the client offers too little: {cause:?}"),
    }
}

/// What follows "the client's certificate".
fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "has expired, or ends before it begins".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("has expired {} ago", span(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        CertificateError::NotValidYet => "is not valid yet: is the clock of this machine right?".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "is not valid yet: it will be in {}. Is the clock of this machine right?",
            span(not_before.as_secs().saturating_sub(time.as_secs()))
        ),
        CertificateError::Revoked => "is revoked (client_crl_file)".to_owned(),
        CertificateError::UnknownIssuer => {
            "is signed by none of the authorities in client_ca_file".to_owned()
        }
        CertificateError::BadSignature => "has a signature that is wrong".to_owned(),
        CertificateError::BadEncoding => "is damaged".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for clients: its extended key usage lacks clientAuth".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that does not count as safe, with SHA-1 for example".to_owned()
        }
        // The library has no names of its own for these.
        CertificateError::Other(error) => of_library(&error.to_string()),
        error => format!("cannot be used: {error}"),
    }
}

fn of_library(word: &str) -> String {
    match word {
        "UnsupportedCertVersion" => {
            "is of X.509 version 1 or 2, and only version 3 counts: issue it with extensions (openssl x509 -req -extfile FILE)"
                .to_owned()
        }
        "CaUsedAsEndEntity" => {
            "is that of an authority (CA:TRUE), as self-signed ones often are: issue one for the client that an authority in \
             client_ca_file signs"
                .to_owned()
        }
        "EndEntityUsedAsCa" => "is signed by one that is not that of an authority (CA:FALSE)".to_owned(),
        word => format!("cannot be used: {word}"),
    }
}

/// What the client has found wrong, mostly with the certificate that it was shown.
fn of_alert(alert: AlertDescription) -> String {
    let found = match alert {
        AlertDescription::UnknownCA => "does not know the authority of the broker's certificate",
        AlertDescription::CertificateExpired => "says that the broker's certificate has expired",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => "does not take the broker's certificate",
        AlertDescription::ProtocolVersion => "speaks no version that is spoken here (min_version)",
        AlertDescription::NoApplicationProtocol => "speaks no protocol that is spoken here (ALPN)",
        AlertDescription::UserCanceled => "has broken off",
        _ => return format!("the client has ended it: {}", name_of(alert)),
    };
    format!("the client {found} ({})", name_of(alert))
}

/// As the specification of TLS writes it: `unknown_ca`.
fn name_of(alert: AlertDescription) -> String {
    let (mut name, mut was_lower) = (String::new(), false);
    for letter in format!("{alert:?}").chars() {
        if letter.is_uppercase() && was_lower {
            name.push('_');
        }
        was_lower = letter.is_lowercase();
        name.extend(letter.to_lowercase());
    }
    name
}

/// As long as somebody would say it.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for (error, expected) in [
            (
                CertificateError::ExpiredContext { time: at(1_000_000), not_after: at(400_000) },
                "the client's certificate has expired 6 days ago",
            ),
            (
                CertificateError::NotValidYetContext { time: at(1), not_before: at(7201) },
                "the client's certificate is not valid yet: it will be in 2 hours. Is the clock of this machine right?",
            ),
            (CertificateError::Revoked, "the client's certificate is revoked (client_crl_file)"),
            (
                CertificateError::UnknownIssuer,
                "the client's certificate is signed by none of the authorities in client_ca_file",
            ),
            (
                CertificateError::InvalidPurpose,
                "the client's certificate is not for clients: its extended key usage lacks clientAuth",
            ),
            (CertificateError::UnhandledCriticalExtension, "the client's certificate cannot be used: "),
        ] {
            let words = words(&Error::InvalidCertificate(error));
            assert!(words.starts_with(expected), "{words}");
        }
    }

    #[test]
    fn a_version_that_is_too_old_is_named_with_the_key_that_says_so() {
        for (cause, version) in [
            (PeerIncompatible::SupportedVersionsExtensionRequired, "TLS 1.2 at the newest"),
            (PeerIncompatible::Tls12NotOffered, "TLS 1.1 at the newest"),
            (PeerIncompatible::Tls12NotOfferedOrEnabled, "no version of TLS"),
        ] {
            let words = words(&Error::PeerIncompatible(cause));
            assert!(words.contains(version) && words.contains("min_version"), "{words}");
        }
    }

    #[test]
    fn a_client_that_ends_the_handshake_says_why() {
        for (alert, expected) in [
            (
                AlertDescription::UnknownCA,
                "the client does not know the authority of the broker's certificate (unknown_ca)",
            ),
            (
                AlertDescription::NoApplicationProtocol,
                "the client speaks no protocol that is spoken here (ALPN) (no_application_protocol)",
            ),
            (AlertDescription::DecodeError, "the client has ended it: decode_error"),
        ] {
            assert_eq!(words(&Error::AlertReceived(alert)), expected);
        }
    }

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (7199, "119 minutes"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
