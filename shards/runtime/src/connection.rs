//! What the runtime keeps for each connection, and the table of all of them.
//!
//! An idle connection is one entry here and nothing else: no task, no buffer, no timer.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
};

use shard::{ConnId, Full, Reading};

use crate::{door::OpenDoor, layers::Layers, operation::GENERATION_BITS, sending::Sending};

/// One entry of the table. Vacant where there is no socket.
pub(crate) struct Connection {
    pub socket: Option<OwnedFd>,
    generation: u32,
    /// The send that is under way. Boxed: the kernel points into it, and idle connections have none.
    pub sending: Option<Box<Sending>>,
    pub address: Address,
    pub stage: Stage,
    /// How the shard wants it read.
    pub wanted: Reading,
    /// The receive that is outstanding.
    pub armed: Armed,
    pub cancelling: bool,
    /// That its peer ends is waited for, until it does or the connection is over.
    pub watched: bool,
    /// The peer has said its last, and only what lies there already is read: an answer that finds nobody changes nothing.
    pub is_leaving: bool,
    /// Our side of the stream has ended.
    pub is_shut: bool,
    /// The peer's side of the stream has ended.
    pub is_ended: bool,
    pub refuse: Option<Full>,
    /// A proxy stands between the peer and the client, or a page from elsewhere.
    pub is_relayed: bool,
    /// Where it came in; there is one while there is a socket.
    pub door: Option<Arc<OpenDoor>>,
    /// What lies between the socket and MQTT; none where nothing does.
    pub layers: Option<Box<Layers>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its layers do not stand yet, and the shard has not heard of it.
    Opening,
    /// The shard knows it.
    Open,
    /// The shard has forgotten it; its last bytes go out and the peer's end is awaited.
    Closing,
    /// Over. Only operations that have not completed keep the entry.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Armed {
    No,
    Once,
    Continuous,
}

/// From where a connection came, and by which listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whence {
    pub address: Address,
    /// The listener's number.
    pub door: Option<u16>,
}

/// An address and port in 18 bytes; an IPv4 address is kept in its mapped form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    ip: [u8; 16],
    port: [u8; 2],
}

impl Address {
    pub const UNKNOWN: Address = Address { ip: [0; 16], port: [0; 2] };

    pub fn is_unknown(&self) -> bool {
        self.ip == Address::UNKNOWN.ip
    }

    /// For the log: none for who comes by a socket in the file system.
    pub fn known(self) -> Option<tracing::field::DisplayValue<Address>> {
        (!self.is_unknown()).then(|| tracing::field::display(self))
    }

    /// None for who comes by a socket in the file system.
    pub fn ip(self) -> Option<IpAddr> {
        let ip = Ipv6Addr::from(self.ip).to_canonical();
        (!ip.is_unspecified()).then_some(ip)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Address { ip: ip.octets(), port: address.port().to_be_bytes() }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> SocketAddr {
        let ip = Ipv6Addr::from(address.ip).to_canonical();
        SocketAddr::new(ip, u16::from_be_bytes(address.port))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Peer(SocketAddr::from(*self)).fmt(f)
    }
}

/// An address as people read it. A proxy that tells no port (X-Forwarded-For) leaves it 0, which no client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.port() {
            0 => self.0.ip().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

/// All connections of one shard, by slot.
#[derive(Default)]
pub(crate) struct Connections {
    entries: Vec<Connection>,
    vacant: Vec<u32>,
    count: usize,
}

impl Connections {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn insert(
        &mut self,
        socket: OwnedFd,
        address: Address,
        refuse: Option<Full>,
        door: Arc<OpenDoor>,
    ) -> ConnId {
        self.count += 1;
        let slot = self.vacant.pop().unwrap_or_else(|| self.add_slot());
        let entry = &mut self.entries[slot as usize];
        let vacant = Connection::vacant(entry.generation);
        *entry = Connection { socket: Some(socket), door: Some(door), address, refuse, ..vacant };
        ConnId { slot, generation: entry.generation }
    }

    /// Makes the entry vacant and gives out its socket and its door. A name that was given out stays unique.
    pub fn remove(&mut self, slot: u32) -> (OwnedFd, Arc<OpenDoor>) {
        let entry = &mut self.entries[slot as usize];
        let socket = entry.socket.take().expect("only an occupied slot is removed");
        assert!(entry.sending.is_none(), "nothing is under way from a connection that ends");
        assert!(entry.armed == Armed::No, "nothing is received for a connection that ends");
        assert!(!entry.watched, "nobody waits for the end of a connection that has ended");
        let door = entry.door.take().expect("where there is a socket there is a door");
        entry.layers = None;
        self.count -= 1;
        // A slot without a generation left is never used again, which costs one entry every four thousand million.
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            self.vacant.push(slot);
        }
        (socket, door)
    }

    /// The connection with this name, if it still is.
    pub fn get(&mut self, id: ConnId) -> Option<&mut Connection> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        (entry.generation == id.generation && entry.socket.is_some()).then_some(entry)
    }

    /// The connection that the shard names: it names none that it was not told of, and none that is over.
    pub fn open(&mut self, id: ConnId) -> &mut Connection {
        let entry = self.get(id).expect("the shard names connections that exist");
        assert!(entry.stage == Stage::Open, "the shard names connections that it has not closed");
        entry
    }

    /// The connection that a completion belongs to: its entry stays until its last operation has completed.
    pub fn of_operation(&mut self, slot: u32, generation: u32) -> (ConnId, &mut Connection) {
        let entry = &mut self.entries[slot as usize];
        assert!(entry.socket.is_some(), "an operation keeps its entry");
        assert!(
            entry.generation & GENERATION_BITS == generation,
            "an operation keeps its entry's generation"
        );
        (ConnId { slot, generation: entry.generation }, entry)
    }

    pub fn ids(&self) -> Vec<ConnId> {
        let name =
            |(slot, entry): (usize, &Connection)| ConnId { slot: slot as u32, generation: entry.generation };
        self.entries.iter().enumerate().filter(|(_, entry)| entry.socket.is_some()).map(name).collect()
    }

    fn add_slot(&mut self) -> u32 {
        let slot = u32::try_from(self.entries.len()).expect("descriptors run out long before slots do");
        self.entries.push(Connection::vacant(0));
        slot
    }
}

impl Connection {
    pub fn whence(&self) -> Whence {
        Whence { address: self.address, door: self.door.as_ref().map(|door| door.id) }
    }

    fn vacant(generation: u32) -> Connection {
        Connection {
            socket: None,
            generation,
            sending: None,
            address: Address::UNKNOWN,
            stage: Stage::Open,
            wanted: Reading::Once,
            armed: Armed::No,
            cancelling: false,
            watched: false,
            is_leaving: false,
            is_shut: false,
            is_ended: false,
            refuse: None,
            is_relayed: false,
            door: None,
            layers: None,
        }
    }
}

const _: () =
    assert!(size_of::<Connection>() <= 64, "ten thousand idle connections take less than a megabyte by far");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Door, Place};

    fn door() -> Arc<OpenDoor> {
        let place = Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        Arc::new(OpenDoor::new(0, Door::plain(place)))
    }

    fn socket() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("every machine has it").into()
    }

    #[test]
    fn a_slot_is_used_again_only_with_a_higher_generation() {
        let mut connections = Connections::default();
        let first = connections.insert(socket(), Address::UNKNOWN, None, door());
        connections.remove(first.slot);
        let second = connections.insert(socket(), Address::UNKNOWN, Some(Full::Server), door());
        assert_eq!(first.slot, second.slot);
        assert!(second.generation > first.generation);
        assert!(connections.get(first).is_none());
        assert!(connections.get(second).is_some_and(|entry| entry.refuse == Some(Full::Server)));
        assert_eq!(connections.len(), 1);
    }

    #[test]
    fn a_slot_without_generations_retires() {
        let mut connections = Connections::default();
        let first = connections.insert(socket(), Address::UNKNOWN, None, door());
        connections.entries[first.slot as usize].generation = u32::MAX;
        connections.remove(first.slot);
        let second = connections.insert(socket(), Address::UNKNOWN, None, door());
        assert_ne!(first.slot, second.slot);
    }

    #[test]
    fn addresses_survive_their_compact_form() {
        for text in ["127.0.0.1:1883", "[::1]:8883", "[2001:db8::7]:1"] {
            let address: SocketAddr = text.parse().expect("it is an address");
            assert_eq!(SocketAddr::from(Address::from(address)), address);
        }
    }

    #[test]
    fn an_address_without_a_port_is_shown_without_one() {
        for (address, shown) in [
            ("203.0.113.5:0", "203.0.113.5"),
            ("203.0.113.5:7", "203.0.113.5:7"),
            ("[2001:db8::7]:0", "2001:db8::7"),
            ("[2001:db8::7]:1", "[2001:db8::7]:1"),
        ] {
            let address: SocketAddr = address.parse().expect("it is an address");
            assert_eq!(Address::from(address).to_string(), shown);
        }
    }
}
