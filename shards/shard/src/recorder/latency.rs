//! How long packets took until they were acknowledged: told when somebody looks, from the times that are kept anyway.

use std::collections::BTreeMap;

use mqtt::{PacketKind, QoS};

use super::{Detail, Direction, Recorded};

/// Packets whose acknowledgement has not gone by yet, each with what whoever looks knows of it, by whose they are.
#[derive(Debug)]
pub struct Unacknowledged<K, T> {
    waiting: BTreeMap<(K, Direction, u16), (PacketKind, T)>,
    most: usize,
}

impl<K: Ord, T> Unacknowledged<K, T> {
    /// With more than `most` at once, all are forgotten.
    pub fn new(most: usize) -> Unacknowledged<K, T> {
        Unacknowledged { waiting: BTreeMap::new(), most }
    }

    /// A packet that goes by, the oldest first. What is known of the one that it acknowledges comes back.
    pub fn pass(&mut self, of: K, packet: &Recorded, known: T) -> Option<T> {
        if packet.packet_id == 0 {
            return None;
        }
        if let Some(answer) = answer_to(packet) {
            if self.waiting.len() >= self.most {
                self.waiting.clear();
            }
            // One that is sent again is acknowledged from then on.
            self.waiting.insert((of, packet.direction, packet.packet_id), (answer, known));
            return None;
        }
        let key = (of, packet.direction.other(), packet.packet_id);
        let is_answer = self.waiting.get(&key).is_some_and(|(answer, _)| *answer == packet.kind);
        if !is_answer {
            return None;
        }
        self.waiting.remove(&key).map(|(_, known)| known)
    }
}

/// Of the last packets of a client, the oldest first.
pub(crate) fn tell_latencies(packets: &mut [Recorded]) {
    let mut waiting = Unacknowledged::new(packets.len().max(1));
    for at in 0..packets.len() {
        if let Some(begun) = waiting.pass((), &packets[at], at) {
            let latency = packets[begun].ago.saturating_sub(packets[at].ago);
            packets[begun].latency = Some(latency);
            packets[at].latency = Some(latency);
        }
    }
}

/// The kind of the first packet that acknowledges it.
fn answer_to(packet: &Recorded) -> Option<PacketKind> {
    match (packet.kind, packet.detail) {
        (PacketKind::Publish, Detail::Publish { qos: QoS::AtLeastOnce, .. }) => Some(PacketKind::Puback),
        (PacketKind::Publish, Detail::Publish { qos: QoS::ExactlyOnce, .. }) => Some(PacketKind::Pubrec),
        (PacketKind::Subscribe, _) => Some(PacketKind::Suback),
        (PacketKind::Unsubscribe, _) => Some(PacketKind::Unsuback),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet(direction: Direction, kind: PacketKind, packet_id: u16, ago_us: u64) -> Recorded {
        let qos = if packet_id.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        let detail = match kind {
            PacketKind::Publish => Detail::Publish { qos, dup: false, retain: false },
            _ => Detail::Nothing,
        };
        let ago = Duration::from_micros(ago_us);
        Recorded {
            ago,
            latency: None,
            direction,
            kind,
            is_unsent: false,
            bytes: 9,
            packet_id,
            detail,
            topic: "".into(),
        }
    }

    use Direction::{Received, Sent};
    use PacketKind::{Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Subscribe};

    /// Which way, what, its packet id, how many microseconds ago, and the latency that is told of it.
    type Row = (Direction, PacketKind, u16, u64, Option<u64>);

    fn check(rows: &[Row]) {
        let packet =
            |&(direction, kind, packet_id, ago_us, _): &Row| packet(direction, kind, packet_id, ago_us);
        let mut packets: Vec<Recorded> = rows.iter().map(packet).collect();
        tell_latencies(&mut packets);
        for (row, packet) in rows.iter().zip(packets) {
            assert_eq!(packet.latency, row.4.map(Duration::from_micros), "{row:?}");
        }
    }

    #[test]
    fn each_direction_has_packet_ids_of_its_own() {
        check(&[
            (Received, Publish, 1, 900, Some(200)),
            (Sent, Publish, 1, 800, Some(700)),
            (Received, Subscribe, 3, 750, Some(100)),
            (Sent, Puback, 1, 700, Some(200)),
            (Sent, Suback, 3, 650, Some(100)),
            (Received, Puback, 1, 100, Some(700)),
        ]);
    }

    #[test]
    fn what_is_received_for_good_is_acknowledged_by_the_first_answer() {
        check(&[
            (Sent, Publish, 2, 50, Some(10)),
            (Received, Pubrec, 2, 40, Some(10)),
            (Sent, Pubrel, 2, 30, None),
            (Received, Pubcomp, 2, 10, None),
        ]);
    }

    #[test]
    fn what_was_not_acknowledged_or_is_not_remembered_has_none() {
        check(&[
            (Received, Puback, 5, 90, None),
            (Sent, Publish, 1, 80, None),
            // Of another kind than what was sent.
            (Received, Pubrec, 1, 75, None),
            (Sent, Publish, 1, 70, Some(20)),
            (Received, Puback, 1, 50, Some(20)),
            (Received, Puback, 1, 40, None),
            (Sent, Publish, 0, 30, None),
        ]);
    }

    #[test]
    fn whoever_looks_on_remembers_a_few() {
        let mut waiting = Unacknowledged::new(2);
        for of in 0..3 {
            assert_eq!(waiting.pass(of, &packet(Sent, Publish, 1, 0), of), None);
        }
        let answered: Vec<_> =
            (0..3).map(|of| waiting.pass(of, &packet(Received, Puback, 1, 0), 9)).collect();
        assert_eq!(answered, [None, None, Some(2)]);
    }
}
