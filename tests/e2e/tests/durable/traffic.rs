//! The publications whose fate is followed: a number in each, counted per topic, and a payload that follows from both.

use client::{Message, Publication, QoS};

pub const PUBLISHERS: u64 = 4;
/// Of each publisher.
pub const TOPICS: u64 = 3;

/// One publication of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    pub publisher: u64,
    pub topic: u64,
    /// From 0 on, without a gap.
    pub number: u64,
    pub qos: QoS,
    /// Its topic has no further ones.
    pub is_last: bool,
}

impl Numbered {
    pub fn publication(&self) -> Publication {
        Publication::new(format!("run/{}/{}", self.publisher, self.topic), self.payload(), self.qos)
    }

    /// Fails at anything that was not published like this.
    #[track_caller]
    pub fn of(message: &Message) -> Numbered {
        let levels: Vec<&str> = message.topic.split('/').collect();
        let ["run", publisher, topic] = levels[..] else { panic!("nobody publishes {message:?}") };
        let text = String::from_utf8_lossy(&message.payload);
        let mut words = text.split(' ');
        let number: u64 = words.next().unwrap().parse().unwrap();
        let qos = QoS::try_from(words.next().unwrap().parse::<u8>().unwrap()).unwrap();
        let is_last = words.next() == Some("last");
        let (publisher, topic) = (publisher.parse().unwrap(), topic.parse().unwrap());
        let numbered = Numbered { publisher, topic, number, qos, is_last };
        assert_eq!(numbered.payload(), message.payload, "the payload was changed");
        numbered
    }

    fn payload(&self) -> Vec<u8> {
        let is_last = if self.is_last { "last" } else { "more" };
        let mut payload = format!("{} {} {is_last} ", self.number, self.qos as u8).into_bytes();
        // Most are small, some fill a few blocks of the log.
        let mix = (self.number + 31 * self.topic + 7 * self.publisher).wrapping_mul(0x9e37_79b9);
        let bytes = if mix.is_multiple_of(32) { mix % 20_000 } else { mix % 200 };
        payload.extend((0..bytes).map(|at| b'a' + ((at + mix) % 26) as u8));
        payload
    }
}
