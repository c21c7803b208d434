//! The fixed header: cutting packets out of a stream, and putting the header in front of a body. What is in the
//! body is for `decode`.

use crate::primitive::{Count, Sink, varint, varint_len};
use crate::{MAX_PACKET_SIZE, Version, Violation};

/// The packet type, the upper half of the first byte.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    Connect = 1,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}

impl PacketKind {
    pub const ALL: [PacketKind; 15] = [
        PacketKind::Connect,
        PacketKind::Connack,
        PacketKind::Publish,
        PacketKind::Puback,
        PacketKind::Pubrec,
        PacketKind::Pubrel,
        PacketKind::Pubcomp,
        PacketKind::Subscribe,
        PacketKind::Suback,
        PacketKind::Unsubscribe,
        PacketKind::Unsuback,
        PacketKind::Pingreq,
        PacketKind::Pingresp,
        PacketKind::Disconnect,
        PacketKind::Auth,
    ];

    /// `None`: type 0, which is reserved, or no type at all.
    #[inline]
    pub fn from_u8(value: u8) -> Option<Self> {
        let index = usize::from(value).checked_sub(1)?;
        PacketKind::ALL.get(index).copied()
    }

    /// The first byte of such a packet. Those of a PUBLISH are its own: see `Publish`.
    pub(crate) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.reserved_flags()
    }

    // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] These three carry 0010, all others 0000.
    const fn reserved_flags(self) -> u8 {
        match self {
            PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe => 0b0010,
            _ => 0,
        }
    }
}

/// One packet's bytes, split from the stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    pub kind: PacketKind,
    /// The lower half of the first byte.
    pub flags: u8,
    pub body: &'a [u8],
    /// Of the whole packet, fixed header included.
    pub size: usize,
    /// All of it, fixed header included.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    /// What `split` lets pass for the sake of 3.1 is refused in the versions that reserve the bit.
    #[inline]
    pub(crate) fn check_reserved_flags(&self, version: Version) -> Result<(), Violation> {
        if version == Version::V31 || self.flags == self.kind.reserved_flags() {
            return Ok(());
        }
        Err(RESERVED_FLAGS)
    }
}

/// Cuts the first packet off `bytes`. `Ok(None)`: need more bytes.
///
/// An AUTH is left to `decode`, which knows the version. A packet above the limit is refused as soon as its fixed
/// header is complete, so that nobody has to buffer it.
#[inline]
pub fn split(bytes: &[u8], max_packet_size: u32) -> Result<Option<Frame<'_>>, Violation> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(kind) = PacketKind::from_u8(first >> 4) else {
        return Err(Violation::malformed("packet type 0 is reserved"));
    };
    let flags = first & 0x0F;
    check_flags(kind, flags)?;
    let Some((remaining, len)) = varint(rest)? else { return Ok(None) };
    let size = 1 + len + remaining as usize;
    if size > max_packet_size as usize {
        return Err(Violation::new(crate::ReasonCode::PacketTooLarge, "packet is larger than the limit"));
    }
    Ok(bytes.get(1 + len..size).map(|body| Frame { kind, flags, body, bytes: &bytes[..size], size }))
}

/// The packet that `bytes` begin with, of which only so much is at hand: its payload, or a part of it, is elsewhere.
pub fn beginning(bytes: &[u8]) -> Option<Frame<'_>> {
    let (first, rest) = bytes.split_first()?;
    let kind = PacketKind::from_u8(first >> 4)?;
    let (remaining, len) = varint(rest).ok()??;
    Some(Frame { kind, flags: first & 0x0F, body: &rest[len..], bytes, size: 1 + len + remaining as usize })
}

/// How many bytes the packet at the head of `bytes` takes in all, once its fixed header is complete, so that a
/// reader can reserve them.
pub fn frame_size(bytes: &[u8]) -> Option<usize> {
    let (remaining, len) = varint(bytes.get(1..)?).ok()??;
    Some(1 + len + remaining as usize)
}

// [MQTT-2.1.3-1] Reserved flags have the values that the specification lists.
#[inline]
fn check_flags(kind: PacketKind, flags: u8) -> Result<(), Violation> {
    match kind {
        // [MQTT-3.3.1-4] QoS 3 does not exist.
        PacketKind::Publish if flags & 0b0110 == 0b0110 => Err(Violation::malformed("PUBLISH has QoS 3")),
        PacketKind::Publish => Ok(()),
        // Clients of 3.1 set DUP when they send one of these again; `check_reserved_flags` knows the version.
        PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe if flags == 0b1010 => Ok(()),
        _ if flags == kind.reserved_flags() => Ok(()),
        _ => Err(RESERVED_FLAGS),
    }
}

/// All of a packet that follows its fixed header.
pub(crate) trait Body {
    fn put(&self, version: Version, sink: &mut impl Sink);

    /// The size of the whole packet.
    fn size(&self, version: Version) -> usize {
        let mut remaining = Count::default();
        self.put(version, &mut remaining);
        1 + varint_len(remaining.0) + remaining.0
    }
}

/// Appends a packet. That it fits into the largest packet there is, is the sender's to know.
pub(crate) fn encode(first_byte: u8, body: &impl Body, version: Version, out: &mut Vec<u8>) {
    let mut remaining = Count::default();
    body.put(version, &mut remaining);
    put_fixed_header(first_byte, remaining.0, 0, out);
    body.put(version, out);
}

/// Appends the fixed header and reserves room for the body, of which `elsewhere` bytes go elsewhere.
#[inline]
pub(crate) fn put_fixed_header(first_byte: u8, remaining: usize, elsewhere: usize, out: &mut Vec<u8>) {
    let size = 1 + varint_len(remaining) + remaining;
    assert!(size <= MAX_PACKET_SIZE as usize, "a packet fits into its remaining length");
    out.reserve(size - elsewhere);
    out.push(first_byte);
    out.put_varint(remaining);
}

const RESERVED_FLAGS: Violation =
    Violation::malformed("reserved flags of the fixed header are not as listed");
