//! One publisher: its window or its schedule, and the acknowledgements that it waits for.

use std::sync::atomic::{AtomicU64, Ordering};

use client::wire::{Ack, PacketKind};
use client::{QoS, ReasonCode, Version};

use super::template::Template;
use crate::connection::Connection;
use crate::payload::Stamp;

pub struct Publisher {
    pub connection: Connection,
    version: Version,
    template: Template,
    index: u32,
    sent: u64,
    /// Published and not acknowledged in full.
    unacknowledged: u64,
    next_packet_id: u16,
    /// Deliveries that each of its messages becomes.
    receivers: u64,
    /// Deliveries that never came and are not waited for.
    written_off: u64,
    arrived_before: u64,
}

impl Publisher {
    pub fn new(
        connection: Connection,
        version: Version,
        template: Template,
        index: u32,
        receivers: u64,
    ) -> Self {
        Publisher {
            connection,
            version,
            template,
            index,
            sent: 0,
            unacknowledged: 0,
            next_packet_id: 1,
            receivers,
            written_off: 0,
            arrived_before: 0,
        }
    }

    /// Publishes what the window has room for, in one write. `arrived` counts the deliveries of this publisher.
    pub fn top_up(&mut self, window: u64, arrived: &AtomicU64, now_ns: u64) -> Result<(), String> {
        let under_way = self.under_way(arrived).div_ceil(self.receivers.max(1)).max(self.unacknowledged);
        for _ in under_way..window {
            self.append(now_ns);
        }
        self.connection.flush()
    }

    /// Publishes one message that was due at `due_ns`. False: too many are not acknowledged yet, and it has to wait.
    pub fn publish_due(&mut self, due_ns: u64) -> Result<bool, String> {
        if self.unacknowledged >= UNACKNOWLEDGED_MAX {
            return Ok(false);
        }
        self.append(due_ns);
        self.connection.flush()?;
        Ok(true)
    }

    fn append(&mut self, due_ns: u64) {
        let stamp = Stamp { publisher: self.index, sequence: self.sent, due_ns };
        self.template.append(stamp, self.next_packet_id, &mut self.connection.output);
        self.sent += 1;
        if self.template.qos != QoS::AtMostOnce {
            self.unacknowledged += 1;
            self.next_packet_id = self.next_packet_id.checked_add(1).unwrap_or(1);
        }
    }

    fn under_way(&self, arrived: &AtomicU64) -> u64 {
        let done = arrived.load(Ordering::Relaxed) + self.written_off;
        (self.sent * self.receivers).saturating_sub(done)
    }

    /// Takes acknowledgements. False: the broker has closed the connection.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let Publisher { connection, unacknowledged, version, .. } = self;
        let open = connection.read(buffer, |frame, output| {
            let ack = Ack::decode(frame, *version).map_err(|violation| violation.to_string());
            match frame.kind {
                PacketKind::Puback | PacketKind::Pubcomp => {
                    check_reason(ack?.reason)?;
                    *unacknowledged = unacknowledged.saturating_sub(1);
                }
                PacketKind::Pubrec => {
                    let ack = ack?;
                    check_reason(ack.reason)?;
                    Ack::new(ack.packet_id).encode(PacketKind::Pubrel, *version, output);
                }
                kind => return Err(format!("the broker sent a {kind:?} to a publisher")),
            }
            Ok(())
        })?;
        if !open {
            return Err(format!("the broker closed the connection of publisher {}", self.index));
        }
        self.connection.flush()
    }

    /// A QoS 0 message that was dropped never frees its place in the window. After a while without any delivery the
    /// window opens again; what was under way counts as lost unless it arrives after all.
    pub fn write_off_if_stalled(&mut self, arrived: &AtomicU64) {
        let count = arrived.load(Ordering::Relaxed);
        let is_stalled = count == self.arrived_before && self.under_way(arrived) > 0;
        self.arrived_before = count;
        if is_stalled && self.template.qos == QoS::AtMostOnce {
            self.written_off += self.under_way(arrived);
        }
    }

    pub fn is_unfinished(&self, arrived: &AtomicU64) -> bool {
        self.unacknowledged > 0 || self.under_way(arrived) > 0
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }
}

fn check_reason(reason: ReasonCode) -> Result<(), String> {
    if reason.is_error() { Err(format!("the broker refused a message: {}", reason.name())) } else { Ok(()) }
}

/// Fewer than there are packet ids, so that none is used twice.
pub const UNACKNOWLEDGED_MAX: u64 = 60_000;
