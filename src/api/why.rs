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
use shard::{Because, Look, Outcome, QoS, Seen, Step, Why};

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
        publishing = Some(ask(desk, &Look::WhyPublish(Box::new(why))).await?);
    }
    let receiving = ask(desk, &Look::WhyReceive(Box::new(receiver))).await?;
    Ok(answer::ok(&told(publishing.as_ref(), &receiving)))
}

/// The client's home has most to say: all others know of no session.
async fn ask(desk: &Desk, look: &Look) -> Result<Because, Trouble> {
    let answers = asking::look_everywhere(desk, look).await?.into_iter();
    let answers = answers.filter_map(|Looked { seen, .. }| match seen {
        Seen::Why(because) => Some(*because),
        _ => None,
    });
    let mut elsewhere = Vec::new();
    let best = answers
        .map(|mut because| {
            elsewhere.append(&mut because.elsewhere);
            because
        })
        .max_by_key(|because| because.steps.len());
    let mut best = best.ok_or_else(|| Trouble::from(answer::unavailable("no shard has answered")))?;
    best.steps.append(&mut elsewhere);
    Ok(best)
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
