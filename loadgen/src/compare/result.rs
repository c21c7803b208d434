//! What a comparison found: every single run as it was, and what they are together.

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::summary::{self, Block};
use crate::report::Report;

/// What is written as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    pub loadgen_version: String,
    pub begun: String,
    pub host: Host,
    pub repeat: u32,
    pub broker_cpus: Option<String>,
    pub load_cpus: Option<String>,
    /// In the order in which they are shown.
    pub brokers: Vec<BrokerFacts>,
    pub runs: Vec<RunFacts>,
    /// In the order in which they happened.
    pub turns: Vec<Turn>,
    /// Follows from the rest.
    #[serde(default, skip_deserializing)]
    pub summary: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerFacts {
    pub name: String,
    pub command: String,
    /// The text of its configuration file.
    #[serde(default)]
    pub config: Option<String>,
    pub version: Option<String>,
    pub is_null: bool,
    /// It comes back with what it had.
    #[serde(default)]
    pub keeps_data: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    pub name: String,
    pub command: String,
    pub suits_null: bool,
    /// It takes a broker that comes back with what it had.
    #[serde(default)]
    pub has_restart: bool,
}

/// One run of one broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Turn {
    pub run: String,
    pub broker: String,
    pub repetition: u32,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may tell of faults.
    Report(Report),
    Failure(Failure),
}

/// A run without figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub what: String,
    /// Of the broker, or of the scenario where that failed.
    pub last_lines: Vec<String>,
}

impl Failure {
    pub fn new(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), last_lines: Vec::new() }
    }
}

impl Comparison {
    pub fn parse(text: &str) -> Result<Comparison, String> {
        let mut comparison: Comparison = serde_json::from_str(text).map_err(|error| error.to_string())?;
        comparison.summarise();
        Ok(comparison)
    }

    pub fn summarise(&mut self) {
        self.summary = summary::blocks(self);
    }

    /// Keeps what its brokers and runs are about, and sums up again.
    pub fn forget_others(&mut self) {
        let (brokers, runs) = (&self.brokers, &self.runs);
        self.turns.retain(|turn| {
            brokers.iter().any(|broker| broker.name == turn.broker)
                && runs.iter().any(|run| run.name == turn.run)
        });
        self.summarise();
    }

    /// Adds the runs of another comparison on the same machine. What has the same name is the same.
    pub fn merge(&mut self, other: Comparison) -> Result<(), String> {
        if self.host != other.host {
            return Err(format!(
                "they come from different machines ({} and {}), and what is compared has to share one",
                self.host.cpu, other.host.cpu
            ));
        }
        for broker in other.brokers {
            match self.brokers.iter().find(|known| known.name == broker.name) {
                Some(known) if *known != broker => {
                    return Err(format!("`{}` is not the same broker in both: name them apart", broker.name));
                }
                Some(_) => {}
                None => self.brokers.push(broker),
            }
        }
        for run in other.runs {
            match self.runs.iter().find(|known| known.name == run.name) {
                Some(known) if *known != run => {
                    return Err(format!("`{}` is not the same run in both: name them apart", run.name));
                }
                Some(_) => {}
                None => self.runs.push(run),
            }
        }
        self.repeat = self.repeat.max(other.repeat);
        self.turns.extend(other.turns);
        Ok(())
    }

    /// Whether any run gave figures.
    pub fn has_figures(&self) -> bool {
        self.turns.iter().any(|turn| matches!(turn.outcome, Outcome::Report(_)))
    }
}
