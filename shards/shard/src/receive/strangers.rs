//! Who comes with another protocol to a listener that speaks MQTT alone. The log names it: most often somebody has taken the wrong port.

use mqtt::Violation;

use super::protocol_error;
use crate::{ConnId, Shard, connection::Stage};

impl Shard {
    pub(super) fn stranger(&self, conn: ConnId, bytes: &[u8]) -> Option<Violation> {
        // What a CONNECT begins with.
        if bytes.first() == Some(&0x10) {
            return None;
        }
        let is_first = self.connections.get(conn).is_some_and(|connection| connection.stage == Stage::Opened);
        let what = BEGINNINGS.iter().find(|(beginning, _)| is_first && bytes.starts_with(beginning));
        what.map(|(_, what)| protocol_error(what))
    }
}

const TLS: &str = "this is TLS, at a listener without TLS";
const HTTP: &str = "this is HTTP, at a listener that speaks MQTT without it";
const PROXY: &str = "this is the header of a proxy, at a listener without `proxy_protocol_from`";

const BEGINNINGS: [(&[u8], &str); 12] = [
    // A record with a handshake in it, of whatever version.
    (&[0x16, 0x03], TLS),
    (b"GET ", HTTP),
    (b"HEAD ", HTTP),
    (b"POST ", HTTP),
    (b"PUT ", HTTP),
    (b"PATCH ", HTTP),
    (b"DELETE ", HTTP),
    (b"OPTIONS ", HTTP),
    (b"CONNECT ", HTTP),
    (b"PRI ", HTTP),
    (b"PROXY ", PROXY),
    (b"\r\n\r\n\0\r\nQUIT\n", PROXY),
];
