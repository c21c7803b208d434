//! Why a packet ends its connection: by what the client has done, never by the reason code that it is told.

use mqtt::{ReasonCode, Violation};

use crate::{ConnId, Shard, What, ending::WillFate, turn::Turn};

pub(crate) enum Breach {
    /// Of the protocol's rules.
    Protocol(Violation),
    /// Of a limit of ours, and of no rule. Which one it was counts whoever finds it exceeded.
    Limit(&'static str),
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
            Breach::Limit(why) => {
                self.counters.quota_exceeded += 1;
                (ReasonCode::QuotaExceeded, why, What::QuotaExceeded { why })
            }
        };
        self.end_connection(conn, Some((reason, why)), what, WillFate::Publish, turn);
    }
}
