//! A message as it is stored, with those whose queues hold it.

use mqtt::QoS;

use super::{RETAIN_BIT, SessionId, qos_of};
use crate::{
    Instant,
    message::Parts,
    store::fields::{Fields, Malformed, PutFields},
};

#[derive(Debug, Clone, PartialEq)]
pub struct MessageEntry<'a> {
    pub qos: QoS,
    /// As the publisher set it.
    pub retain: bool,
    /// It is the retained message of its topic.
    pub is_retained: bool,
    pub expires_at_ms: Option<u64>,
    pub topic: &'a str,
    pub forwarded: &'a [u8],
    pub payload: &'a [u8],
    pub receivers: Receivers<'a>,
}

/// One queue that holds a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub session: SessionId,
    pub number: u64,
    pub qos: QoS,
    pub retain: bool,
    pub subscription_ids: smallvec::SmallVec<[u32; 2]>,
}

/// The receivers of a message, encoded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Receivers<'a> {
    pub count: u32,
    pub bytes: &'a [u8],
}

impl<'a> MessageEntry<'a> {
    pub(crate) fn parts(&self, expires_at: Option<Instant>) -> Parts<'a> {
        Parts {
            topic: self.topic,
            qos: self.qos,
            retain: self.retain,
            expires_at,
            retained_id: None,
            forwarded: self.forwarded,
            payload: self.payload,
        }
    }

    pub(super) fn encode(&self, batch: &mut Vec<u8>) {
        let retain = u8::from(self.retain) << RETAIN_BIT;
        batch.push(self.qos as u8 | retain | u8::from(self.is_retained) << (RETAIN_BIT + 1));
        batch.put_time(self.expires_at_ms);
        batch.put_u32(self.receivers.count);
        batch.put_bytes(self.receivers.bytes);
        batch.put_bytes(self.topic.as_bytes());
        batch.put_bytes(self.forwarded);
        batch.extend_from_slice(self.payload);
    }

    pub(super) fn decode(fields: &mut Fields<'a>) -> Result<MessageEntry<'a>, Malformed> {
        let flags = fields.u8()?;
        let expires_at_ms = fields.time()?;
        let receivers = Receivers { count: fields.u32()?, bytes: fields.bytes()? };
        let mut each = Fields::new(receivers.bytes);
        for _ in 0..receivers.count {
            Receiver::decode(&mut each)?;
        }
        each.end()?;
        Ok(MessageEntry {
            qos: qos_of(flags)?,
            retain: flags & 1 << RETAIN_BIT != 0,
            is_retained: flags & 2 << RETAIN_BIT != 0,
            expires_at_ms,
            receivers,
            topic: fields.str()?,
            forwarded: fields.bytes()?,
            payload: fields.rest(),
        })
    }
}

impl Receiver {
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u64(self.session.0);
        bytes.put_u64(self.number);
        bytes.push(self.qos as u8 | u8::from(self.retain) << RETAIN_BIT);
        let ids = u16::try_from(self.subscription_ids.len()).expect("a copy names no more than it may");
        bytes.put_u16(ids);
        for id in &self.subscription_ids {
            bytes.put_u32(*id);
        }
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Receiver, Malformed> {
        let (session, number) = (SessionId(fields.u64()?), fields.u64()?);
        let flags = fields.u8()?;
        let mut subscription_ids = smallvec::SmallVec::new();
        for _ in 0..fields.u16()? {
            subscription_ids.push(fields.u32()?);
        }
        Ok(Receiver {
            session,
            number,
            qos: qos_of(flags)?,
            retain: flags & 1 << RETAIN_BIT != 0,
            subscription_ids,
        })
    }
}

impl Receivers<'_> {
    pub fn iter(&self) -> impl Iterator<Item = Receiver> {
        let mut fields = Fields::new(self.bytes);
        (0..self.count)
            .map(move |_| Receiver::decode(&mut fields).expect("they were decoded once, when the record was"))
    }
}

/// Of one copy of a message, so that each record fits a segment.
pub(crate) const SUBSCRIPTION_IDS_MAX: usize = 16 << 10;

const _: () = assert!(SUBSCRIPTION_IDS_MAX <= u16::MAX as usize, "their number has 16 bits");
