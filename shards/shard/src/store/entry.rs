//! The records that make up what a shard keeps, as bytes and back. What they mean together is `restore.rs`; how a record is
//! framed and where it goes is not known here.
//!
//! All numbers are little endian. A session is named by its `SessionId`, a point in time by unix milliseconds.

mod message;
mod session;

use mqtt::{PacketId, QoS, SubscriptionOptions};

pub(crate) use self::message::SUBSCRIPTION_IDS_MAX;
pub use self::{
    message::{MessageEntry, Receiver, Receivers},
    session::{Detached, SessionEntry, WillEntry},
};
use super::{
    fields::{Fields, Malformed, PutFields},
    record::{self, Record},
};
use crate::{ShardId, handshakes::Handshake, keys::SessionKey};

/// Names a session for as long as it lives, also beyond a restart. Zero names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub u64);

impl SessionId {
    /// The session's place in its shard is part of its name, and stays the same.
    pub(crate) fn key(self) -> SessionKey {
        SessionKey((self.0 & u64::from(u32::MAX)) as u32)
    }

    /// In a store that is laid out afresh, where no slot was used before.
    pub(super) fn of_slot(slot: u32) -> SessionId {
        SessionId::of_count(slot, slot)
    }

    /// So many names were given before.
    pub(super) fn of_count(count: u32, slot: u32) -> SessionId {
        SessionId((u64::from(count) + 1) << 32 | u64::from(slot))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    Session(SessionEntry<'a>),
    Subscribed {
        session: SessionId,
        options: SubscriptionOptions,
        subscription_id: u32,
        filter: &'a str,
    },
    Unsubscribed {
        session: SessionId,
        filter: &'a str,
    },
    Detached(Detached),
    /// The will was published, or is not to be.
    WillGone {
        session: SessionId,
    },
    /// A will of this session was published, as this message, and is on its way to other shards.
    WillPublished {
        will: SessionId,
        session: SessionId,
        message: MessageEntry<'a>,
    },
    /// All who have to store it have done so.
    WillOver {
        will: SessionId,
    },
    SessionGone {
        session: SessionId,
    },
    Message(MessageEntry<'a>),
    /// PUBREC came for a message of the session's queue.
    Released {
        session: SessionId,
        number: u64,
    },
    /// A message of the session's queue is not owed any more.
    Done {
        session: SessionId,
        number: u64,
    },
    /// A QoS 2 message of the client was taken in.
    Received {
        session: SessionId,
        packet_id: PacketId,
    },
    /// The client released it.
    Freed {
        session: SessionId,
        packet_id: PacketId,
    },
    /// What a publisher on another shard, or here, has not released, and is stored here.
    Handshake {
        handshake: Handshake,
        /// The shared subscription (`$share/group/filter`) whose copy it is; empty for that of everybody else.
        share: &'a str,
    },
    /// These sessions, and no others here, have got the copy for everybody: they come from a shard that has stored it.
    HandshakePart {
        handshake: Handshake,
        first: SessionId,
        last: SessionId,
    },
    /// For all copies.
    HandshakeOver(Handshake),
    /// All handshakes of this publisher are over.
    PublisherGone {
        home: ShardId,
        session: SessionId,
    },
    /// The topic has no retained message any more.
    RetainedGone {
        topic: &'a str,
    },
}

impl<'a> Entry<'a> {
    /// Appends the record to a batch. Says where in it the record begins. `more`: the next one belongs to the same group,
    /// and none of the group counts without all of it.
    pub fn encode(&self, batch: &mut Vec<u8>, more: bool) -> usize {
        let at = record::begin(batch, self.kind(), VERSION);
        match self {
            Entry::Session(session) => session.encode(batch),
            Entry::Subscribed { session, options, subscription_id, filter } => {
                batch.put_u64(session.0);
                batch.push(options.to_u8());
                batch.put_u32(*subscription_id);
                batch.extend_from_slice(filter.as_bytes());
            }
            Entry::Unsubscribed { session, filter } => {
                batch.put_u64(session.0);
                batch.extend_from_slice(filter.as_bytes());
            }
            Entry::Detached(detached) => detached.encode(batch),
            Entry::WillGone { session } | Entry::SessionGone { session } => batch.put_u64(session.0),
            Entry::WillPublished { will, session, message } => {
                batch.put_u64(will.0);
                batch.put_u64(session.0);
                message.encode(batch);
            }
            Entry::WillOver { will } => batch.put_u64(will.0),
            Entry::Message(message) => message.encode(batch),
            Entry::Released { session, number } | Entry::Done { session, number } => {
                batch.put_u64(session.0);
                batch.put_u64(*number);
            }
            Entry::Received { session, packet_id } | Entry::Freed { session, packet_id } => {
                batch.put_u64(session.0);
                batch.put_u16(packet_id.get());
            }
            Entry::Handshake { handshake, share } => {
                put_handshake(batch, handshake);
                batch.extend_from_slice(share.as_bytes());
            }
            Entry::HandshakePart { handshake, first, last } => {
                put_handshake(batch, handshake);
                batch.put_u64(first.0);
                batch.put_u64(last.0);
            }
            Entry::HandshakeOver(handshake) => put_handshake(batch, handshake),
            Entry::PublisherGone { home, session } => {
                batch.push(home.0);
                batch.put_u64(session.0);
            }
            Entry::RetainedGone { topic } => batch.extend_from_slice(topic.as_bytes()),
        }
        record::finish(batch, at, more);
        at
    }

    pub fn decode(record: &Record<'a>) -> Result<Entry<'a>, Malformed> {
        if record.version != VERSION {
            return Err(Malformed);
        }
        let mut fields = Fields::new(record.body);
        let entry = match record.kind {
            SESSION => Entry::Session(SessionEntry::decode(&mut fields)?),
            SUBSCRIBED => Entry::Subscribed {
                session: SessionId(fields.u64()?),
                options: SubscriptionOptions::from_u8(fields.u8()?).ok_or(Malformed)?,
                subscription_id: fields.u32()?,
                filter: fields.rest_str()?,
            },
            UNSUBSCRIBED => {
                Entry::Unsubscribed { session: SessionId(fields.u64()?), filter: fields.rest_str()? }
            }
            DETACHED => Entry::Detached(Detached::decode(&mut fields)?),
            WILL_GONE => Entry::WillGone { session: SessionId(fields.u64()?) },
            SESSION_GONE => Entry::SessionGone { session: SessionId(fields.u64()?) },
            WILL_PUBLISHED => Entry::WillPublished {
                will: SessionId(fields.u64()?),
                session: SessionId(fields.u64()?),
                message: MessageEntry::decode(&mut fields)?,
            },
            WILL_OVER => Entry::WillOver { will: SessionId(fields.u64()?) },
            MESSAGE => Entry::Message(MessageEntry::decode(&mut fields)?),
            RELEASED => Entry::Released { session: SessionId(fields.u64()?), number: fields.u64()? },
            DONE => Entry::Done { session: SessionId(fields.u64()?), number: fields.u64()? },
            RECEIVED => {
                Entry::Received { session: SessionId(fields.u64()?), packet_id: packet_id(&mut fields)? }
            }
            FREED => Entry::Freed { session: SessionId(fields.u64()?), packet_id: packet_id(&mut fields)? },
            HANDSHAKE => Entry::Handshake { handshake: handshake(&mut fields)?, share: fields.rest_str()? },
            HANDSHAKE_PART => Entry::HandshakePart {
                handshake: handshake(&mut fields)?,
                first: SessionId(fields.u64()?),
                last: SessionId(fields.u64()?),
            },
            HANDSHAKE_OVER => Entry::HandshakeOver(handshake(&mut fields)?),
            PUBLISHER_GONE => {
                Entry::PublisherGone { home: ShardId(fields.u8()?), session: SessionId(fields.u64()?) }
            }
            RETAINED_GONE => Entry::RetainedGone { topic: fields.rest_str()? },
            _ => return Err(Malformed),
        };
        fields.end()?;
        Ok(entry)
    }

    fn kind(&self) -> u8 {
        match self {
            Entry::Session(_) => SESSION,
            Entry::Subscribed { .. } => SUBSCRIBED,
            Entry::Unsubscribed { .. } => UNSUBSCRIBED,
            Entry::Detached(_) => DETACHED,
            Entry::WillGone { .. } => WILL_GONE,
            Entry::SessionGone { .. } => SESSION_GONE,
            Entry::Message(_) => MESSAGE,
            Entry::Released { .. } => RELEASED,
            Entry::Done { .. } => DONE,
            Entry::Received { .. } => RECEIVED,
            Entry::Freed { .. } => FREED,
            Entry::RetainedGone { .. } => RETAINED_GONE,
            Entry::WillPublished { .. } => WILL_PUBLISHED,
            Entry::WillOver { .. } => WILL_OVER,
            Entry::Handshake { .. } => HANDSHAKE,
            Entry::HandshakePart { .. } => HANDSHAKE_PART,
            Entry::HandshakeOver(_) => HANDSHAKE_OVER,
            Entry::PublisherGone { .. } => PUBLISHER_GONE,
        }
    }
}

fn qos_of(flags: u8) -> Result<QoS, Malformed> {
    QoS::try_from(flags & 3).map_err(|_| Malformed)
}

fn packet_id(fields: &mut Fields<'_>) -> Result<PacketId, Malformed> {
    PacketId::new(fields.u16()?).ok_or(Malformed)
}

fn put_handshake(batch: &mut Vec<u8>, handshake: &Handshake) {
    batch.push(handshake.home.0);
    batch.put_u64(handshake.session.0);
    batch.put_u16(handshake.packet_id.get());
}

fn handshake(fields: &mut Fields<'_>) -> Result<Handshake, Malformed> {
    let (home, session) = (ShardId(fields.u8()?), SessionId(fields.u64()?));
    Ok(Handshake { home, session, packet_id: packet_id(fields)? })
}

/// What docs/storage.md calls the kind.
pub fn name_of(kind: u8) -> Option<&'static str> {
    let name = match kind {
        SESSION => "session",
        SUBSCRIBED => "subscribed",
        UNSUBSCRIBED => "unsubscribed",
        DETACHED => "detached",
        WILL_GONE => "will gone",
        SESSION_GONE => "session gone",
        MESSAGE => "message",
        RELEASED => "released",
        DONE => "done",
        RECEIVED => "received",
        FREED => "freed",
        RETAINED_GONE => "retained gone",
        HANDSHAKE => "handshake",
        HANDSHAKE_PART => "handshake in part",
        HANDSHAKE_OVER => "handshake over",
        PUBLISHER_GONE => "publisher gone",
        WILL_PUBLISHED => "will published",
        WILL_OVER => "will over",
        _ => return None,
    };
    Some(name)
}

const SESSION: u8 = 16;
const SUBSCRIBED: u8 = 17;
const UNSUBSCRIBED: u8 = 18;
const DETACHED: u8 = 19;
const WILL_GONE: u8 = 20;
const SESSION_GONE: u8 = 21;
const MESSAGE: u8 = 22;
const RELEASED: u8 = 23;
const DONE: u8 = 24;
const RECEIVED: u8 = 25;
const FREED: u8 = 26;
const RETAINED_GONE: u8 = 27;
const HANDSHAKE: u8 = 28;
const HANDSHAKE_OVER: u8 = 29;
const PUBLISHER_GONE: u8 = 30;
const HANDSHAKE_PART: u8 = 31;
const WILL_PUBLISHED: u8 = 32;
const WILL_OVER: u8 = 33;

/// Of all records that this shard writes.
const VERSION: u8 = 1;

/// Beside the QoS in a byte of flags.
const RETAIN_BIT: u8 = 2;

#[cfg(test)]
mod tests;
