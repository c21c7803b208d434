//! The acknowledgements of either side: what a publisher and a subscriber answer to what the broker sends.

use client::wire::{Ack, Disconnect, Frame, PacketKind, Publish};
use client::{QoS, Version};

use crate::connection::unusable;

/// What a publisher does about a PUBACK, PUBREC or PUBCOMP; gives how many messages it has finished.
pub fn on_acknowledgement(frame: &Frame<'_>, version: Version, output: &mut Vec<u8>) -> Result<u64, String> {
    if !matches!(frame.kind, PacketKind::Puback | PacketKind::Pubrec | PacketKind::Pubcomp) {
        return Err(unexpected(frame, version, "a publisher"));
    }
    let ack = Ack::decode(frame, version).map_err(unusable)?;
    if ack.reason.is_error() {
        return Err(format!("the broker refused a message: {}", ack.reason.name()));
    }
    if frame.kind == PacketKind::Pubrec {
        Ack::new(ack.packet_id).encode(PacketKind::Pubrel, version, output);
        return Ok(0);
    }
    Ok(1)
}

/// What a subscriber does about a PUBLISH, beside looking at it.
#[inline]
pub fn acknowledge(publish: &Publish<'_>, version: Version, output: &mut Vec<u8>) {
    if let Some(packet_id) = publish.packet_id {
        let kind = if publish.qos == QoS::ExactlyOnce { PacketKind::Pubrec } else { PacketKind::Puback };
        Ack::new(packet_id).encode(kind, version, output);
    }
}

/// What a subscriber does about a PUBREL.
pub fn complete(frame: &Frame<'_>, version: Version, output: &mut Vec<u8>) -> Result<(), String> {
    let ack = Ack::decode(frame, version).map_err(unusable)?;
    Ack::new(ack.packet_id).encode(PacketKind::Pubcomp, version, output);
    Ok(())
}

/// What to say of a packet that no client of this kind has to expect; a DISCONNECT tells why it came.
pub fn unexpected(frame: &Frame<'_>, version: Version, whom: &str) -> String {
    let kind = frame.kind;
    if kind == PacketKind::Disconnect
        && let Ok(disconnect) = Disconnect::decode(frame, version)
    {
        let text = disconnect.reason_string.map(|text| format!(" ({text})")).unwrap_or_default();
        return format!("the broker disconnected {whom}: {}{text}", disconnect.reason.name());
    }
    format!("the broker sent a {kind:?} to {whom}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use client::PacketId;
    use client::wire;

    use super::*;

    fn acknowledged(bytes: &[u8]) -> (Result<u64, String>, Vec<u8>) {
        let mut output = Vec::new();
        let frame = wire::split(bytes, 100).unwrap().unwrap();
        (on_acknowledgement(&frame, Version::V5, &mut output), output)
    }

    #[test]
    fn a_publisher_releases_what_is_received_and_is_done_when_it_is_complete() {
        assert_eq!(acknowledged(b"\x40\x02\x00\x09"), (Ok(1), vec![]));
        assert_eq!(acknowledged(b"\x50\x02\x00\x09"), (Ok(0), b"\x62\x02\x00\x09".to_vec()));
        assert_eq!(acknowledged(b"\x70\x02\x00\x09"), (Ok(1), vec![]));
        assert!(acknowledged(b"\x40\x03\x00\x09\x97").0.unwrap_err().contains("refused"));
        assert!(acknowledged(b"\xD0\x00").0.is_err());
        let told = acknowledged(b"\xE0\x01\x95").0.unwrap_err();
        assert!(told.starts_with("the broker disconnected a publisher: Packet too large"), "{told}");
    }

    #[test]
    fn a_subscriber_acknowledges_by_the_qos() {
        for (qos, answer) in [
            (QoS::AtMostOnce, &b""[..]),
            (QoS::AtLeastOnce, b"\x40\x02\x00\x09"),
            (QoS::ExactlyOnce, b"\x50\x02\x00\x09"),
        ] {
            let packet_id = (qos != QoS::AtMostOnce).then(|| PacketId::new(9).unwrap());
            let mut output = Vec::new();
            acknowledge(&Publish { qos, packet_id, ..Publish::default() }, Version::V311, &mut output);
            assert_eq!(output, answer);
        }
    }
}
