//! A store that failed: nothing is stored any more, so that nothing is promised any more. Who waits for it loses the
//! connection, who would need it is refused, and everybody else is served.
//!
//! The store is that of all shards: when one part of it fails, all of it does.

use mqtt::ReasonCode;

use crate::{ConnId, Effect, Mail, Shard, StoreRoom, What, ending::WillFate, turn::Turn};

impl Shard {
    pub(crate) fn handle_store_failed(&mut self, turn: &mut Turn<'_>) {
        if self.has_store_failed() {
            return;
        }
        self.store.fail();
        for peer in self.peers() {
            self.post_mail(peer, Mail::StoreRoom(StoreRoom::Failed), turn);
        }
        self.look_everywhere(turn);
        // The flush finds those whose answers wait for what is not stored. Others wait for other shards to have stored it.
        self.wake_waiting();
        for conn in self.handshakes.waiting() {
            self.give_up_waiting(conn, turn);
        }
    }

    #[inline]
    pub(crate) fn has_store_failed(&self) -> bool {
        self.store.has_failed()
    }

    /// What the client was to be told will never be true.
    pub(crate) fn give_up_waiting(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let leaver = self.leaver_at(conn);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let unsent_bytes = connection.unsent_bytes();
        let unsaid = connection.take_unsaid();
        let sending = connection.sending;
        self.totals.unsent_bytes -= unsent_bytes - connection.unsent_bytes();
        if let Some(leaver) = leaver {
            self.lose_unsaid(conn, leaver, unsaid, sending, turn);
        }
        let what = What::Disconnected {
            reason: ReasonCode::ServerUnavailable,
            why: "what it waits for is in a store that has failed".into(),
        };
        // Nothing is said: not even its CONNACK may have gone out.
        self.end_connection(conn, None, what, WillFate::Publish, turn);
        if !sending {
            self.forget_connection(conn, turn);
            turn.push(Effect::Close { conn });
        }
    }
}

/// What 5.0 clients are told with their CONNACK, and whoever asks after the broker's health.
pub(crate) const STORE_FAILED: &str =
    "the store has failed: what would have to be stored is refused until the broker is started again";
