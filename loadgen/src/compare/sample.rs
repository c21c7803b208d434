//! A small comparison for the tests of what is made of one: a relay, a broker, and a broker that dies.

use super::host::Host;
use super::result::{BrokerFacts, Comparison, Failure, Outcome, RunFacts, Turn};
use crate::report::{Better, Quantile, Report};

pub fn comparison() -> Comparison {
    named(["null epoll", "one", "dead"])
}

/// The first name is the relay's, the last one that of the broker that dies.
pub fn named(names: [&str; 3]) -> Comparison {
    let broker = |at: usize| BrokerFacts {
        name: names[at].to_owned(),
        command: format!("{} -p {{port}}", names[at]),
        config: (at == 1).then(|| "limit <= 5".to_owned()),
        version: (at == 1).then(|| "one 1.0 <stable>".to_owned()),
        is_null: at == 0,
        keeps_data: false,
    };
    let run = |name: &str, suits_null| RunFacts {
        name: name.to_owned(),
        command: format!("{name} -n 5"),
        suits_null,
        has_restart: false,
    };
    let mut comparison = Comparison {
        loadgen_version: "0".to_owned(),
        begun: "2000-01-01 00:00 UTC".to_owned(),
        host: Host { kernel: "Linux 1".to_owned(), cpu: "A & B".to_owned(), cores: 4 },
        repeat: 3,
        broker_cpus: Some("0".to_owned()),
        load_cpus: None,
        brokers: (0..3).map(broker).collect(),
        runs: vec![run("p2p", true), run("idle", false)],
        turns: Vec::new(),
        summary: Vec::new(),
    };
    for repetition in 0..3 {
        for run in &comparison.runs {
            for (at, name) in names.iter().enumerate().skip(usize::from(!run.suits_null)) {
                let outcome = if at == 2 {
                    let last_lines = vec!["out of <memory>".to_owned()];
                    Outcome::Failure(Failure {
                        what: "the broker ended with signal 9".to_owned(),
                        last_lines,
                    })
                } else {
                    let at = f64::from(at as u32);
                    Outcome::Report(report(
                        (at + 1.0) * (1.0 + f64::from(repetition) / 10.0),
                        1e6 / (at + 1.0),
                    ))
                };
                let (run, broker) = (run.name.clone(), (*name).to_owned());
                comparison.turns.push(Turn { run, broker, repetition, outcome });
            }
        }
    }
    comparison.summarise();
    comparison
}

pub fn report(cpu_us: f64, rate: f64) -> Report {
    let mut report = Report::new("p2p", 1.0);
    report.add("deliveries_per_s", "deliveries per s", rate, "", Better::Higher);
    report.add("broker_cpu_us", "broker CPU per delivery", cpu_us, "us", Better::Lower);
    report.add("own_cpu_percent", "own CPU", 99.0, "% of 1 core(s)", Better::Neither);
    report.add("dropped", "dropped by the broker", 0.0, "", Better::Lower);
    for (key, label, factor) in [
        ("latency_p50_us", "latency p50", 10.0),
        ("latency_p90_us", "latency p90", 20.0),
        ("latency_p99_us", "latency p99", 100.0),
    ] {
        report.add(key, label, cpu_us * factor, "us", Better::Lower);
    }
    let steps =
        [(0.0, 1.0), (0.5, 10.0), (0.75, 12.0), (0.9, 20.0), (0.99, 100.0), (0.999, 300.0), (1.0, 400.0)];
    report.latency = steps.map(|(fraction, us)| Quantile { fraction, us: us * cpu_us }).to_vec();
    report
}
