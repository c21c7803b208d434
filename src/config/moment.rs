//! Moments as RFC 3339 writes them, `2030-01-31T12:00:00Z`, in seconds of unix time.

/// None: it is no such moment, or lies before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(at);
    let (clock, fraction) = clock.split_once('.').map_or((clock, "0"), |(clock, fraction)| (clock, fraction));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_clock = is_fraction && hour < 24 && minute < 60 && second <= 60;
    if !is_clock || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let days = days_before_year(year)? + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset(zone)?;
    u64::try_from(seconds).ok()
}

/// As text, in UTC.
pub fn show(moment: u64) -> String {
    let (days, seconds) = (moment / DAY_S, moment % DAY_S);
    let mut left = i64::try_from(days).unwrap_or(i64::MAX).min(days_before_year(YEAR_MAX).unwrap_or(0));
    let (mut year, mut month) = (1970, 1);
    while left >= days_of_year(year) {
        left -= days_of_year(year);
        year += 1;
    }
    while left >= days_of(year, month) {
        left -= days_of(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", left + 1)
}

/// Numbers of just so many digits.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let [hour, minute, _] = numbers(&format!("{}:00", zone.get(1..)?), ':', [2, 2, 2])?;
    (hour < 24 && minute < 60).then_some(sign * (hour * 60 + minute) * 60)
}

fn days_before_year(year: i64) -> Option<i64> {
    (1970..=YEAR_MAX).contains(&year).then(|| (1970..year).map(days_of_year).sum())
}

fn days_of_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const YEAR_MAX: i64 = 9999;
const DAY_S: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_what_the_calendar_says() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2001-09-09T01:46:40Z", Some(1_000_000_000)),
            ("2001-09-09T03:46:40.25+02:00", Some(1_000_000_000)),
            ("2001-09-08 20:16:40-05:30", Some(1_000_000_000)),
            ("2026-01-01t00:00:00z", Some(1_767_225_600)),
            ("2026-01-01", None),
            ("2026-01-01T00:00:00", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-02-29T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-1-01T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-01-01T00:00:00+2:00", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for moment in [0, 951_827_696, 1_000_000_000, 1_767_225_600, 4_102_444_799] {
            assert_eq!(parse(&show(moment)), Some(moment), "{}", show(moment));
        }
    }
}
