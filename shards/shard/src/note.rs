//! What a shard has to say for the log. It writes no log itself.

use std::{borrow::Cow, sync::Arc};

use mqtt::{Connect, ReasonCode, Version};

use crate::{Cause, ConnId, FilterLimit};

/// One line of the log about one client. The runtime adds time, shard and address.
#[derive(Debug, Clone)]
pub struct Note {
    pub conn: Option<ConnId>,
    pub client_id: Option<Arc<str>>,
    /// As whom the client is here, at least where it begins and ends to be here.
    pub user: Option<Arc<str>>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Connected {
        version: Version,
        user: Option<Arc<str>>,
        /// Who has said who the client is.
        provider: Option<Arc<str>>,
        clean_start: bool,
        session_present: bool,
        keep_alive_s: u16,
        session_expiry_s: u32,
    },
    /// The CONNECT was answered with this reason, or not at all.
    Refused {
        reason: ReasonCode,
        why: Cow<'static, str>,
        /// Who it says it is, where somebody else has said no.
        claim: Option<Box<Claim>>,
    },
    /// The client broke the protocol.
    Violation {
        reason: ReasonCode,
        what: &'static str,
    },
    /// What the client has begun or left behind has no room, or took too long: that breaks no rule of the protocol.
    QuotaExceeded {
        why: &'static str,
    },
    /// The connection ended without a violation: by the client's DISCONNECT, by the network, by time.
    Disconnected {
        reason: ReasonCode,
        why: Cow<'static, str>,
    },
    /// Another connection with the same client id took the session.
    TakenOver,
    /// That has happened so many times since that was said last: whoever is on the other end of this connection, and `by`, use one client id.
    Contested {
        by: ConnId,
        takeovers: u32,
    },
    SessionExpired,
    WillPublished,
    /// A message on this topic found no room, the first since the queue was last empty; the counters know how many were lost.
    QueueFull {
        cause: Cause,
        topic: Box<str>,
    },
    /// The store has no room: what would have to be stored is not taken in.
    StoreFull,
    StoreHasRoom,
    /// A message was delivered and not retained, and so were others since the note before: so many with this one.
    NotRetained {
        cause: Cause,
        topic: Box<str>,
        count: u64,
    },
    /// The shard keeps more retained messages than its part of the limits, since they were smaller or elsewhere before.
    RetainedBeyondLimits {
        messages: usize,
        messages_max: usize,
        bytes: usize,
        bytes_max: usize,
    },
    /// The rules do not allow it.
    Denied(Box<Denial>),
    /// Of one SUBSCRIBE so many filters were refused, the first for this reason.
    SubscriptionsRefused {
        reason: ReasonCode,
        count: usize,
        /// Where a limit is the reason for one of them.
        limit: Option<FilterLimit>,
    },
}

/// What a client says of itself. Anybody can say that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub client_id: Box<str>,
    pub user_name: Option<Box<str>>,
}

impl Claim {
    pub(crate) fn of(connect: &Connect<'_>) -> Box<Claim> {
        let user_name = connect.username.map(Box::from);
        Box::new(Claim { client_id: connect.client_id.into(), user_name })
    }
}

/// What a client may not do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub user: Option<Arc<str>>,
    pub action: &'static str,
    /// Or the topic filter.
    pub topic: Box<str>,
    /// The rule with its file and line, or what holds without one.
    pub because: Box<str>,
    /// It is allowed: only rules that are being tried out say otherwise.
    pub is_shadow: bool,
}
