//! How a client comes, in words: that it is not let in, and that it comes again and again.

use super::{Says, Step, Steps, words};
use crate::{BreaksSeen, ComingsSeen, Instant, RefusedSeen, Shard, breaks::OFTEN, losses::TOPIC_BYTES_MAX};

impl Shard {
    /// At its home.
    pub(super) fn add_comings(&self, client_id: &str, now: Instant, steps: &mut Steps) {
        let session = self.sessions.find(client_id);
        let is_here = session.is_some_and(|session| self.sessions[session].conn.is_some());
        let ComingsSeen { refused, breaks } = self.comings_seen(client_id, now);
        steps.steps.extend(refused.map(|refused| refused.step(client_id, is_here)));
        if let Some(breaks) = breaks {
            steps.add("reconnects", Says::Fact, breaks.text());
        }
    }

    /// A shard that is not its home has refused it where no connection has room any more, or its version is not taken.
    pub(super) fn refused_elsewhere(&self, client_id: &str, now: Instant) -> Option<Step> {
        if self.placement.client(client_id) == self.id {
            return None;
        }
        let refused = self.comings_seen(client_id, now).refused;
        refused.map(|refused| refused.step(client_id, false))
    }
}

impl RefusedSeen {
    /// Of two shards, the last refusal before all.
    pub fn and(self, other: RefusedSeen) -> RefusedSeen {
        let (last, earlier) = if self.last_ago <= other.last_ago { (self, other) } else { (other, self) };
        let (count, first_ago) = (last.count + earlier.count, last.first_ago.max(earlier.first_ago));
        RefusedSeen { count, first_ago, ..last }
    }

    /// Without a stop. `is_here`: some client of that name is.
    pub fn text(&self, is_here: bool) -> String {
        let who = if is_here { "another connection with its client id" } else { "it" };
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        let from = self.address.map_or(String::new(), |address| format!(", from {address}"));
        let user = self.user.as_ref().map_or(String::new(), |user| format!(" as user {user:?}"));
        let (why, last) = (&self.why, words(self.last_ago));
        format!("{who} is not let in: {why}, {times}, the last {last} ago{from}{user}")
    }

    /// Where the next one is seen. A client id that a shell would take apart is left out.
    pub fn place(client_id: &str) -> String {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/@%+,".contains(letter);
        let is_word = client_id.len() <= TOPIC_BYTES_MAX
            && !client_id.starts_with('-')
            && client_id.chars().all(is_plain);
        let events = "iothub ctl events --kind refused";
        if is_word { format!("{events} -i {client_id}") } else { events.to_owned() }
    }

    fn step(&self, client_id: &str, is_here: bool) -> Step {
        Step {
            about: "let_in",
            says: if is_here { Says::Fact } else { Says::No },
            text: self.text(is_here).into(),
            place: Some(RefusedSeen::place(client_id).into()),
            ago: Some(self.last_ago),
        }
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
