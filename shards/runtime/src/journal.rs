//! What a shard has to say becomes one line of the log.

use shard::{Note, ShardId, What};

use crate::connection::Address;

/// Writes the line. The client is named by its id where it has one, and by its address where it is connected here.
pub(crate) fn write(shard: ShardId, address: Option<Address>, note: &Note) {
    let shard = shard.0;
    let client_id = note.client_id.as_deref();
    let address = address.map(tracing::field::display);
    match &note.what {
        What::Connected { version, clean_start, session_present, keep_alive_s, session_expiry_s } => {
            tracing::info!(
                shard,
                client_id,
                address,
                ?version,
                clean_start,
                session_present,
                keep_alive_s,
                session_expiry_s,
                "connected"
            );
        }
        What::Refused { reason, why } => {
            tracing::info!(shard, client_id, address, ?reason, why, "refused");
        }
        What::Violation { reason, what } => {
            tracing::warn!(shard, client_id, address, ?reason, what, "protocol violation");
        }
        What::Disconnected { reason, why } => {
            tracing::info!(shard, client_id, address, ?reason, why, "disconnected");
        }
        What::TakenOver => tracing::info!(shard, client_id, address, "session taken over"),
        What::SessionExpired => tracing::debug!(shard, client_id, address, "session expired"),
        What::WillPublished => tracing::debug!(shard, client_id, address, "will published"),
        What::QueueFull => tracing::warn!(shard, client_id, address, "queue full, messages are dropped"),
        What::SubscriptionRefused { reason } => {
            tracing::info!(shard, client_id, address, ?reason, "subscription refused");
        }
    }
}
