//! `/v1/why`: why a client would get a message, or not. Its home shard answers, and the publisher's.

use axum::{
    extract::State,
    http::Method,
    response::Response,
    routing::{get, post},
};
use runtime::{Desk, Looked};
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Because, Look, Outcome, QoS, Seen, ShardId, Step, Why};

use super::{
    answer::{self, Input, Parameters},
    asking::{self, Trouble},
    context::Context,
    operation::{Access, Operation},
    rows::moment,
    token_list::Role,
};

/// Where it is asked.
pub const WHY: &str = "/v1/why";

pub const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: WHY,
        access: Access::Role(Role::Viewer),
        summary: "Why a client would get a message on a topic now, or not, step by step",
        handler: || get(by_parameters),
    },
    Operation {
        method: Method::POST,
        path: WHY,
        access: Access::Role(Role::Viewer),
        summary: "The same with the question in the body, where client ids and topics may be as long as in MQTT",
        handler: || post(by_body),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    client_id: Box<str>,
    topic: Box<str>,
    publisher: Option<Box<str>>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    payload_bytes: Option<usize>,
}

async fn by_parameters(
    State(context): State<Context>,
    Parameters(question): Parameters<Question>,
) -> Result<Response, Trouble> {
    why(&context, question).await
}

async fn by_body(
    State(context): State<Context>,
    Input(question): Input<Question>,
) -> Result<Response, Trouble> {
    why(&context, question).await
}

async fn why(context: &Context, question: Question) -> Result<Response, Trouble> {
    let Question { client_id, topic, publisher, qos, retain, payload_bytes } = question;
    if !shard::is_topic_name(&topic) {
        return Err(answer::refused("topic: expected a topic, without wildcards").into());
    }
    let Ok(qos) = QoS::try_from(qos) else {
        return Err(answer::refused("qos: expected 0, 1 or 2").into());
    };
    if payload_bytes.is_some_and(|bytes| bytes > PAYLOAD_BYTES_MAX) {
        return Err(answer::refused("payload_bytes: no packet is as long as that").into());
    }
    let desk = asking::desk(context)?;
    let receiver = Why { client_id, topic, qos, retain, payload_bytes, other: publisher.clone() };
    let mut publishing = None;
    if let Some(publisher) = publisher {
        let why = Why { client_id: publisher, other: Some(receiver.client_id.clone()), ..receiver.clone() };
        publishing = Some(ask(desk, why, Look::WhyPublish).await?);
    }
    let receiving = ask(desk, receiver, Look::WhyReceive).await?;
    Ok(answer::ok(&told(publishing.as_ref(), &receiving)))
}

async fn ask(desk: &Desk, why: Why, look: impl Fn(Box<Why>) -> Look) -> Result<Because, Trouble> {
    let client_id = why.client_id.clone();
    let answers = asking::look_everywhere(desk, &look(Box::new(why))).await?.into_iter();
    let answers = answers.filter_map(|Looked { seen, .. }| match seen {
        Seen::Why(because) => Some(*because),
        _ => None,
    });
    let because = whole(answers.collect(), desk.home_of_client(&client_id), &client_id);
    because.ok_or_else(|| answer::unavailable("no shard has answered").into())
}

/// What the client's home says, and what else others know, who stand in their order.
fn whole(mut answers: Vec<Because>, home: ShardId, client_id: &str) -> Option<Because> {
    let elsewhere: Vec<Step> =
        answers.iter_mut().flat_map(|because| std::mem::take(&mut because.elsewhere)).collect();
    let mut because = (home.index() < answers.len()).then(|| answers.remove(home.index()))?;
    let others = answers.into_iter().map(|other| other.comings);
    because.steps.extend(elsewhere);
    because.steps.extend(because.comings.steps_with(others, client_id));
    Some(because)
}

/// What the publisher cannot publish nobody gets.
fn told(publishing: Option<&Because>, receiving: &Because) -> Value {
    let outcome = match (publishing.map(|because| because.outcome), receiving.outcome) {
        (Some(Outcome::Stops), _) => Outcome::Stops,
        (Some(Outcome::Waits), Outcome::Goes) => Outcome::Waits,
        (_, outcome) => outcome,
    };
    let steps = |because: &Because| because.steps.iter().map(step).collect::<Vec<_>>();
    json!({ "outcome": outcome.word(), "publisher": publishing.map(steps), "client": steps(receiving) })
}

/// What the length of an MQTT packet can say.
const PAYLOAD_BYTES_MAX: usize = 268_435_455;

fn step(step: &Step) -> Value {
    json!({
        "about": step.about,
        "says": step.says.word(),
        "text": step.text,
        "place": step.place,
        "at": step.ago.map(moment),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shard::{ComingsSeen, Instant, Presence, RefusalSeen, RefusedSeen, Says};

    use super::*;

    fn because(abouts: &[&'static str]) -> Because {
        let step = |about: &&'static str| Step {
            about,
            says: Says::No,
            text: "home".into(),
            place: None,
            ago: None,
        };
        let steps = abouts.iter().map(step).collect();
        Because { outcome: Outcome::Misses, steps, elsewhere: Vec::new(), comings: ComingsSeen::default() }
    }

    /// At this moment, by a shard that is not its home.
    fn refused(at: u64) -> ComingsSeen {
        let (last, ago) = (Instant::START.add_secs(at), Duration::from_secs(1));
        let why = "server.max_connections is reached".into();
        let wait =
            RefusalSeen { count: 1, last, first_ago: ago, last_ago: ago, why, user: None, address: None };
        let refused = RefusedSeen { cause: None, wait: Some(wait) };
        ComingsSeen { refused: Some(refused), ..ComingsSeen::default() }
    }

    fn texts(because: &Because) -> Vec<(&str, &str)> {
        because.steps.iter().map(|step| (step.about, &*step.text)).collect()
    }

    #[test]
    fn the_home_answers_however_much_others_say_and_each_refusal_stands_there_once() {
        let elsewhere = |at| Because { comings: refused(at), ..because(&["session", "left", "losses"]) };
        let answers = vec![elsewhere(10), because(&["session", "let_in"]), elsewhere(20)];
        let whole = super::whole(answers, ShardId(1), "c").expect("its home has answered");
        let said = "it is not let in: server.max_connections is reached, 2 times, the last 1 s ago";
        assert_eq!(texts(&whole), [("session", "home"), ("let_in", "home"), ("let_in", said)]);
    }

    #[test]
    fn what_another_shard_refused_before_the_client_was_let_in_is_not_told() {
        for (at, count) in [(10, 0), (70, 1)] {
            let mut home = because(&["session"]);
            home.comings.presence = Some(Presence::Here { since: Instant::START.add_secs(60) });
            let other = Because { comings: refused(at), ..because(&["session"]) };
            let whole = super::whole(vec![home, other], ShardId(0), "c").expect("its home has answered");
            let told: Vec<_> = whole.steps.iter().filter(|step| step.about == "let_in").collect();
            assert_eq!(told.len(), count, "{told:?}");
            assert!(told.iter().all(|step| step.says == Says::Fact), "it is here: {told:?}");
        }
    }
}
