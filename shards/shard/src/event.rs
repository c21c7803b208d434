//! What can happen to a shard.

use std::{net::IpAddr, sync::Arc};

use mqtt::ReasonCode;

use crate::{
    Answer, Bans, Config, ConnId, DoorRates, Fetch, Mail, Outgoing, Piece, Revision, Rules, ShardId,
    store::record::Record,
};

/// One thing that happened. The runtime brings events in the order in which they came about.
#[derive(Debug)]
pub enum Event<'a> {
    /// A socket was accepted here, or came from another shard. Nothing was read from it yet.
    /// `refuse` is set where the process, or the listener, has all the connections that it may have: the CONNECT is answered and refused.
    /// `door` is the number of the listener that it came in by.
    Opened { conn: ConnId, refuse: Option<Full>, door: u16 },
    /// A socket came and went without a connection that the shard would have heard of.
    NotOpened(NotOpened),
    /// Bytes of a connection, any number, cut anywhere.
    Bytes { conn: ConnId, bytes: &'a [u8] },
    /// The answer to `Effect::Authenticate`. The connection may be gone meanwhile.
    Authenticated { conn: ConnId, answer: Box<Answer> },
    /// The socket took all bytes of the connection's last `Effect::Send`. Where one was under way when the connection ended, this or
    /// `Unsent` follows for it.
    Sent { conn: ConnId },
    /// The socket took no more than so many bytes of it, and takes nothing any more.
    Unsent { conn: ConnId, outgoing: Box<Outgoing>, taken: usize },
    /// The peer of a connection that is `Reading::Watched` has said its last; `Closed` follows when that has been read.
    Leaving { conn: ConnId },
    /// The peer closed or the network failed. No further event names this connection, but for what became of its last bytes.
    Closed { conn: ConnId },
    /// Its address is banned.
    Barred { conn: ConnId, ip: IpAddr },
    /// An operator ends one connection.
    Kick { conn: ConnId, reason: ReasonCode },
    /// From another shard, in the order in which it was sent.
    Mail { from: ShardId, mail: Mail },
    /// The ring to `to` has this many free slots now.
    MailRoom { to: ShardId, slots: usize },
    /// A batch is stored: with it, all that came before it.
    Stored { batch: u64, pieces: &'a [Piece] },
    /// The store has room for so many bytes of records, beyond those that it was given. `grows`: more is on its way.
    StoreRoom { bytes: usize, grows: bool },
    /// A batch could not be stored, and nothing will be from now on.
    StoreFailed,
    /// A record of the oldest part of the store, which is to be given up.
    Review { record: Record<'a> },
    /// What `Effect::Fetch` asked for; none if nothing stands there any more: it was written again elsewhere meanwhile.
    Fetched { fetch: Fetch, record: Option<Record<'a>> },
    /// What clients may do from now on; without rules everything.
    Rules(Option<Rules>),
    /// How fast clients may be from now on, by the number of the listener.
    Rates(Arc<[DoorRates]>),
    /// Who may not come in, and not stay, from now on.
    Bans(Arc<Bans>),
    /// What was granted to some users is something else now.
    Revised(Arc<Revision>),
    /// Limits and listeners from now on. What a shard cannot change while it lives stays as it is, and so do the rules.
    Config(Box<Config>),
    /// The deadline that `next_deadline` named may have passed.
    Timer,
    /// The broker is to end: no further reading; what is under way goes out; then every connection is closed.
    Drain,
    /// The tick ends: whatever was collected for a connection becomes one `Effect::Send`.
    Flush,
    /// Mail has made room for more in the same tick: what has come of that is sent off, too.
    FlushAgain,
}

/// Whose `max_connections` is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Those of all listeners together.
    Server,
    /// Those of the listener alone.
    Listener,
}

/// Why a socket never became a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// Even the places for refusals are taken.
    NoSeat,
    /// The same of its listener.
    NoSeatOfListener,
    /// What comes before MQTT did not come in time.
    Slow,
    /// The peer left before its first packet could come.
    Gone,
    /// TLS was not agreed on.
    Tls,
    /// What came is not the beginning of anything that is spoken there.
    Unknown,
    /// The WebSocket was refused, or broke its protocol.
    WebSocket,
    /// Nobody may come from there.
    Banned,
    /// More come from there, or to this listener, than the rates allow.
    TooOften,
    /// The header of a proxy is wrong, or the proxy is nobody who may send one.
    Proxy,
}
