//! Where the parts of a client put what they have to say: packets for the server, events for the user.

use std::collections::VecDeque;

use mqtt::{Ack, PacketId, PacketKind, ReasonCode, Version};

use crate::event::{Event, Token};

#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) version: Version,
    pub(crate) output: Vec<u8>,
    pub(crate) events: VecDeque<Event>,
}

impl Outlet {
    pub(crate) fn new(version: Version) -> Outlet {
        Outlet { version, output: Vec::new(), events: VecDeque::new() }
    }

    pub(crate) fn send_ack(&mut self, kind: PacketKind, packet_id: PacketId, reason: ReasonCode) {
        let ack = Ack { reason, ..Ack::new(packet_id) };
        ack.encode(kind, self.version, &mut self.output);
    }

    /// Appends what `encode` writes unless it is larger than `size_max`; says whether it was appended.
    pub(crate) fn send_within(&mut self, size_max: u32, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.output.len();
        encode(&mut self.output);
        let fits = u32::try_from(self.output.len() - before).is_ok_and(|size| size <= size_max);
        if !fits {
            self.output.truncate(before);
        }
        fits
    }

    pub(crate) fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn report_published(&mut self, token: Token, reason: ReasonCode) {
        self.report(Event::Published { token, reason, reason_string: None });
    }
}
