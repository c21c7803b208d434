//! What a shard has to say becomes one line of the log.

use std::borrow::Cow;

use shard::{Denial, Note, ShardId, What};

use crate::connection::Address;

/// Writes the line. The client is named by its id where it has one, and by its address where it is connected here. `other` is the
/// address of another client where the line is about two.
pub(crate) fn write(shard: ShardId, address: Option<Address>, other: Option<Address>, note: &Note) {
    let shard = shard.0;
    let client_id = note.client_id.as_deref().map(shortened);
    let client_id = client_id.as_deref();
    let (address, other) = (address.map(tracing::field::display), other.map(tracing::field::display));
    match &note.what {
        What::Connected {
            version,
            user,
            provider,
            clean_start,
            session_present,
            keep_alive_s,
            session_expiry_s,
        } => {
            tracing::info!(
                shard,
                client_id,
                address,
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
        What::Refused { reason, why, claim } => {
            let claimed_id = claim.as_ref().map(|claim| shortened(&claim.client_id));
            let user_name = claim.as_ref().and_then(|claim| claim.user_name.as_deref()).map(shortened);
            let (client_id, user_name) = (claimed_id.as_deref(), user_name.as_deref());
            tracing::info!(shard, client_id, address, user_name, ?reason, why = &**why, "refused");
        }
        What::Violation { reason, what } => {
            tracing::warn!(shard, client_id, address, ?reason, what, "protocol violation");
        }
        What::Disconnected { reason, why } => {
            tracing::info!(shard, client_id, address, ?reason, why = &**why, "disconnected");
        }
        What::TakenOver => tracing::info!(shard, client_id, address, "session taken over"),
        What::Contested { takeovers, .. } => {
            tracing::warn!(shard, client_id, address, other_address = other, takeovers, "{CONTESTED}");
        }
        What::SessionExpired => tracing::debug!(shard, client_id, address, "session expired"),
        What::WillPublished => tracing::debug!(shard, client_id, address, "will published"),
        What::QueueFull => tracing::warn!(shard, client_id, address, "queue full, messages are dropped"),
        What::StoreFull => {
            tracing::error!(
                shard,
                "the store has no room: QoS 1 and 2 messages are refused or wait until there is space on its disk"
            );
        }
        What::StoreHasRoom => tracing::info!(shard, "the store has room again"),
        What::Denied(denial) => {
            let Denial { user, action, topic, because, is_shadow } = &**denial;
            let user = user.as_deref().map(shortened);
            let (user, topic, because) = (user.as_deref(), &*shortened(topic), &**because);
            if *is_shadow {
                tracing::info!(shard, client_id, address, user, action, topic, because, "would be denied");
            } else {
                tracing::info!(shard, client_id, address, user, action, topic, because, "denied");
            }
        }
        What::SubscriptionsRefused { reason, count } => {
            tracing::info!(shard, client_id, address, ?reason, count, "subscriptions refused");
        }
    }
}

/// A client id may have 65,535 bytes; a line of the log has better uses.
fn shortened(client_id: &str) -> Cow<'_, str> {
    match client_id.char_indices().nth(CLIENT_ID_CHARS_MAX) {
        None => Cow::Borrowed(client_id),
        Some((at, _)) => Cow::Owned(format!("{}… ({} bytes)", &client_id[..at], client_id.len())),
    }
}

const CONTESTED: &str = "two clients use the same client id and take the session from each other";

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
