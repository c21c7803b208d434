//! What a shard has to say becomes one line of the log.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
};

use shard::{Claim, Denial, FilterLimit, NETWORK_CLOSED, Note, ReasonCode, ShardId, What};
use tracing::field::DisplayValue;

use crate::{connection::Address, thinning::LeftOut};

/// Of whom the line is: a client by its id where it has one, and by its address where it is connected here and has one.
struct Subject<'a> {
    shard: u8,
    client_id: Option<Cow<'a, str>>,
    address: Option<DisplayValue<Address>>,
}

/// Writes the line. `other` is the address of another client where the line is about two.
pub(crate) fn write(shard: ShardId, address: Option<Address>, other: Option<Address>, note: &Note) {
    let client_id = note.client_id.as_deref().map(shortened);
    let subject = Subject { shard: shard.0, client_id, address: address.and_then(Address::known) };
    match &note.what {
        What::Connected { .. } => write_connected(&subject, &note.what),
        What::Refused { reason, why, claim } => write_refused(subject, *reason, why, claim.as_deref()),
        What::Violation { .. }
        | What::QuotaExceeded { .. }
        | What::Disconnected { .. }
        | What::TakenOver
        | What::Contested { .. }
        | What::SessionExpired
        | What::WillPublished => write_end(&subject, other, &note.what),
        What::QueueFull { .. }
        | What::StoreFull
        | What::StoreHasRoom
        | What::NotRetained { .. }
        | What::RetainedBeyondLimits { .. } => write_room(&subject, &note.what),
        What::Denied(denial) => write_denied(&subject, denial),
        What::SubscriptionsRefused { reason, count, limit } => {
            let Subject { shard, client_id, address } = subject;
            let client_id = client_id.as_deref();
            let (reason, why) = (reason.name(), limit.map(FilterLimit::text));
            tracing::info!(shard, client_id, address, reason, why, count, "subscriptions refused");
        }
    }
}

/// Of those who never become clients. What is left out is a message of the log.
pub(crate) fn write_left_out(shard: ShardId, what: &str, left_out: &LeftOut<()>) {
    let LeftOut { source, count, .. } = left_out;
    LINES_LEFT_OUT.fetch_add(*count, Ordering::Relaxed);
    tracing::info!(shard = shard.0, address = %source, lines = count, "lines were left out, too many come: {what}");
}

/// Lines about strangers that are not in the log, since the start, once they are told to be left out.
pub fn lines_left_out() -> u64 {
    LINES_LEFT_OUT.load(Ordering::Relaxed)
}

static LINES_LEFT_OUT: AtomicU64 = AtomicU64::new(0);

fn write_connected(subject: &Subject<'_>, what: &What) {
    let What::Connected {
        version,
        user,
        provider,
        clean_start,
        session_present,
        keep_alive_s,
        session_expiry_s,
    } = what
    else {
        unreachable!("the caller looked");
    };
    tracing::info!(
        shard = subject.shard,
        client_id = subject.client_id.as_deref(),
        address = subject.address,
        user = user.as_deref().map(shortened).as_deref(),
        provider = provider.as_deref(),
        ?version,
        clean_start,
        session_present,
        keep_alive_s,
        session_expiry_s,
        "connected"
    );
}

/// Nobody has proved what the claim says.
fn write_refused(subject: Subject<'_>, reason: ReasonCode, why: &str, claim: Option<&Claim>) {
    let Subject { shard, client_id, address } = subject;
    let client_id = client_id.or_else(|| claim.map(|claim| shortened(&claim.client_id)));
    let user_name = claim.and_then(|claim| claim.user_name.as_deref()).map(shortened);
    let (client_id, user_name) = (client_id.as_deref(), user_name.as_deref());
    let reason = reason.name();
    tracing::info!(shard, client_id, address, user_name, reason, why, "refused");
}

/// Of a connection, a session, or what comes of them.
fn write_end(subject: &Subject<'_>, other: Option<Address>, what: &What) {
    let Subject { shard, client_id, address } = subject;
    let client_id = client_id.as_deref();
    match what {
        What::Violation { reason, what } => {
            tracing::warn!(shard, client_id, address, reason = reason.name(), what, "protocol violation");
        }
        What::QuotaExceeded { why } => {
            tracing::warn!(shard, client_id, address, why, "{QUOTA_EXCEEDED}");
        }
        What::Disconnected { reason, why } => {
            let why = &**why;
            let reason = (why != NETWORK_CLOSED).then(|| reason.name_of_end());
            tracing::info!(shard, client_id, address, reason, why, "disconnected");
        }
        What::TakenOver => tracing::info!(shard, client_id, address, "session taken over"),
        What::Contested { takeovers, .. } => {
            let other_address = other.and_then(Address::known);
            tracing::warn!(shard, client_id, address, other_address, takeovers, "{CONTESTED}");
        }
        What::SessionExpired => tracing::debug!(shard, client_id, address, "session expired"),
        What::WillPublished => tracing::debug!(shard, client_id, address, "will published"),
        _ => unreachable!("the caller looked"),
    }
}

fn write_room(subject: &Subject<'_>, what: &What) {
    let Subject { shard, client_id, address } = subject;
    let client_id = client_id.as_deref();
    match what {
        What::QueueFull { cause, topic } => {
            let (why, topic) = (cause.text(), &**topic);
            tracing::warn!(shard, client_id, address, topic, why, "queue full, messages are dropped");
        }
        What::StoreFull => tracing::error!(shard, "{STORE_FULL}"),
        What::StoreHasRoom => tracing::info!(shard, "the store has room again"),
        What::NotRetained { cause, topic, count } => {
            let (why, topic) = (cause.text(), &**topic);
            tracing::warn!(shard, client_id, topic, why, count, "delivered and not retained");
        }
        What::RetainedBeyondLimits { messages, messages_max, bytes, bytes_max } => {
            tracing::warn!(shard, messages, messages_max, bytes, bytes_max, "{RETAINED_BEYOND_LIMITS}");
        }
        _ => unreachable!("the caller looked"),
    }
}

fn write_denied(subject: &Subject<'_>, denial: &Denial) {
    let Subject { shard, client_id, address } = subject;
    let client_id = client_id.as_deref();
    let Denial { user, action, topic, because, is_shadow } = denial;
    let user = user.as_deref().map(shortened);
    let (user, topic, because) = (user.as_deref(), &*shortened(topic), &**because);
    if *is_shadow {
        tracing::info!(shard, client_id, address, user, action, topic, because, "would be denied");
    } else {
        tracing::info!(shard, client_id, address, user, action, topic, because, "denied");
    }
}

/// A client id may have 65,535 bytes; a line of the log has better uses.
fn shortened(client_id: &str) -> Cow<'_, str> {
    match client_id.char_indices().nth(CLIENT_ID_CHARS_MAX) {
        None => Cow::Borrowed(client_id),
        Some((at, _)) => Cow::Owned(format!("{}… ({} bytes)", &client_id[..at], client_id.len())),
    }
}

pub(crate) const QUOTA_EXCEEDED: &str = "quota exceeded";

const CONTESTED: &str = "two clients use the same client id and take the session from each other";

const STORE_FULL: &str =
    "the store has no room: QoS 1 and 2 messages are refused or wait until there is space on its disk";

const RETAINED_BEYOND_LIMITS: &str = "more retained messages are kept than this shard's part of router.retained_message_limit \
     and router.max_retained_bytes: they stay, and what needs more room is not retained until some of them are gone";

const CLIENT_ID_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_client_id_is_cut_at_a_character() {
        assert_eq!(shortened("short"), "short");
        let long = "ä".repeat(200);
        assert_eq!(shortened(&long), format!("{}… (400 bytes)", "ä".repeat(128)));
    }
}
