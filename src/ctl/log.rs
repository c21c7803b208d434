//! `iothub ctl log`: the log of a broker, as it is written.

use std::io::BufRead;

use clap::Args;
use serde_json::Value;

use super::{Failure, Shown, table::shown, target::Target};
use crate::{api::LOG, output};

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Only lines with this in them
    #[arg(short = 's', long, value_name = "TEXT")]
    text: Option<String>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Until it is interrupted, or has shown as many as it was to.
pub fn follow(target: &Target<'_>, args: &LogArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut lines = target.follow(LOG)?;
    let (mut line, mut count) = (String::new(), 0);
    while args.count.is_none_or(|most| count < most) {
        line.clear();
        let gone =
            |why: &str| Failure::Unreachable(format!("the broker does not tell its log any more: {why}"));
        if lines.read_line(&mut line).map_err(|error| gone(&error.to_string()))? == 0 {
            return Err(gone(target.why_ended()));
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let Ok(row) = serde_json::from_str::<Value>(data) else { continue };
        let is_wanted = |wanted: &String| row["text"].as_str().is_some_and(|text| text.contains(wanted));
        if !args.text.as_ref().is_none_or(is_wanted) {
            continue;
        }
        count += 1;
        let printed = if is_json { output::print_json_more(data) } else { output::print_more(&told(&row)) };
        // Somebody who has read enough is no error.
        if !printed.map_err(Failure::Unreachable)? {
            break;
        }
    }
    Ok(Shown::default())
}

fn told(row: &Value) -> String {
    let level = row["level"].as_str().unwrap_or_default().to_ascii_uppercase();
    format!("{} {level:>5} {}\n", shown(&row["at"]), shown(&row["text"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_looks_as_in_the_log_and_does_not_steer_the_terminal() {
        let row = json!({ "at": "2026-01-01T00:00:00Z", "level": "warn", "text": "a\u{1b}[2J" });
        assert_eq!(told(&row), "2026-01-01T00:00:00Z  WARN a\\u{1b}[2J\n");
    }
}
