//! What the relay knows of its connections, whatever moves the bytes: who is who, and who gets whose bytes.

use client::Version;
use client::wire::{self, Packet, PacketKind};

/// One connection. Its index is the engine's.
#[derive(Default)]
pub struct Peer {
    version: Option<Version>,
    /// Whose bytes its own are copied to, once it has published.
    targets: Option<Vec<usize>>,
    /// Publishers that write to it. From two on their bytes are cut at the end of a packet.
    sources: usize,
    /// The beginning of a packet.
    partial: Vec<u8>,
    /// What it is to get.
    pub out: Vec<u8>,
    is_dirty: bool,
}

#[derive(Default)]
pub struct Relay {
    pub peers: Vec<Peer>,
    subscriptions: Vec<(String, usize)>,
    /// Peers with something in `out`.
    pub dirty: Vec<usize>,
}

impl Relay {
    pub fn open(&mut self, peer: usize) {
        if self.peers.len() <= peer {
            self.peers.resize_with(peer + 1, Peer::default);
        }
        self.peers[peer] = Peer::default();
    }

    pub fn close(&mut self, peer: usize) {
        self.subscriptions.retain(|(_, subscriber)| *subscriber != peer);
        for other in &mut self.peers {
            if let Some(targets) = &mut other.targets {
                targets.retain(|target| *target != peer);
            }
        }
        self.peers[peer] = Peer::default();
    }

    /// Bytes came from a peer. An error is a client that asks for what the relay does not do.
    pub fn receive(&mut self, peer: usize, bytes: &[u8]) -> Result<(), String> {
        if self.peers[peer].targets.is_some() {
            self.pass_on(peer, bytes);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.peers[peer].partial);
        all.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(frame) =
            wire::split(&all[at..], wire::MAX_PACKET_SIZE).map_err(|violation| violation.to_string())?
        {
            if frame.kind == PacketKind::Publish {
                self.find_targets(peer, &frame)?;
                self.pass_on(peer, &all[at..]);
                return Ok(());
            }
            self.answer(peer, &frame)?;
            at += frame.size;
        }
        all.drain(..at);
        self.peers[peer].partial = all;
        Ok(())
    }

    fn pass_on(&mut self, peer: usize, bytes: &[u8]) {
        let targets = self.peers[peer].targets.take().unwrap_or_default();
        let is_shared = targets.iter().any(|target| self.peers[*target].sources > 1);
        if is_shared || !self.peers[peer].partial.is_empty() {
            let mut whole = std::mem::take(&mut self.peers[peer].partial);
            let end = if whole.is_empty() {
                let end = end_of_packets(bytes);
                self.copy(&targets, &bytes[..end]);
                whole.extend_from_slice(&bytes[end..]);
                0
            } else {
                whole.extend_from_slice(bytes);
                let end = end_of_packets(&whole);
                self.copy(&targets, &whole[..end]);
                end
            };
            whole.drain(..end);
            self.peers[peer].partial = whole;
        } else {
            self.copy(&targets, bytes);
        }
        self.peers[peer].targets = Some(targets);
    }

    fn copy(&mut self, targets: &[usize], bytes: &[u8]) {
        for target in targets {
            self.peers[*target].out.extend_from_slice(bytes);
            self.mark(*target);
        }
    }

    fn mark(&mut self, peer: usize) {
        if !std::mem::replace(&mut self.peers[peer].is_dirty, true) {
            self.dirty.push(peer);
        }
    }

    /// A peer that has something to get.
    pub fn next_dirty(&mut self) -> Option<usize> {
        let peer = self.dirty.pop()?;
        self.peers[peer].is_dirty = false;
        Some(peer)
    }

    fn find_targets(&mut self, peer: usize, frame: &wire::Frame<'_>) -> Result<(), String> {
        let version = self.peers[peer].version.ok_or("a PUBLISH before the CONNECT")?;
        let publish = wire::Publish::decode(frame, version).map_err(|violation| violation.to_string())?;
        if publish.packet_id.is_some() {
            return Err("the null relay moves messages of QoS 0 alone".to_owned());
        }
        let matching = self.subscriptions.iter().filter(|(filter, _)| wire::matches(filter, publish.topic));
        let targets: Vec<usize> = matching.map(|(_, subscriber)| *subscriber).collect();
        for target in &targets {
            self.peers[*target].sources += 1;
        }
        self.peers[peer].targets = Some(targets);
        Ok(())
    }

    fn answer(&mut self, peer: usize, frame: &wire::Frame<'_>) -> Result<(), String> {
        let version = self.peers[peer].version.unwrap_or(Version::V311);
        let packet = wire::decode(frame, version).map_err(|violation| violation.to_string())?;
        let answer = match packet {
            Packet::Connect(connect) => {
                self.peers[peer].version = Some(connect.version);
                let properties: &[u8] = if connect.version == Version::V5 { &[0] } else { &[] };
                [&[0x20, 2 + properties.len() as u8, 0, 0], properties].concat()
            }
            Packet::Subscribe(subscribe) => {
                let [high, low] = subscribe.packet_id.get().to_be_bytes();
                let count = subscribe.filters.len() as u8;
                let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
                for (filter, _) in &subscribe.filters {
                    self.subscriptions.push(((*filter).to_owned(), peer));
                }
                let head = [0x90, 2 + properties.len() as u8 + count, high, low];
                [&head, properties, &vec![0; usize::from(count)]].concat()
            }
            Packet::Pingreq => vec![0xD0, 0],
            Packet::Disconnect(_) => return Ok(()),
            packet => {
                return Err(format!("the null relay does not know what to do with a {:?}", packet.kind()));
            }
        };
        self.peers[peer].out.extend_from_slice(&answer);
        self.mark(peer);
        Ok(())
    }
}

/// Where the last packet that is there in full ends.
fn end_of_packets(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(size) = wire::frame_size(&bytes[at..]) {
        if size > bytes.len() - at {
            break;
        }
        at += size;
    }
    at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CONNECT: &[u8] = b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01c";
    const SUBSCRIBE: &[u8] = b"\x82\x08\0\x01\0\x03t/+\0";
    const ONE: &[u8] = b"\x30\x06\0\x03t/1a";
    const TWO: &[u8] = b"\x30\x06\0\x03t/2b";

    fn relay_of(peers: usize) -> Relay {
        let mut relay = Relay::default();
        for peer in 0..peers {
            relay.open(peer);
            relay.receive(peer, CONNECT).unwrap();
            assert_eq!(std::mem::take(&mut relay.peers[peer].out), b"\x20\x02\0\0");
        }
        relay
    }

    #[test]
    fn bytes_of_two_publishers_are_not_mixed_within_a_packet() {
        let mut relay = relay_of(3);
        relay.receive(0, SUBSCRIBE).unwrap();
        assert_eq!(std::mem::take(&mut relay.peers[0].out), b"\x90\x03\0\x01\0");
        relay.receive(1, ONE).unwrap();
        relay.receive(2, TWO).unwrap();
        relay.receive(1, &ONE[..3]).unwrap();
        relay.receive(2, TWO).unwrap();
        relay.receive(1, &ONE[3..]).unwrap();
        assert_eq!(relay.peers[0].out, [ONE, TWO, TWO, ONE].concat());
        assert_eq!(relay.next_dirty(), Some(2));
    }

    #[test]
    fn a_subscriber_that_left_gets_nothing_and_qos_1_is_refused() {
        let mut relay = relay_of(2);
        relay.receive(0, SUBSCRIBE).unwrap();
        relay.receive(1, ONE).unwrap();
        relay.close(0);
        relay.receive(1, ONE).unwrap();
        assert!(relay.peers[0].out.is_empty());
        relay.open(0);
        relay.receive(0, CONNECT).unwrap();
        assert!(relay.receive(0, b"\x32\x08\0\x03t/1\0\x01a").unwrap_err().contains("QoS 0"));
    }
}
