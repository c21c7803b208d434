//! Why a client gets, or does not get, a message: the way of a message asked step by step, without one. Whoever asks changes
//! nothing; each step says what decides, and where that is written.

mod barring;
mod comings;
mod history;
mod near;
mod publishing;
mod receiving;
mod wished;

use std::{borrow::Cow, sync::Arc, time::Duration};

use mqtt::QoS;

use crate::{
    ComingsSeen, Config, Grant, Instant, Pause, Shard, connection::Connection, permission::Permissions,
};

/// A question to the home of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    pub client_id: Box<str>,
    /// Its whole name, with the mount point, if there is one.
    pub topic: Box<str>,
    pub qos: QoS,
    pub retain: bool,
    pub payload_bytes: Option<usize>,
    /// The other one of the two, if it is known.
    pub other: Option<Box<str>>,
}

/// The answer, in the order in which the broker goes by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    pub outcome: Outcome,
    pub steps: Vec<Step>,
    /// What each shard knows of the topic itself: a retained message, messages that were not taken in.
    pub elsewhere: Vec<Step>,
    /// Of the client. Its home tells of it in `steps`; what others have refused is told by who asks all of them.
    pub comings: ComingsSeen,
}

/// What would become of a message now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on its way at once.
    Goes,
    /// It waits, and goes when something else has happened.
    Waits,
    /// One of several gets it, by turns.
    Perhaps,
    /// It is not for this client.
    Misses,
    /// It is refused or dropped.
    Stops,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub about: &'static str,
    pub says: Says,
    /// A sentence without its stop.
    pub text: Box<str>,
    /// What decides it: a key of the configuration, or a rule as file and line.
    pub place: Option<Box<str>>,
    /// What it tells of has happened so long ago.
    pub ago: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Yes,
    No,
    Later,
    /// Something to know.
    Fact,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Goes => "goes",
            Outcome::Waits => "waits",
            Outcome::Perhaps => "perhaps",
            Outcome::Misses => "misses",
            Outcome::Stops => "stops",
        }
    }
}

impl Says {
    pub fn word(self) -> &'static str {
        match self {
            Says::Yes => "yes",
            Says::No => "no",
            Says::Later => "later",
            Says::Fact => "fact",
        }
    }
}

/// Steps while they are made.
#[derive(Default)]
struct Steps {
    steps: Vec<Step>,
}

impl Steps {
    fn add(&mut self, about: &'static str, says: Says, text: impl Into<Box<str>>) {
        self.steps.push(Step { about, says, text: text.into(), place: None, ago: None });
    }

    fn add_at(&mut self, about: &'static str, says: Says, text: impl Into<Box<str>>, place: &str) {
        self.steps.push(Step { about, says, text: text.into(), place: Some(place.into()), ago: None });
    }

    fn add_ago(&mut self, about: &'static str, text: impl Into<Box<str>>, ago: Duration) {
        self.steps.push(Step { about, says: Says::Fact, text: text.into(), place: None, ago: Some(ago) });
    }

    fn add_pause(&mut self, pause: Pause) {
        let Pause { about, text, place } = pause;
        self.steps.push(Step { about, says: Says::Later, text, place, ago: None });
    }

    fn because(self, outcome: Outcome) -> Because {
        Because { outcome, steps: self.steps, elsewhere: Vec::new(), comings: ComingsSeen::default() }
    }

    /// What the rules say. False: they do not allow it.
    fn add_ruling(
        &mut self,
        permissions: &Permissions,
        connection: &Connection,
        config: &Config,
        client_id: &str,
        ask: &access::Ask<'_>,
    ) -> bool {
        let ruling = permissions.rule(connection, config, client_id, ask);
        let says = if ruling.is_allowed { Says::Yes } else { Says::No };
        let place = ruling.place.map(String::into_boxed_str);
        let text = format!("the rules say of \"{}\": {}", ask.action.word(), ruling.text);
        self.steps.push(Step { about: "rules", says, text: text.into(), place, ago: None });
        ruling.is_allowed
    }
}

/// What the rules say to a question, and where.
pub(crate) struct Ruling {
    pub is_allowed: bool,
    pub text: String,
    pub place: Option<String>,
}

impl Ruling {
    pub fn of(explanation: &access::Explanation<'_>) -> Ruling {
        let place = explanation.place.location().map(Cow::into_owned);
        Ruling { is_allowed: explanation.is_allowed, text: explanation.to_string(), place }
    }
}

impl Shard {
    /// How it left, if it is away and that is known.
    fn add_departure(&self, client_id: &str, now: Instant, steps: &mut Steps) {
        let has_session = self.sessions.find(client_id).is_some();
        let Some(departure) = self.departures.of(client_id, has_session) else { return };
        let who = user_words(departure.grant.as_ref());
        let ago = now.since(departure.left_at);
        let (listener, left, why) = (&departure.listener, words(ago), &departure.why);
        let text = format!("it was here {who} by {listener}, and left {left} ago: {why}");
        steps.add_ago("left", text, ago);
    }
}

/// A span as people say it: of a long one the seconds are left out.
pub(crate) fn words(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn user_words(grant: Option<&Arc<Grant>>) -> String {
    match grant.and_then(|grant| grant.user.as_deref()) {
        Some(user) => format!("as user {user}"),
        None => "without a user name".to_owned(),
    }
}
