//! `iothub ctl published`: on which topics clients publish, and how many messages in a second.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io::BufRead,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure, Shown,
    table::shown,
    target::{Target, encoded},
};
use crate::{api::PUBLISHED, output, text};

#[derive(Debug, Args)]
pub struct PublishedArgs {
    /// Only topics that match this filter
    #[arg(short, long, value_name = "FILTER")]
    topic: Option<String>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Until it is interrupted, or has shown as many lines as it was to.
pub fn follow(target: &Target<'_>, args: &PublishedArgs, is_json: bool) -> Result<Shown, Failure> {
    let mut lines = target.follow(&args.path())?;
    let (mut line, mut sums, mut left) = (String::new(), Sums::new(), args.count.unwrap_or(u64::MAX));
    while left > 0 {
        line.clear();
        if lines.read_line(&mut line).map_err(|error| gone(&error.to_string()))? == 0 {
            return Err(gone(target.why_ended()));
        }
        let row = serde_json::from_str(&line).unwrap_or(Value::Null);
        if let Some(why) = row["ended"].as_str() {
            return Err(gone(why));
        }
        let told = match is_json {
            true => row.as_object().map_or_else(Vec::new, |_| vec![line.clone()]),
            false => sums.add(&row),
        };
        for line in told.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            left -= 1;
            // Somebody who has read enough is no error.
            let printed = if is_json { output::print_json_more(line) } else { output::print_more(line) };
            if !printed.map_err(Failure::Unreachable)? {
                return Ok(nothing_more());
            }
        }
    }
    Ok(nothing_more())
}

fn gone(why: &str) -> Failure {
    Failure::Unreachable(format!("the broker does not tell what is published any more: {why}"))
}

fn nothing_more() -> Shown {
    Shown::default()
}

impl PublishedArgs {
    fn path(&self) -> String {
        let topic = self.topic.as_deref().map(|topic| format!("?topic={}", encoded(topic)));
        format!("{PUBLISHED}{}", topic.unwrap_or_default())
    }
}

/// Messages of about a second.
struct Sums {
    begun: Instant,
    by_topic: BTreeMap<String, u64>,
    left_out: u64,
}

impl Sums {
    fn new() -> Sums {
        Sums { begun: Instant::now(), by_topic: BTreeMap::new(), left_out: 0 }
    }

    /// Lines for people, when the second is over.
    fn add(&mut self, row: &Value) -> Vec<String> {
        if let Some(topic) = row["topic"].as_str() {
            *self.by_topic.entry(topic.to_owned()).or_default() +=
                row["messages"].as_u64().unwrap_or_default();
        }
        self.left_out += row["left_out"].as_u64().unwrap_or_default();
        let elapsed = self.begun.elapsed();
        if elapsed < EVERY {
            return Vec::new();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        std::mem::replace(self, Sums::new()).told(now, elapsed)
    }

    /// The busiest first.
    fn told(self, now: Duration, elapsed: Duration) -> Vec<String> {
        let at = text::clock(now.as_secs_f64());
        let rate = |messages: u64| messages as f64 / elapsed.as_secs_f64();
        let mut counts: Vec<_> = self.by_topic.into_iter().collect();
        counts.sort_by_key(|(_, messages)| Reverse(*messages));
        let mut lines: Vec<String> = counts
            .into_iter()
            .map(|(topic, messages)| format!("{at} {:>11.1}/s  {}\n", rate(messages), shown(&json!(topic))))
            .collect();
        if self.left_out > 0 {
            lines.push(format!("{at} {:>11.1}/s  on further topics\n", rate(self.left_out)));
        }
        lines
    }
}

const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_topics_come_first_and_do_not_steer_the_terminal() {
        let mut sums = Sums::new();
        for row in [
            json!({ "topic": "a\u{1b}[2J", "messages": 1 }),
            json!({ "topic": "b", "messages": 3 }),
            json!({ "topic": "b", "messages": 4 }),
            json!({ "left_out": 2 }),
            Value::Null,
        ] {
            assert!(sums.add(&row).is_empty());
        }
        let lines = sums.told(Duration::from_secs(3661), Duration::from_secs(2));
        let expected = [
            "01:01:01.000         3.5/s  b\n",
            "01:01:01.000         0.5/s  a\\u{1b}[2J\n",
            "01:01:01.000         1.0/s  on further topics\n",
        ];
        assert_eq!(lines, expected);
    }
}
