//! What shards say for the log, and where the clients are that they say it of.

use std::net::{IpAddr, Ipv4Addr};

use shard::Note;

use super::{Client, Script};

impl Script {
    pub(super) fn note(&mut self, shard: usize, note: Note) {
        if let Some(wire) = note.conn.and_then(|conn| self.by_conn.get(&(shard, conn))) {
            let ip = self.crowd.unwrap_or_else(|| Script::address_of(Client(*wire)));
            self.shards[shard].locate(&note, ip);
        }
        self.notes.push(format!("{:?}", note.what));
        self.noted.push(note.client_id);
    }

    /// Each comes from another one.
    pub fn address_of(client: Client) -> IpAddr {
        Ipv4Addr::from_bits(0x0A00_0000 + client.0 as u32).into()
    }
}
