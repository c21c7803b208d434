//! What is over, or will be soon, of the files of TLS: the broker goes on with them, and its clients do not.

use std::path::Path;

use x509_parser::{
    certificate::X509Certificate, prelude::FromDer as _, revocation_list::CertificateRevocationList,
    time::ASN1Time,
};

use super::files;
use crate::{
    config::{ClientCertificates, Tls, moment},
    named_files::whose,
    text::count,
};

/// A sentence for each. A file that cannot be read is told by who reads it for use.
pub fn dates(settings: &Tls, now_s: u64) -> Vec<String> {
    let mut told = Vec::new();
    for name in &settings.certificate_files {
        let chain = files::certificates(Path::new(name)).unwrap_or_default();
        for (at, der) in chain.iter().enumerate() {
            let Ok((_, certificate)) = X509Certificate::from_der(der) else { continue };
            let words = format!("{name}: the certificate of {}", whose(&certificate));
            told.extend(of_certificate(&certificate, now_s).map(|what| format!("{words} {what}")));
            if at == 0 && !is_for_servers(&certificate) {
                told.push(format!(
                    "{words} is not for servers (its extended key usage lacks serverAuth): clients refuse it"
                ));
            }
        }
    }
    if settings.client_certificates != ClientCertificates::None && !settings.client_crl_file.is_empty() {
        let name = &settings.client_crl_file;
        let lists = files::revocations(Path::new(name)).unwrap_or_default();
        told.extend(lists.iter().filter_map(|der| of_list(name, der, now_s)));
    }
    told
}

/// What follows its name.
fn of_certificate(certificate: &X509Certificate<'_>, now_s: u64) -> Option<String> {
    let validity = certificate.validity();
    let (begin_s, end_s) = (seconds(validity.not_before), seconds(validity.not_after));
    if now_s > end_s {
        return Some(format!("has expired at {}: clients refuse it. Renew it", moment::show(end_s)));
    }
    if now_s < begin_s {
        let begin = moment::show(begin_s);
        return Some(format!(
            "is valid from {begin} on: clients refuse it until then. Is the clock of this machine right?"
        ));
    }
    let left = soon(begin_s, end_s, now_s)?;
    Some(format!("expires in {left}, at {}: renew it", moment::show(end_s)))
}

fn of_list(name: &str, der: &[u8], now_s: u64) -> Option<String> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let (begin_s, end_s) = (seconds(list.last_update()), seconds(list.next_update()?));
    let words = format!("{name}: the list of what {} has revoked", list.issuer());
    let end = moment::show(end_s);
    if now_s > end_s {
        return Some(format!(
            "{words} is out of date since {end}: what has been revoked later is let in. Get the next one"
        ));
    }
    let left = soon(begin_s, end_s, now_s)?;
    Some(format!("{words} will be out of date in {left}, at {end}: get the next one"))
}

/// The time that is left, where it is short: of what lives for days only, the last third.
fn soon(begin_s: u64, end_s: u64, now_s: u64) -> Option<String> {
    let left_s = end_s.saturating_sub(now_s);
    let short_s = SOON_S.min(end_s.saturating_sub(begin_s) / 3);
    let words = match left_s / DAY_S {
        0 => "less than a day".to_owned(),
        days => count(days, "day"),
    };
    (left_s < short_s).then_some(words)
}

/// Without such an extension it is for everything.
fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
        _ => true,
    }
}

fn seconds(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0)
}

const DAY_S: u64 = 86_400;
/// Renewals take place a month before the end, as a rule: by then something is wrong with them.
const SOON_S: u64 = 14 * DAY_S;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_near_two_weeks_before_it_or_in_the_last_third_of_a_short_life() {
        let days = |days: u64| days * DAY_S;
        for (life, age, expected) in [
            (365, 350, None),
            (365, 352, Some("13 days")),
            (365, 364, Some("1 day")),
            (6, 3, None),
            (6, 5, Some("1 day")),
        ] {
            assert_eq!(soon(days(1), days(1 + life), days(1 + age)).as_deref(), expected, "{life} {age}");
        }
        assert_eq!(soon(0, days(365), days(365) - 5).as_deref(), Some("less than a day"));
    }
}
