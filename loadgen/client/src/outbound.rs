//! Publications on their way out: what waits, what is in flight, what the server's quota still allows.
//!
//! It lives as long as the session. The order of the list in flight is the order of first sending, which is the
//! order of every sending after it.

use std::collections::VecDeque;

use mqtt::{Ack, PacketId, PacketKind, QoS, ReasonCode, Version};

use crate::event::{Event, Token};
use crate::granted::Granted;
use crate::outlet::Outlet;
use crate::packet_id::PacketIds;
use crate::publication::{Publication, Sending};

#[derive(Debug)]
pub(crate) struct Outbound {
    in_flight: VecDeque<InFlight>,
    waiting: VecDeque<Waiting>,
    /// How many entries in flight have yet to be sent on this connection.
    unsent: usize,
    /// How much of the server's Receive Maximum is used up on this connection.
    quota_used: usize,
}

#[derive(Debug)]
struct InFlight {
    token: Token,
    packet_id: PacketId,
    stage: Stage,
    /// On this connection.
    sent: bool,
    /// Whether the PUBLISH was sent on this connection and so holds a place in the quota.
    in_quota: bool,
}

#[derive(Debug)]
enum Stage {
    /// Not acknowledged: the publication is kept, to be sent again on the next connection.
    Publishing(Publication),
    /// PUBREC has come: the server owns the message, and PUBREL is what would be sent again.
    Releasing,
}

#[derive(Debug)]
struct Waiting {
    token: Token,
    publication: Publication,
}

impl Outbound {
    pub(crate) fn new() -> Outbound {
        Outbound { in_flight: VecDeque::new(), waiting: VecDeque::new(), unsent: 0, quota_used: 0 }
    }

    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn in_flight_len(&self) -> usize {
        self.in_flight.len()
    }

    /// Takes a QoS 1 or 2 publication in. It is sent when its turn comes.
    pub(crate) fn enqueue(&mut self, token: Token, publication: Publication) {
        assert!(publication.qos != QoS::AtMostOnce, "QoS 0 has no session to wait in");
        self.waiting.push_back(Waiting { token, publication });
    }

    /// Sends a QoS 0 publication, which no quota holds back and no acknowledgement follows.
    pub(crate) fn send_at_most_once(
        &self,
        token: Token,
        publication: &Publication,
        granted: &Granted,
        outlet: &mut Outlet,
    ) {
        assert!(publication.qos == QoS::AtMostOnce, "only QoS 0 goes past the queue");
        let sent = send_publish(publication, None, false, granted, outlet);
        outlet.report_published(token, if sent { ReasonCode::Success } else { ReasonCode::PacketTooLarge });
    }

    /// A connection to the session of before: everything in flight is sent again, in the old order.
    pub(crate) fn resume(&mut self) {
        for entry in &mut self.in_flight {
            entry.sent = false;
            entry.in_quota = false;
        }
        self.unsent = self.in_flight.len();
        self.quota_used = 0;
    }

    /// A connection to a new session: what the server does not have is published anew, before what waits already.
    /// [MQTT-4.4.0-1] Redelivery with DUP and the old id belongs to a session that is present.
    pub(crate) fn restart(&mut self, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        let mut again = VecDeque::with_capacity(self.waiting.len());
        for entry in self.in_flight.drain(..) {
            packet_ids.release(entry.packet_id);
            match entry.stage {
                Stage::Publishing(publication) => {
                    again.push_back(Waiting { token: entry.token, publication });
                }
                // The server took the message with its PUBREC. Publishing it again could deliver it twice.
                Stage::Releasing => outlet.report_published(entry.token, ReasonCode::Success),
            }
        }
        again.append(&mut self.waiting);
        self.waiting = again;
        self.unsent = 0;
        self.quota_used = 0;
    }

    /// Sends all that may be sent now: first what was in flight before this connection, then what waits.
    pub(crate) fn send(
        &mut self,
        granted: &Granted,
        quota: usize,
        packet_ids: &mut PacketIds,
        outlet: &mut Outlet,
    ) {
        if self.unsent > 0 {
            self.resend(granted, quota, packet_ids, outlet);
        }
        while self.unsent == 0 && self.quota_used < quota {
            let Some(Waiting { token, publication }) = self.waiting.pop_front() else { return };
            if let Err(reason) = granted.check(&publication) {
                outlet.report_published(token, reason);
                continue;
            }
            let Some(packet_id) = packet_ids.take() else {
                self.waiting.push_front(Waiting { token, publication });
                return;
            };
            if !send_publish(&publication, Some(packet_id), false, granted, outlet) {
                packet_ids.release(packet_id);
                outlet.report_published(token, ReasonCode::PacketTooLarge);
                continue;
            }
            let stage = Stage::Publishing(publication);
            self.in_flight.push_back(InFlight { token, packet_id, stage, sent: true, in_quota: true });
            self.quota_used += 1;
        }
    }

    // The quota stops PUBLISH and nothing else, [MQTT-3.3.4-8]: a PUBREL goes out even behind a PUBLISH that waits.
    fn resend(&mut self, granted: &Granted, quota: usize, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        let mut oversized = false;
        for entry in &mut self.in_flight {
            if entry.sent {
                continue;
            }
            match &entry.stage {
                Stage::Releasing => {
                    outlet.send_ack(PacketKind::Pubrel, entry.packet_id, ReasonCode::Success);
                }
                Stage::Publishing(_) if self.quota_used >= quota => continue,
                Stage::Publishing(publication) => {
                    if send_publish(publication, Some(entry.packet_id), true, granted, outlet) {
                        entry.in_quota = true;
                        self.quota_used += 1;
                    } else {
                        oversized = true;
                    }
                }
            }
            entry.sent = true;
            self.unsent -= 1;
        }
        if oversized {
            self.drop_oversized(packet_ids, outlet);
        }
    }

    // A server that comes back with a smaller Maximum Packet Size cannot be given these any more.
    fn drop_oversized(&mut self, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        self.in_flight.retain(|entry| {
            let unsendable = entry.sent && !entry.in_quota && matches!(entry.stage, Stage::Publishing(_));
            if unsendable {
                packet_ids.release(entry.packet_id);
                outlet.report_published(entry.token, ReasonCode::PacketTooLarge);
            }
            !unsendable
        });
    }

    /// An acknowledgement of something unknown is ignored: after a resumption the server may answer twice.
    pub(crate) fn on_puback(&mut self, ack: &Ack<'_>, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        if let Some(at) = self.position(ack.packet_id, QoS::AtLeastOnce) {
            self.finish(at, ack, packet_ids, outlet);
        }
    }

    pub(crate) fn on_pubrec(&mut self, ack: &Ack<'_>, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        let Some(at) = self.position(ack.packet_id, QoS::ExactlyOnce) else {
            if !ack.reason.is_error() {
                let reason = match outlet.version {
                    Version::V5 => ReasonCode::PacketIdentifierNotFound,
                    Version::V31 | Version::V311 => ReasonCode::Success,
                };
                outlet.send_ack(PacketKind::Pubrel, ack.packet_id, reason);
            }
            return;
        };
        // [MQTT-4.3.3-4] A PUBREC with an error ends the exchange: no PUBREL follows.
        if ack.reason.is_error() {
            return self.finish(at, ack, packet_ids, outlet);
        }
        self.in_flight[at].stage = Stage::Releasing;
        outlet.send_ack(PacketKind::Pubrel, ack.packet_id, ReasonCode::Success);
    }

    pub(crate) fn on_pubcomp(&mut self, ack: &Ack<'_>, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        let at = self.position(ack.packet_id, QoS::ExactlyOnce);
        let Some(at) = at.filter(|&at| matches!(self.in_flight[at].stage, Stage::Releasing)) else { return };
        // A server to which the id is unknown has completed the exchange before: the message is delivered.
        let done = Ack { reason: ReasonCode::Success, ..ack.clone() };
        self.finish(at, &done, packet_ids, outlet);
    }

    // Acknowledgements come in the order of sending, so the search ends at the front.
    fn position(&self, packet_id: PacketId, qos: QoS) -> Option<usize> {
        self.in_flight.iter().position(|entry| {
            entry.packet_id == packet_id
                && entry.sent
                && match &entry.stage {
                    Stage::Publishing(publication) => publication.qos == qos,
                    Stage::Releasing => qos == QoS::ExactlyOnce,
                }
        })
    }

    fn finish(&mut self, at: usize, ack: &Ack<'_>, packet_ids: &mut PacketIds, outlet: &mut Outlet) {
        let entry = self.in_flight.remove(at).expect("the position was just found");
        if entry.in_quota {
            self.quota_used -= 1;
        }
        packet_ids.release(entry.packet_id);
        outlet.report(Event::Published {
            token: entry.token,
            reason: ack.reason,
            reason_string: ack.reason_string.map(str::to_owned),
        });
    }
}

fn send_publish(
    publication: &Publication,
    packet_id: Option<PacketId>,
    dup: bool,
    granted: &Granted,
    outlet: &mut Outlet,
) -> bool {
    let allowed = |alias: &u16| (1..=granted.topic_alias_maximum).contains(alias);
    let topic_alias = publication.properties.topic_alias.filter(allowed);
    let sending = Sending { version: outlet.version, dup, packet_id, topic_alias };
    outlet.send_within(granted.maximum_packet_size, |out| publication.encode(&sending, out))
}
