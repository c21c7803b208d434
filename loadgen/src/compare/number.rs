//! Numbers for people: three digits that mean something, and a unit that keeps them short.

/// A value with its unit, for example `0.191 us`, `5.05 M`, `1.50 MiB`.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "bytes" => bytes(value),
        "" => counted(value),
        "us" if value >= 999.5 => format!("{} ms", digits(value / 1000.0)),
        unit => format!("{} {unit}", digits(value)),
    }
}

/// A ratio to what it is compared with.
pub fn ratio(value: f64) -> String {
    format!("{}×", digits(value))
}

/// Large counts in thousands, millions and billions.
fn counted(value: f64) -> String {
    match value.abs() {
        size if size >= 999.5e6 => format!("{} G", digits(value / 1e9)),
        size if size >= 999.5e3 => format!("{} M", digits(value / 1e6)),
        size if size >= 9_995.0 => format!("{} k", digits(value / 1e3)),
        _ if value.fract() == 0.0 => grouped(&format!("{value:.0}")),
        _ => digits(value),
    }
}

fn bytes(value: f64) -> String {
    match value.abs() {
        size if size >= 999.5 * MIB => format!("{} GiB", digits(value / GIB)),
        size if size >= 999.5 * KIB => format!("{} MiB", digits(value / MIB)),
        size if size >= 10.0 * KIB => format!("{} KiB", digits(value / KIB)),
        _ => format!("{} B", digits(value)),
    }
}

/// Three digits, or all those before the point, in groups of three.
pub fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        size if size < 0.9995 => 3,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    grouped(&format!("{value:.decimals$}"))
}

/// The same for the tick of an axis: without zeros at its end.
pub fn short(value: f64) -> String {
    let text = digits(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn grouped(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let whole_len = text.find('.').unwrap_or(text.len());
    let mut out = sign.to_owned();
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at < whole_len && (whole_len - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept() {
        for (value, text) in [
            (0.1912, "0.191"),
            (0.0, "0"),
            (6.157, "6.16"),
            (9.996, "10.0"),
            (40.12, "40.1"),
            (544.4, "544"),
            (18_252.3, "18,252"),
            (1_234_567.8, "1,234,568"),
            (5.0, "5.00"),
            (-0.5, "-0.500"),
            (-1234.5, "-1,234"),
        ] {
            assert_eq!(digits(value), text);
        }
    }

    #[test]
    fn ticks_have_no_zeros_at_their_end() {
        for (value, text) in [(0.5, "0.5"), (2.0, "2"), (100.0, "100"), (0.0, "0"), (2500.0, "2,500")] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn units_keep_numbers_short() {
        assert_eq!(with_unit(5_050_000.0, ""), "5.05 M");
        assert_eq!(with_unit(161_234.0, ""), "161 k");
        assert_eq!(with_unit(999.6, ""), "1,000");
        assert_eq!(with_unit(5.0, ""), "5");
        assert_eq!(with_unit(0.191, "us"), "0.191 us");
        assert_eq!(with_unit(15_442.0, "us"), "15.4 ms");
        assert_eq!(with_unit(636.0, "bytes"), "636 B");
        assert_eq!(with_unit(1.5 * 1024.0 * 1024.0, "bytes"), "1.50 MiB");
        assert_eq!(with_unit(-20.5 * 1024.0, "bytes"), "-20.5 KiB");
        assert_eq!(ratio(1.444), "1.44×");
    }
}
