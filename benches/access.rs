//! Permissions with 10,000 rules: one question of a holder, and finding what applies to a client.

use std::{
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

use access::{Action, Ask, Fallback, Holder, Memory, Profiles, Rules, Who};
use benches::{Operation, Topics};
use criterion::{Criterion, criterion_group};

/// What the rules look like.
#[derive(Copy, Clone)]
enum Shape {
    /// mosquitto's: all for one user, one filter in ten with a wildcard.
    List,
    /// mosquitto's: patterns that differ before and behind the client id.
    Patterns,
    /// Ours: ten roles of one client, a tenth of the rules denials.
    Roles,
}

const SHAPES: [(&str, Shape); 3] =
    [("list", Shape::List), ("patterns", Shape::Patterns), ("roles", Shape::Roles)];

fn questions(criterion: &mut Criterion) {
    for (name, shape) in SHAPES {
        let (rules, topics) = filled(shape);
        let holder = rules.holder(&who("client-7"));
        let allowed = topics.iter().filter(|topic| is_allowed(&holder, topic)).count();
        println!("{name}: {allowed} of {} allowed", topics.len());
        let mut next = topics.iter().cycle();
        criterion.bench_function(&format!("access/{name}/random topics"), |bencher| {
            bencher.iter(|| is_allowed(&holder, black_box(next.next().expect("a cycle has no end"))));
        });
        criterion.bench_function(&format!("access/{name}/one topic"), |bencher| {
            bencher.iter(|| is_allowed(&holder, black_box(&topics[0])));
        });
        let mut memory = Memory::new();
        let mut next = topics[..REPEATED].iter().cycle();
        criterion.bench_function(&format!("access/{name}/50 topics, remembered"), |bencher| {
            bencher.iter(|| {
                let topic = black_box(next.next().expect("a cycle has no end"));
                memory.check(&holder, &Ask::new(Action::Publish, topic)).is_allowed
            });
        });
    }
}

fn holders(criterion: &mut Criterion) {
    let (rules, _) = filled(Shape::Roles);
    let mut profiles = Profiles::new(&rules);
    criterion.bench_function("access/roles/holder", |bencher| {
        bencher.iter(|| profiles.holder(&who(black_box("client-7"))));
    });
}

criterion_group!(benches, questions, holders);

fn main() {
    let mut operations: Vec<Operation> = SHAPES
        .into_iter()
        .map(|(name, shape)| {
            Operation::new(format!("check-{name}-10k"), 50_000, move |rounds| count(shape, rounds))
        })
        .collect();
    operations.push(Operation::new("remembered-10k", 50_000, count_remembered));
    operations.push(Operation::new("holder-10k", 50_000, count_holders));
    if std::env::args().any(|word| word == "--latencies") {
        SHAPES.into_iter().for_each(|(name, shape)| time_each(name, shape));
    } else if !benches::is_counting(&operations) {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

/// What a question takes that was not asked before, with the two looks at the clock around it.
fn time_each(name: &str, shape: Shape) {
    let (rules, topics) = filled(shape);
    let holder = rules.holder(&who("client-7"));
    let timed = |topic: &String| {
        let begin = Instant::now();
        black_box(is_allowed(&holder, black_box(topic)));
        begin.elapsed()
    };
    let mut taken: Vec<Duration> = topics.iter().map(timed).collect();
    taken.sort();
    let at = |share: f64| taken[(taken.len() as f64 * share) as usize];
    println!("{name}: p50 {:?}, p99 {:?}, p99.9 {:?}", at(0.5), at(0.99), at(0.999));
}

fn count(shape: Shape, rounds: usize) {
    let (rules, topics) = filled(shape);
    let holder = rules.holder(&who("client-7"));
    for topic in topics.iter().cycle().take(rounds) {
        black_box(is_allowed(&holder, topic));
    }
}

fn count_remembered(rounds: usize) {
    let (rules, topics) = filled(Shape::Roles);
    let (holder, mut memory) = (rules.holder(&who("client-7")), Memory::new());
    for topic in topics[..REPEATED].iter().cycle().take(rounds) {
        black_box(memory.check(&holder, &Ask::new(Action::Publish, topic)));
    }
}

fn count_holders(rounds: usize) {
    let (rules, _) = filled(Shape::Roles);
    let mut profiles = Profiles::new(&rules);
    for _ in 0..rounds {
        black_box(profiles.holder(&who(black_box("client-7"))));
    }
}

fn is_allowed(holder: &Holder, topic: &str) -> bool {
    holder.check(&Ask::new(Action::Publish, topic)).is_allowed
}

fn who(client_id: &str) -> Who<'_> {
    Who { client_id, user: Some("anna"), is_authenticated: true, ..Who::default() }
}

/// The rules, and topics of which some have a rule.
fn filled(shape: Shape) -> (Rules, Vec<String>) {
    let mut topics = Topics::new(RULES);
    let mut text = match shape {
        Shape::List => "user anna\n".to_owned(),
        Shape::Patterns => String::new(),
        Shape::Roles => "[users]\nanna = [\"r0\", \"r1\", \"r2\", \"r3\", \"r4\", \"r5\", \"r6\", \"r7\", \"r8\", \"r9\"]\n".to_owned(),
    };
    for at in 0..RULES {
        let filter = topics.filter();
        match shape {
            Shape::List => writeln!(text, "topic write {filter}"),
            Shape::Patterns => writeln!(text, "pattern write p{}/%c/{filter}", at % 100),
            Shape::Roles if at % (RULES / 10) == 0 => {
                let end = if at == 0 { "" } else { "]\n" };
                writeln!(text, "{end}[roles.r{}]\nrules = [", at / (RULES / 10))
            }
            Shape::Roles => {
                let word = if at % 10 == 0 { "deny" } else { "allow" };
                writeln!(text, "{{ {word} = \"write\", topics = \"{filter}\" }},")
            }
        }
        .expect("strings take everything");
    }
    let layer = match shape {
        Shape::Roles => access::own::parse("rules", &format!("{text}]\n")),
        _ => access::mosquitto::parse("acl", &text),
    };
    let layer = layer.expect("the rules are well formed");
    let asked = (0..TOPICS).map(|at| match shape {
        Shape::Patterns => format!("p{}/client-7/{}", at % 100, topics.topic()),
        _ => topics.topic(),
    });
    let asked = asked.collect();
    (Rules::builder(Fallback::Deny).layer(layer).build(), asked)
}

const RULES: usize = 10_000;
const TOPICS: usize = 65_536;
/// How many topics are asked about over and over.
const REPEATED: usize = 50;
