//! The text that Prometheus reads: exposition format 0.0.4. Families one behind the other, each with its help and its type.

use std::{fmt::Write as _, time::Duration};

use shard::Histogram;

/// What goes before each family's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A name and its value. The values are our own words and numbers but for the version.
pub type Label<'a> = (&'a str, &'a str);

#[derive(Debug, Default)]
pub struct Page {
    text: String,
    family: String,
}

impl Page {
    /// Samples belong to it until the next one begins.
    pub fn family(&mut self, name: impl Into<String>, kind: Kind, help: &str) {
        let name = name.into();
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.word()));
        self.family = name;
    }

    pub fn count(&mut self, labels: &[Label<'_>], value: u64) {
        self.sample("", labels, format_args!("{value}"));
    }

    pub fn seconds(&mut self, labels: &[Label<'_>], seconds: f64) {
        self.sample("", labels, format_args!("{seconds}"));
    }

    pub fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        let count = histogram.count();
        for (bound, within) in histogram.cumulative() {
            self.bucket(labels, &seconds(bound), within);
        }
        self.bucket(labels, "+Inf", count);
        let sum = seconds(histogram.sum());
        self.sample("_sum", labels, format_args!("{sum}"));
        self.sample("_count", labels, format_args!("{count}"));
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn bucket(&mut self, labels: &[Label<'_>], bound: &str, within: u64) {
        let labels: Vec<Label<'_>> = labels.iter().copied().chain([("le", bound)]).collect();
        self.sample("_bucket", &labels, format_args!("{within}"));
    }

    fn sample(&mut self, suffix: &str, labels: &[Label<'_>], value: std::fmt::Arguments<'_>) {
        let family = std::mem::take(&mut self.family);
        self.write(format_args!("{family}{suffix}"));
        self.family = family;
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.write(format_args!("{before}{name}=\"{value}\""));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{end} {value}\n"));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// All digits, and no more than there are.
fn seconds(duration: Duration) -> String {
    let digits = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    let shortest = digits.trim_end_matches('0');
    shortest.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_head_once_and_a_line_for_each_sample() {
        let mut page = Page::default();
        page.family("a_total", Kind::Counter, "One \\ two.");
        page.count(&[], 7);
        page.count(&[("shard", "0"), ("cause", "a \"b\"")], 8);
        assert_eq!(
            page.into_text(),
            "# HELP a_total One \\\\ two.\n# TYPE a_total counter\na_total 7\na_total{shard=\"0\",cause=\"a \\\"b\\\"\"} 8\n"
        );
    }

    #[test]
    fn seconds_are_exact() {
        for (nanos, text) in
            [(0, "0"), (1024, "0.000001024"), (1_000_000_000, "1"), (8_589_934_592, "8.589934592")]
        {
            assert_eq!(seconds(Duration::from_nanos(nanos)), text);
        }
    }
}
