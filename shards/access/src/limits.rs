//! What roles limit besides topics: the QoS of publications, and rates in both directions.

use core::num::NonZeroU64;

/// The limits of one session. `None`: the rules name none.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Limits {
    /// The highest QoS that it may publish with and be granted.
    pub qos_max: Option<u8>,
    pub publish_messages_per_s: Option<NonZeroU64>,
    pub publish_bytes_per_s: Option<NonZeroU64>,
    pub receive_messages_per_s: Option<NonZeroU64>,
    pub receive_bytes_per_s: Option<NonZeroU64>,
}

/// One of them, by its name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Limit {
    QosMax,
    PublishMessages,
    PublishBytes,
    ReceiveMessages,
    ReceiveBytes,
}

impl Limit {
    pub const ALL: [Limit; 5] = [
        Limit::QosMax,
        Limit::PublishMessages,
        Limit::PublishBytes,
        Limit::ReceiveMessages,
        Limit::ReceiveBytes,
    ];

    /// As roles write it.
    pub fn word(self) -> &'static str {
        match self {
            Limit::QosMax => "qos_max",
            Limit::PublishMessages => "publish_messages_per_s",
            Limit::PublishBytes => "publish_bytes_per_s",
            Limit::ReceiveMessages => "receive_messages_per_s",
            Limit::ReceiveBytes => "receive_bytes_per_s",
        }
    }
}

impl Limits {
    pub fn of(&self, limit: Limit) -> Option<u64> {
        let rate = match limit {
            Limit::QosMax => return self.qos_max.map(u64::from),
            Limit::PublishMessages => self.publish_messages_per_s,
            Limit::PublishBytes => self.publish_bytes_per_s,
            Limit::ReceiveMessages => self.receive_messages_per_s,
            Limit::ReceiveBytes => self.receive_bytes_per_s,
        };
        rate.map(NonZeroU64::get)
    }

    /// Of several roles, each limit is the highest that any of them names; a role that does not name it has no say.
    pub fn or_higher(self, other: Limits) -> Limits {
        Limits {
            qos_max: self.qos_max.max(other.qos_max),
            publish_messages_per_s: self.publish_messages_per_s.max(other.publish_messages_per_s),
            publish_bytes_per_s: self.publish_bytes_per_s.max(other.publish_bytes_per_s),
            receive_messages_per_s: self.receive_messages_per_s.max(other.receive_messages_per_s),
            receive_bytes_per_s: self.receive_bytes_per_s.max(other.receive_bytes_per_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_named_limit_counts() {
        let slow =
            Limits { qos_max: Some(0), publish_messages_per_s: NonZeroU64::new(5), ..Limits::default() };
        let fast = Limits { publish_messages_per_s: NonZeroU64::new(9), ..Limits::default() };
        let both = slow.or_higher(fast);
        assert_eq!(both, fast.or_higher(slow));
        assert_eq!(both.publish_messages_per_s, NonZeroU64::new(9));
        assert_eq!(both.qos_max, Some(0), "the other names none");
        assert_eq!(both.receive_bytes_per_s, None);
    }
}
