//! A session as it is stored: what it is while it is connected, how it goes on without a connection, and its will.

use mqtt::QoS;

use super::{RETAIN_BIT, SessionId, qos_of};
use crate::store::fields::{Fields, Malformed, PutFields};

/// A session with all that is not a record of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionEntry<'a> {
    pub session: SessionId,
    /// Replaces everything that was known of the session but its queue; what belongs to it follows in the same group.
    /// Otherwise the client has come back to it.
    pub is_whole: bool,
    pub client_id: &'a str,
    pub expiry_s: u32,
    /// None: it is connected.
    pub detached: Option<Detached>,
    pub will: Option<WillEntry<'a>>,
}

/// A session goes on without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detached {
    pub session: SessionId,
    pub expiry_s: u32,
    /// None: never.
    pub ends_at_ms: Option<u64>,
    /// When the will is due, if there is one.
    pub will_at_ms: Option<u64>,
    /// The number of the last message that was sent to the client.
    pub sent: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WillEntry<'a> {
    /// Names the will among all wills and sessions of the shard.
    pub will: SessionId,
    pub qos: QoS,
    pub retain: bool,
    pub delay_s: u32,
    pub message_expiry_s: Option<u32>,
    pub topic: &'a str,
    pub forwarded: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> SessionEntry<'a> {
    /// From the body of its record.
    pub(in crate::store) fn of(body: &'a [u8]) -> Result<SessionEntry<'a>, Malformed> {
        SessionEntry::decode(&mut Fields::new(body))
    }

    pub(super) fn encode(&self, batch: &mut Vec<u8>) {
        batch.put_u64(self.session.0);
        let flags = u8::from(self.is_whole) | u8::from(self.detached.is_some()) << 1;
        batch.push(flags | u8::from(self.will.is_some()) << 2);
        batch.put_u32(self.expiry_s);
        if let Some(detached) = &self.detached {
            detached.encode(batch);
        }
        if let Some(will) = &self.will {
            will.encode(batch);
        }
        batch.extend_from_slice(self.client_id.as_bytes());
    }

    pub(super) fn decode(fields: &mut Fields<'a>) -> Result<SessionEntry<'a>, Malformed> {
        let session = SessionId(fields.u64()?);
        let flags = fields.u8()?;
        let expiry_s = fields.u32()?;
        let detached = (flags & 2 != 0).then(|| Detached::decode(fields)).transpose()?;
        let will = (flags & 4 != 0).then(|| WillEntry::decode(fields)).transpose()?;
        let client_id = fields.rest_str()?;
        Ok(SessionEntry { session, is_whole: flags & 1 != 0, client_id, expiry_s, detached, will })
    }
}

impl Detached {
    pub(super) fn encode(&self, batch: &mut Vec<u8>) {
        batch.put_u64(self.session.0);
        batch.put_u32(self.expiry_s);
        batch.put_time(self.ends_at_ms);
        batch.put_time(self.will_at_ms);
        batch.put_u64(self.sent);
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Result<Detached, Malformed> {
        Ok(Detached {
            session: SessionId(fields.u64()?),
            expiry_s: fields.u32()?,
            ends_at_ms: fields.time()?,
            will_at_ms: fields.time()?,
            sent: fields.u64()?,
        })
    }
}

impl<'a> WillEntry<'a> {
    pub(super) fn encode(&self, batch: &mut Vec<u8>) {
        batch.put_u64(self.will.0);
        batch.push(self.qos as u8 | u8::from(self.retain) << RETAIN_BIT);
        batch.put_u32(self.delay_s);
        batch.push(u8::from(self.message_expiry_s.is_some()));
        batch.put_u32(self.message_expiry_s.unwrap_or(0));
        batch.put_bytes(self.topic.as_bytes());
        batch.put_bytes(self.forwarded);
        batch.put_bytes(self.payload);
    }

    pub(super) fn decode(fields: &mut Fields<'a>) -> Result<WillEntry<'a>, Malformed> {
        let will = SessionId(fields.u64()?);
        let flags = fields.u8()?;
        let delay_s = fields.u32()?;
        let expires = fields.u8()? != 0;
        let message_expiry_s = Some(fields.u32()?).filter(|_| expires);
        Ok(WillEntry {
            will,
            qos: qos_of(flags)?,
            retain: flags & 1 << RETAIN_BIT != 0,
            delay_s,
            message_expiry_s,
            topic: fields.str()?,
            forwarded: fields.bytes()?,
            payload: fields.bytes()?,
        })
    }
}
