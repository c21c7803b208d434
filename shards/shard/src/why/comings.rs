//! How a client comes, in words: that it is not let in, and that it comes again and again.

use super::{Says, Step, Steps, words};
use crate::{
    BreaksSeen, ComingsSeen, Instant, Presence, RefusalSeen, RefusedSeen, Shard, breaks::OFTEN,
    losses::TOPIC_BYTES_MAX,
};

impl Shard {
    /// At its home. What other shards have refused is told beside it by who has heard them all.
    pub(super) fn add_comings(&self, client_id: &str, now: Instant, steps: &mut Steps) {
        if self.placement.client(client_id) != self.id {
            return;
        }
        let ComingsSeen { refused, breaks, presence, .. } = self.comings_seen(client_id, now);
        steps.steps.extend(refused.map(|refused| refused.step(client_id, presence)));
        if let Some(breaks) = breaks {
            steps.add("reconnects", Says::Fact, breaks.text());
        }
    }
}

impl RefusedSeen {
    /// Without a stop. `presence`: of the client whose id it is.
    pub fn text(&self, presence: Option<Presence>) -> String {
        let who = match presence {
            _ if self.keeps_away(presence) => "it is",
            Some(Presence::Here { .. }) => "another connection with its client id is",
            _ => "while it was here, another connection with its client id was",
        };
        let told = match (&self.cause, &self.wait) {
            (Some(cause), Some(wait)) => {
                let is_other = (&cause.user, cause.address) != (&wait.user, wait.address);
                let whose = if is_other { wait.whose() } else { String::new() };
                let (cause, whose_cause) = (cause.text(), cause.whose());
                format!("{cause}{whose_cause}; besides, it was told to come later: {}{whose}", wait.text())
            }
            (cause, wait) => cause.iter().chain(wait).map(|one| one.text() + &one.whose()).collect(),
        };
        format!("{who} not let in: {told}")
    }

    /// The client itself, as far as anybody can know.
    fn keeps_away(&self, presence: Option<Presence>) -> bool {
        match presence {
            Some(Presence::Here { .. }) => false,
            Some(Presence::Gone { until, .. }) => self.last().is_some_and(|last| last >= until),
            None => true,
        }
    }

    /// Where the next one is seen. A client id that a shell would take apart is left out.
    pub fn place(client_id: &str) -> String {
        let events = "iothub ctl events --kind refused";
        if is_word(client_id) { format!("{events} -i {client_id}") } else { events.to_owned() }
    }

    pub fn step(&self, client_id: &str, presence: Option<Presence>) -> Step {
        Step {
            about: "let_in",
            says: if self.keeps_away(presence) { Says::No } else { Says::Fact },
            text: self.text(presence).into(),
            place: Some(RefusedSeen::place(client_id).into()),
            ago: self.latest().map(|refusal| refusal.last_ago),
        }
    }
}

impl RefusalSeen {
    fn text(&self) -> String {
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        format!("{}, {times}, the last {} ago", self.why, words(self.last_ago))
    }

    fn whose(&self) -> String {
        let from = self.address.map_or(String::new(), |address| format!(", from {address}"));
        let user = self.user.as_ref().map_or(String::new(), |user| format!(" as user {user:?}"));
        from + &user
    }
}

impl BreaksSeen {
    /// Without a stop.
    pub fn text(&self) -> String {
        let BreaksSeen { ended, taken_over, addresses, .. } = self;
        let within = words(self.within);
        if *taken_over < OFTEN {
            return format!(
                "its connection ended {ended} times in the last {within} without its DISCONNECT: it comes again and again"
            );
        }
        let meaning = match addresses[..] {
            [one, other] => format!(
                ", by connections from {other} and {one}: two devices have the same client id, or one that moves connects again while its \
                 connection before still stands"
            ),
            [one] => format!(
                ", by connections from {one}: two devices or programs there have the same client id, or one connects again while its \
                 connection before still stands"
            ),
            _ => ": two programs have the same client id, or one connects again while its connection before still stands"
                .to_owned(),
        };
        format!("it was taken over {taken_over} times in the last {within}{meaning}")
    }
}

/// A shell leaves it as it is, and so does a command.
pub(super) fn is_word(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/@%+,".contains(letter);
    name.len() <= TOPIC_BYTES_MAX && !name.starts_with('-') && name.chars().all(is_plain)
}
