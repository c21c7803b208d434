//! Settings of how fast clients may be: how often they connect, and how much they send and get.

/// What holds everywhere, unless a listener says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    pub over: Over,
    pub burst_secs: u64,
    /// Addresses that begin with so many bits count as one.
    pub address_prefix_v4: u64,
    pub address_prefix_v6: u64,
    pub of: RatesOf,
}

/// By whom they hold for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RatesOf {
    pub client: Pace,
    pub user: Pace,
    pub address: Pace,
    pub listener: Pace,
}

/// Zero says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    pub connects_per_minute: u64,
    pub publish_messages_per_s: u64,
    pub publish_bytes_per_s: u64,
    pub receive_messages_per_s: u64,
    pub receive_bytes_per_s: u64,
}

impl Pace {
    /// Anything beside how often somebody connects.
    pub fn limits_messages(&self) -> bool {
        *self != Pace { connects_per_minute: self.connects_per_minute, ..Pace::default() }
    }
}

/// What becomes of a client that sends more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Wait,
    Disconnect,
}

impl Over {
    pub const ALL: [Over; 2] = [Over::Wait, Over::Disconnect];
}

impl RatesOf {
    /// These, and for what they do not name the others.
    pub fn or(self, other: RatesOf) -> RatesOf {
        RatesOf {
            client: self.client.or(other.client),
            user: self.user.or(other.user),
            address: self.address.or(other.address),
            listener: self.listener.or(other.listener),
        }
    }

    /// Who a client is has to be known for some of them.
    pub fn want_to_know(&self) -> bool {
        self.user != Pace::default() || self.address != Pace::default() || self.client.connects_per_minute > 0
    }
}

impl Pace {
    fn or(self, other: Pace) -> Pace {
        let or = |own: u64, theirs: u64| if own == 0 { theirs } else { own };
        Pace {
            connects_per_minute: or(self.connects_per_minute, other.connects_per_minute),
            publish_messages_per_s: or(self.publish_messages_per_s, other.publish_messages_per_s),
            publish_bytes_per_s: or(self.publish_bytes_per_s, other.publish_bytes_per_s),
            receive_messages_per_s: or(self.receive_messages_per_s, other.receive_messages_per_s),
            receive_bytes_per_s: or(self.receive_bytes_per_s, other.receive_bytes_per_s),
        }
    }
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            over: Over::Wait,
            burst_secs: 1,
            address_prefix_v4: 32,
            address_prefix_v6: 64,
            of: RatesOf::default(),
        }
    }
}
