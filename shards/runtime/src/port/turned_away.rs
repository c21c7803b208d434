//! Connections that never come to be one: what the log and the audit log are told of them.

use std::time::Duration;

use shard::{Instant, NotOpened};

use super::{Happened, Port};
use crate::{Occasion, connection::Address, door::OpenDoor};

impl Port {
    /// The socket is closed already, or will be when its last words are said.
    pub(super) fn turn_away(
        &mut self,
        now: Instant,
        door: &OpenDoor,
        address: Address,
        why: NotOpened,
        what: &str,
    ) -> Happened {
        self.log_turned_away(now, door, address, why, what);
        if !self.auditors.is_empty() {
            let occasion = Occasion { address: address.ip().map(|_| address.into()), door: Some(door.id) };
            self.auditors.iter().for_each(|auditor| auditor.turn_away(self.shard, &occasion, why, what));
        }
        Happened::NotOpened(why)
    }

    /// Whoever floods the broker does not flood the log: of a crowd one line now and then is enough, and the counters have them all.
    pub(super) fn log_turned_away(
        &mut self,
        now: Instant,
        door: &OpenDoor,
        address: Address,
        why: NotOpened,
        what: &str,
    ) {
        let logged_at = &mut self.turned_away_logged_at[why as usize];
        if logged_at.is_some_and(|at| now.since(at) < LOG_PERIOD) {
            return;
        }
        *logged_at = Some(now);
        let (door, address) = (&door.door.place, address.known());
        // These may be clients whom somebody misses.
        if matches!(why, NotOpened::TooOften | NotOpened::NoSeat | NotOpened::NoSeatOfListener) {
            tracing::warn!(%door, address, "connections are closed without an answer: {what}");
        } else {
            tracing::info!(%door, address, why = what, "a connection is closed");
        }
    }
}

pub(super) const BANNED: &str = "its address is banned";
pub(super) const TOO_OFTEN: &str = "more come than the rates allow";
pub(super) const NO_SEAT: &str =
    "server.max_connections is reached, and even the places for refusals are taken";
pub(super) const NO_SEAT_OF_LISTENER: &str =
    "max_connections of this listener is reached, and even its places for refusals are taken";

/// How many there are.
pub(super) const REASONS: usize = NotOpened::Proxy as usize + 1;

/// The shortest time between two lines about connections that were turned away for the same reason.
const LOG_PERIOD: Duration = Duration::from_secs(1);
