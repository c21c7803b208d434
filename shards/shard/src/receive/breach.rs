//! Why a packet ends its connection: by what the client has done, never by the reason code that it is told.

use mqtt::{ReasonCode, Violation};

use crate::{ConnId, Counters, Shard, What, ending::WillFate, turn::Turn};

pub(crate) enum Breach {
    /// Of the protocol's rules.
    Protocol(Violation),
    /// Of a limit of ours, and of no rule.
    Quota(Quota),
}

/// A limit of what a client may have begun or left behind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Quota {
    ReceiveMemory,
    AliasMemory,
    PacketTime,
    Filters,
}

impl Quota {
    fn text(self) -> &'static str {
        match self {
            Quota::ReceiveMemory => {
                "unfinished packets of all clients fill max_receive_memory, and this one has not gone on for longest"
            }
            Quota::AliasMemory => {
                "topics behind aliases of all clients fill their part of max_receive_memory"
            }
            Quota::PacketTime => "a packet did not go on for packet_timeout_secs",
            Quota::Filters => FILTERS_EXCEEDED,
        }
    }

    fn count(self, counters: &mut Counters) {
        let count = match self {
            Quota::ReceiveMemory => &mut counters.ended_receive_memory,
            Quota::AliasMemory => &mut counters.ended_alias_memory,
            Quota::PacketTime => &mut counters.packet_timeouts,
            Quota::Filters => &mut counters.ended_filters,
        };
        *count += 1;
        let is_memory = matches!(self, Quota::ReceiveMemory | Quota::AliasMemory);
        counters.receive_memory_exceeded += u64::from(is_memory);
    }
}

impl From<Quota> for Breach {
    fn from(quota: Quota) -> Breach {
        Breach::Quota(quota)
    }
}

impl From<Violation> for Breach {
    fn from(violation: Violation) -> Breach {
        Breach::Protocol(violation)
    }
}

impl Shard {
    pub(super) fn end_for_breach(&mut self, conn: ConnId, breach: Breach, turn: &mut Turn<'_>) {
        let (reason, why, what) = match breach {
            Breach::Protocol(Violation { reason, what }) => {
                self.counters.violations += 1;
                let is_too_large = reason == ReasonCode::PacketTooLarge;
                self.counters.packets_too_large += u64::from(is_too_large);
                let what =
                    if is_too_large { "the packet is larger than server.max_packet_size" } else { what };
                (reason, what, What::Violation { reason, what })
            }
            Breach::Quota(quota) => {
                quota.count(&mut self.counters);
                let why = quota.text();
                (ReasonCode::QuotaExceeded, why, What::QuotaExceeded { why })
            }
        };
        self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
    }
}

pub(crate) const FILTERS_PER_PACKET_MAX: usize = 10_000;
const FILTERS_EXCEEDED: &str = "more than 10,000 filters in one packet";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_too_many_filters_is_told_how_many_may_be_sent() {
        let said: String = Quota::Filters.text().chars().filter(char::is_ascii_digit).collect();
        assert_eq!(said, FILTERS_PER_PACKET_MAX.to_string());
    }
}
