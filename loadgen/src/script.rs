//! Scenario `run`: groups of publishers and subscribers from a file. Who must get what follows from topics and filters.

mod section;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use client::QoS;
use client::wire::{is_topic_filter, is_topic_name, shared_filter};

use crate::feed::Feed;
use crate::report::Report;
use crate::traffic::cast::{Cast, Pace, PublisherRole, SubscriberRole, check_topics};
use crate::traffic::template::Shape;
use crate::traffic::{self, RunArgs};
use section::{Document, Section};

#[derive(Debug, Args)]
pub struct ScriptArgs {
    /// The scenario: a TOML file
    file: PathBuf,
    #[command(flatten)]
    run: RunArgs,
    /// Threads of this process; the connections are shared out among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    threads: u32,
}

pub fn run(args: &ScriptArgs) -> Result<Report, String> {
    let path = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).map_err(|error| format!("cannot read {path}: {error}"))?;
    let cast = cast_of(&path, &text)?;
    let retained: BTreeSet<&str> = cast
        .publishers
        .iter()
        .filter(|publisher| publisher.shape.retain)
        .flat_map(|publisher| publisher.topics.iter().map(String::as_str))
        .collect();
    // What another run has left would come to subscribers that do not expect it.
    clear(args, &retained)?;
    let report = traffic::run(&args.run, args.threads, &cast);
    let cleared = clear(args, &retained);
    let report = report?;
    cleared?;
    Ok(report)
}

fn clear(args: &ScriptArgs, topics: &BTreeSet<&str>) -> Result<(), String> {
    if topics.is_empty() {
        return Ok(());
    }
    let mut feed = Feed::open(&args.run.broker, "run-clear", 0, QoS::AtLeastOnce)?;
    for topic in topics {
        feed.publish(topic, &[], true)?;
    }
    feed.finish()
}

/// All of a file, or all that is wrong with it.
fn cast_of(path: &str, text: &str) -> Result<Cast, String> {
    let document = Document::parse(path, text)?;
    let mut cast = Cast { scenario: "run".to_owned(), ..Cast::default() };
    let mut problems = document.problems;
    let mut flows = Vec::new();
    for mut section in document.publishers {
        flows.push(publishers(&mut section, &mut cast));
        problems.append(&mut section.finish());
    }
    if !problems.is_empty() {
        // Which filter matches what is not known before every publisher is.
        return Err(problems.join("\n"));
    }
    let mut groups = Vec::new();
    for mut section in document.subscribers {
        subscribers(&mut section, &mut cast, &mut groups);
        problems.append(&mut section.finish());
    }
    cast.groups = groups.len();
    let receivers = cast.receivers();
    problems.extend(flows.into_iter().filter_map(|flow| flow.check(&receivers)));
    if cast.parts.is_empty() || cast.publishers.is_empty() {
        problems.push(format!("{path}: write at least one [[publisher]] and one [[subscriber]]"));
    }
    if problems.is_empty() { Ok(cast) } else { Err(problems.join("\n")) }
}

/// A group of publishers, to be looked at again when the subscribers are known.
struct Flow {
    streams: std::ops::Range<usize>,
    /// What is wrong if nobody gets any of it.
    unheard: Option<String>,
}

impl Flow {
    fn check(self, receivers: &[u64]) -> Option<String> {
        let is_heard = receivers[self.streams].iter().any(|receivers| *receivers > 0);
        if is_heard { None } else { self.unheard }
    }
}

fn publishers(section: &mut Section<'_>, cast: &mut Cast) -> Flow {
    section.text("name", Some(""));
    let count = section.number("count", Some(1), 1..=100_000) as u32;
    let topics = section.number("topics", Some(1), 1..=100_000) as u32;
    let topic = section.text("topic", None);
    let qos = section.qos();
    let payload_bytes = section.number("payload_bytes", Some(64), 20..=16_777_216) as u32;
    let retain = section.flag("retain");
    let pace = match (section.has("rate"), section.has("window")) {
        (true, false) => {
            cast.rates.push(section.number("rate", None, 1..=100_000_000));
            Pace::Rate(cast.rates.len() - 1)
        }
        (false, true) => Pace::Window(section.number("window", None, 1..=1_000_000)),
        _ => {
            let remedy = "write either `rate`, messages per second of the group, or `window`, messages under way of each";
            section.problem("rate", remedy);
            Pace::Window(1)
        }
    };
    if !is_topic_name(&topic) {
        section.problem("topic", "is no topic name: it has at least one character, and no + or #");
    }
    if topics > 1 && !topic.contains("{t}") {
        section.problem(
            "topic",
            "needs {t} where the number of the topic is to be, because `topics` is more than 1",
        );
    }
    if let Err(error) = check_topics(count, topics) {
        section.problem("topics", &error);
        return Flow { streams: 0..0, unheard: None };
    }
    let first = cast.topics().count();
    for client in 0..count {
        let topic = topic.replace("{i}", &client.to_string());
        let topics = (0..topics).map(|number| topic.replace("{t}", &number.to_string())).collect();
        cast.publishers.push(PublisherRole { topics, shape: Shape { qos, payload_bytes, retain }, pace });
    }
    let is_endless = qos == QoS::AtMostOnce && matches!(pace, Pace::Window(_));
    let remedy =
        "with QoS 0 and a window somebody has to subscribe to it, or nothing ever comes back: write a `rate`";
    let unheard = is_endless.then(|| section.place("topic", remedy));
    Flow { streams: first..first + (count * topics) as usize, unheard }
}

/// `groups` are the filters of those that share a subscription.
fn subscribers(section: &mut Section<'_>, cast: &mut Cast, groups: &mut Vec<String>) {
    let part = cast.parts.len();
    let name = section.text("name", Some(&format!("subscriber{part}")));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_word) || cast.parts.contains(&name) {
        section.problem("name", "is a word of letters, digits, - and _ that no other [[subscriber]] has");
    }
    cast.parts.push(name);
    let count = section.number("count", Some(1), 1..=100_000);
    let qos = section.qos();
    let written = section.text("filter", None);
    let mut matched = None;
    for client in 0..count {
        let filter = written.replace("{i}", &client.to_string());
        let (is_shared, plain) = match shared_filter(&filter) {
            Ok(Some(shared)) => (true, shared.filter),
            Ok(None) => (false, filter.as_str()),
            Err(violation) => return section.problem("filter", violation.what),
        };
        if !is_topic_filter(plain) {
            return section
                .problem("filter", "is no topic filter: + and # stand alone between slashes, # at the end");
        }
        // One answer for the whole group, unless each has a filter of its own.
        let streams = match &matched {
            Some(streams) if !written.contains("{i}") => Arc::clone(streams),
            _ => Arc::new(cast.streams_of(plain)),
        };
        if streams.len() == 0 {
            return section.problem("filter", "matches no topic of any [[publisher]], so nothing would come");
        }
        matched = Some(Arc::clone(&streams));
        let group = is_shared.then(|| {
            groups.iter().position(|other| *other == filter).unwrap_or_else(|| {
                groups.push(filter.clone());
                groups.len() - 1
            })
        });
        cast.subscribers.push(SubscriberRole { filter, qos, streams, part, group });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_example_of_a_store_becomes_its_cast() {
        let cast = cast_of("kept.toml", include_str!("../examples/kept.toml")).unwrap();
        assert_eq!((cast.publishers.len(), cast.subscribers.len()), (20, 1));
        let receivers = cast.receivers();
        assert_eq!(receivers.iter().sum::<u64>(), 25_000, "one device of twenty is watched");
        assert_eq!(receivers.len(), 500_000);
    }

    #[test]
    fn the_example_becomes_its_cast() {
        let cast = cast_of("plant.toml", include_str!("../examples/plant.toml")).unwrap();
        assert_eq!((cast.publishers.len(), cast.subscribers.len()), (201, 207));
        assert_eq!((cast.groups, &cast.rates[..]), (1, &[2000][..]));
        assert_eq!(cast.parts, ["dashboards", "actuators", "archive"]);
        let receivers = cast.receivers();
        assert_eq!(receivers.len(), 1001);
        assert!(receivers[..1000].iter().all(|receivers| *receivers == 4 + 1));
        assert_eq!(receivers[1000], 200 + 1);
        assert_eq!(cast.publishers[3].topics[4], "plant/3/sensor/4");
    }

    #[test]
    fn mistakes_are_told_with_file_line_key_and_remedy() {
        let publisher = "[[publisher]]\ntopic = \"a\"\nrate = 1\n";
        let subscriber = "[[subscriber]]\nfilter = \"a\"\n";
        for (text, wanted) in [
            ("[[publisher]\n".to_owned(), "f.toml:1: "),
            (String::new(), "f.toml: write at least one [[publisher]]"),
            (format!("[[publishers]]\n{subscriber}"), "f.toml:1: `publishers`"),
            (format!("[publisher]\n{subscriber}"), "f.toml:1: `publisher`"),
            (format!("{publisher}qos = 3\n{subscriber}"), "f.toml:4: `qos = 3`"),
            (format!("{publisher}{subscriber}qos = \"1\"\n"), "f.toml:6: `qos = \"1\"`"),
            (format!("{publisher}colour = 3\n"), "f.toml:4: `colour`"),
            (format!("{publisher}window = 3\n"), "f.toml:3: `rate`: write either"),
            (format!("{publisher}count = 0\n"), "f.toml:4: `count = 0`"),
            (format!("{publisher}retain = 1\n"), "f.toml:4: `retain = 1`"),
            (format!("{publisher}topics = 2\n"), "needs {t}"),
            (format!("{publisher}topics = 100000\ncount = 100000\n"), "take fewer"),
            ("[[publisher]]\ntopic = \"a/+\"\nrate = 1\n".to_owned(), "f.toml:2: `topic`"),
            ("[[publisher]]\nrate = 1\n".to_owned(), "f.toml:1: `topic`: is missing"),
            (format!("{publisher}[[subscriber]]\nfilter = \"b\"\n"), "f.toml:5: `filter`: matches no topic"),
            (
                format!("{publisher}[[subscriber]]\nfilter = \"a#\"\n"),
                "f.toml:5: `filter`: is no topic filter",
            ),
            (format!("{publisher}[[subscriber]]\nfilter = \"$share/g\"\n"), "f.toml:5: `filter`: shared"),
            (format!("{publisher}{subscriber}name = \"a b\"\n"), "f.toml:6: `name`"),
            (
                format!("{publisher}[[publisher]]\ntopic = \"b\"\nwindow = 1\n{subscriber}"),
                "f.toml:5: `topic`: with QoS 0 and a window",
            ),
        ] {
            let told = cast_of("f.toml", &text).err().unwrap_or_else(|| panic!("this is wrong: {text}"));
            assert!(told.contains(wanted), "{text}\n{told}");
        }
        assert!(cast_of("f.toml", &format!("{publisher}{subscriber}")).is_ok());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told =
            cast_of("f.toml", "[[publisher]]\ntopic = \"\"\nrate = 0\nqos = 9\nx = 1\n").err().unwrap();
        assert_eq!(told.lines().count(), 4, "{told}");
    }
}
