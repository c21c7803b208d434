//! Names of folders that are put aside, by the time at which that was done.

use std::{
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::private;

/// Makes a folder that was not there, for example `damaged-20260131-235959`.
pub(crate) fn make_folder(within: &Path, what: &str) -> io::Result<PathBuf> {
    let name = format!("{what}-{}", stamp());
    for count in 1.. {
        let name = if count == 1 { name.clone() } else { format!("{name}-{count}") };
        let path = within.join(name);
        match private::create_folder(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => return outcome.map(|()| path),
        }
    }
    unreachable!("one of all numbers is free")
}

/// Whether it is what `make_folder` puts behind a name.
pub(crate) fn is_stamp(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut has_digits = |count: Option<usize>| {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        parts.next().map(|part| is_number(part) && count.is_none_or(|count| part.len() == count))
    };
    let is_time = has_digits(Some(8)) == Some(true) && has_digits(Some(6)) == Some(true);
    is_time && has_digits(None) != Some(false) && parts.next().is_none()
}

/// The time in UTC.
pub(crate) fn stamp() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    stamp_of(since.as_secs())
}

fn stamp_of(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    // Years from March on have their leap day at their end (era of 400 years, day of the era, year of the era).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_have_their_dates() {
        for (unix_s, expected) in [
            (0, "19700101-000000"),
            (951_782_399, "20000228-235959"),
            (951_782_400, "20000229-000000"),
            (1_709_251_200, "20240301-000000"),
            (1_795_263_300, "20261121-121500"),
            (4_102_444_799, "20991231-235959"),
        ] {
            assert_eq!(stamp_of(unix_s), expected);
            assert!(is_stamp(expected) && is_stamp(&format!("{expected}-12")));
        }
        for other in
            ["", "19700101", "1970-000000", "19700101-00000x", "19700101-000000-", "19700101-000000-2-3"]
        {
            assert!(!is_stamp(other), "{other}");
        }
    }
}
