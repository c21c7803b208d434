//! What can be asked for, and sets of it.

use std::fmt;

/// What a client wants to do with a topic.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Publish,
    Subscribe,
    /// A message is about to be delivered.
    Receive,
    /// To publish with the retain flag: always besides `Publish`.
    Retain,
    /// To leave a will: always besides `Publish`.
    Will,
    /// To use the broker's administration; the topic is the name of what is to be done.
    Admin,
}

/// One question.
#[derive(Copy, Clone, Debug)]
pub struct Ask<'a> {
    pub action: Action,
    /// The topic name; for `Subscribe` the topic filter, with or without `$share/{group}/`.
    pub topic: &'a str,
    /// Of the message that is published or left as a will.
    pub qos: u8,
    /// Whether it has the retain flag.
    pub retain: bool,
}

/// A set of actions.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Actions(u8);

impl Action {
    pub const ALL: [Action; 6] =
        [Action::Publish, Action::Subscribe, Action::Receive, Action::Retain, Action::Will, Action::Admin];

    /// As rules write it.
    pub fn word(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
            Action::Receive => "receive",
            Action::Retain => "retain",
            Action::Will => "will",
            Action::Admin => "admin",
        }
    }

    pub fn of_word(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.word() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl<'a> Ask<'a> {
    /// A question without QoS and retain flag.
    pub fn new(action: Action, topic: &'a str) -> Ask<'a> {
        Ask { action, topic, qos: 0, retain: false }
    }

    pub(crate) fn is_publication(&self) -> bool {
        matches!(self.action, Action::Publish | Action::Will | Action::Retain)
    }

    /// What has to be allowed for it, each by itself.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Action> {
        let is_publication = self.is_publication();
        let publish = (is_publication && self.action != Action::Publish).then_some(Action::Publish);
        let retain =
            (is_publication && self.retain && self.action != Action::Retain).then_some(Action::Retain);
        [Some(self.action), publish, retain].into_iter().flatten()
    }
}

impl Actions {
    /// mosquitto's `read`. SUBSCRIBE itself is not asked there.
    pub const READ: Actions = Actions(1 << Action::Receive as u8);
    /// Whatever publishes.
    pub const WRITE: Actions =
        Actions(1 << Action::Publish as u8 | 1 << Action::Retain as u8 | 1 << Action::Will as u8);

    pub fn one(action: Action) -> Actions {
        Actions(1 << action as u8)
    }

    pub fn with(self, other: Actions) -> Actions {
        Actions(self.0 | other.0)
    }

    pub fn has(self, action: Action) -> bool {
        self.0 & Actions::one(action).0 != 0
    }

    /// As rules write it: one, or several by one word.
    pub fn of_word(word: &str) -> Option<Actions> {
        // Whoever may subscribe gets what is published, and whoever may not does not get it by a wider filter.
        let subscribe = Actions::one(Action::Subscribe).with(Actions::READ);
        match word {
            "read" | "subscribe" => Some(subscribe),
            "write" => Some(Actions::WRITE),
            "readwrite" => Some(subscribe.with(Actions::WRITE)),
            word => Action::of_word(word).map(Actions::one),
        }
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retained_will_needs_all_three() {
        let ask = Ask { retain: true, ..Ask::new(Action::Will, "a") };
        assert_eq!(ask.needs().collect::<Vec<_>>(), [Action::Will, Action::Publish, Action::Retain]);
        let ask = Ask { retain: true, ..Ask::new(Action::Receive, "a") };
        assert_eq!(ask.needs().collect::<Vec<_>>(), [Action::Receive]);
        let ask = Ask { retain: true, ..Ask::new(Action::Retain, "a") };
        assert_eq!(ask.needs().collect::<Vec<_>>(), [Action::Retain, Action::Publish]);
    }

    #[test]
    fn every_action_has_its_word() {
        for action in Action::ALL {
            assert_eq!(Action::of_word(action.word()), Some(action));
        }
        assert_eq!(Action::of_word("Publish"), None);
    }
}
