//! The known name that someone probably meant.

/// The nearest of `known`, if any is near enough that it was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let (distance, found) = known
        .into_iter()
        .map(|candidate| {
            // Someone who leaves out the unit or the `max_` means the whole name.
            let part = name.len() >= PART_CHARS_MIN && candidate.contains(name.as_str());
            (if part { 0 } else { edits(&name, candidate) }, candidate)
        })
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= name.len() / 3).then_some(found)
}

/// Insertions, removals, replacements and swaps of neighbours that turn one into the other.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

const PART_CHARS_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_what_must_change() {
        for (from, to, count) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(edits(from, to), count, "{from} to {to}");
        }
    }

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["max_connections", "max_packet_size", "shutdown_timeout_secs"];
        assert_eq!(nearest("max_conections", known), Some("max_connections"));
        assert_eq!(nearest("MAX_PACKETSIZE", known), Some("max_packet_size"));
        assert_eq!(nearest("shutdown_timeout", known), Some("shutdown_timeout_secs"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
