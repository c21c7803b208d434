//! A modelled pair of sockets between one client and the broker. It moves bytes; what they mean is not its business.

use std::collections::VecDeque;

use shard::{ConnId, Instant, Reading};

use crate::said::Said;

/// Who holds the client's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Client(usize),
    /// Somebody without good intentions.
    Stranger,
}

/// Where the broker's end is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// On its way to a shard: just accepted, or moved there with these unread bytes.
    Moving {
        to: usize,
        unread: Vec<u8>,
    },
    Open {
        shard: usize,
        conn: ConnId,
    },
    /// The shard has forgotten it; what was given to the socket may still go out.
    Closing,
    Gone,
}

/// How the broker's end is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receive {
    Armed,
    /// The single read is done, and nobody has asked for more.
    Idle,
    Continuous,
    Paused,
}

#[derive(Debug)]
pub struct Socket {
    pub owner: Owner,
    pub side: Side,
    pub receive: Receive,
    /// From the client to the broker, not yet arrived.
    up: VecDeque<u8>,
    up_written: u64,
    up_given: u64,
    /// What the client said, and behind which byte each packet ends.
    said: VecDeque<(u64, Said)>,
    /// Packets that arrived while the shard did not look, or that wait for the rest of the same read.
    pub held: VecDeque<Said>,
    /// The first of them is a CONNECT, and somebody thinks about whose it is.
    pub is_asked: bool,
    /// The client's end is closed: after the bytes that are still under way comes the end.
    pub up_ends: bool,
    /// Bytes that this shard was given, until it is clear that the connection stays.
    pub given: Option<Vec<u8>>,
    /// The outstanding send and how much of it the socket has taken.
    sending: Option<(Vec<u8>, usize)>,
    /// The shard that gave it is to be told of these bytes, of which the socket has taken only so many.
    unsent: Option<(Vec<u8>, usize)>,
    /// Where it was before it was closed.
    pub was: Option<(usize, ConnId)>,
    /// From the broker to the client, taken by the socket, not yet read.
    pub down: VecDeque<u8>,
    pub down_room: usize,
    pub down_ends: bool,
    /// The client's end still reads.
    pub attached: bool,
    /// The client's end does not read for now.
    pub stalled: bool,
    /// The network is dead: nothing moves, and nobody has noticed.
    pub dead: bool,
    pub refuse: bool,
    /// When its shard learned of it.
    pub opened: Instant,
    /// A shard has accepted its CONNECT.
    pub is_connected: bool,
    pub up_due: bool,
    pub down_due: bool,
    pub read_due: bool,
}

impl Socket {
    pub fn new(owner: Owner, to: usize, down_room: usize) -> Socket {
        Socket {
            owner,
            side: Side::Moving { to, unread: Vec::new() },
            receive: Receive::Armed,
            up: VecDeque::new(),
            up_written: 0,
            up_given: 0,
            said: VecDeque::new(),
            held: VecDeque::new(),
            is_asked: false,
            up_ends: false,
            given: Some(Vec::new()),
            sending: None,
            unsent: None,
            was: None,
            down: VecDeque::new(),
            down_room,
            down_ends: false,
            attached: true,
            stalled: false,
            dead: false,
            refuse: false,
            opened: Instant::START,
            is_connected: false,
            up_due: false,
            down_due: false,
            read_due: false,
        }
    }

    /// The client writes one packet, or any bytes.
    pub fn write(&mut self, bytes: &[u8], said: Option<Said>) {
        if self.up_ends {
            return;
        }
        self.up.extend(bytes);
        self.up_written += bytes.len() as u64;
        if let Some(said) = said {
            self.said.push_back((self.up_written, said));
        }
    }

    pub fn up_len(&self) -> usize {
        self.up.len()
    }

    /// The network loses everything that is under way to the broker behind the first `keep` bytes.
    pub fn lose_up(&mut self, keep: usize) {
        self.up.truncate(keep);
        self.up_written = self.up_given + self.up.len() as u64;
        while self.said.back().is_some_and(|(end, _)| *end > self.up_written) {
            self.said.pop_back();
        }
        self.up_ends = true;
    }

    /// Takes up to `n` bytes that arrive at the broker; the packets that are whole with them are held.
    pub fn arrive(&mut self, n: usize) -> Vec<u8> {
        let n = n.min(self.up.len());
        let bytes: Vec<u8> = self.up.drain(..n).collect();
        self.up_given += n as u64;
        while self.said.front().is_some_and(|(end, _)| *end <= self.up_given) {
            self.held.extend(self.said.pop_front().map(|(_, said)| said));
        }
        if let Some(given) = &mut self.given {
            given.extend_from_slice(&bytes);
        }
        match self.receive {
            Receive::Armed => self.receive = Receive::Idle,
            Receive::Idle | Receive::Continuous | Receive::Paused => {}
        }
        bytes
    }

    pub fn may_arrive(&self) -> bool {
        !self.dead && matches!(self.receive, Receive::Armed | Receive::Continuous)
    }

    pub fn read(&mut self, reading: Reading) {
        self.receive = match reading {
            Reading::Once => Receive::Armed,
            Reading::Continuous => Receive::Continuous,
            Reading::Paused | Reading::Watched => Receive::Paused,
        };
    }

    /// False if a send is outstanding already.
    pub fn send(&mut self, bytes: Vec<u8>) -> bool {
        if self.sending.is_some() {
            return false;
        }
        self.sending = Some((bytes, 0));
        true
    }

    pub fn is_sending(&self) -> bool {
        self.sending.is_some()
    }

    /// The socket takes up to `n` bytes of the send, as far as there is room; true if that was all.
    pub fn take_down(&mut self, n: usize) -> bool {
        let Some((bytes, at)) = &mut self.sending else { return false };
        let n = n.min(bytes.len() - *at).min(self.down_room.saturating_sub(self.down.len()));
        self.down.extend(&bytes[*at..*at + n]);
        *at += n;
        *at == bytes.len()
    }

    /// The shard may send again.
    pub fn finish_send(&mut self) {
        self.sending = None;
    }

    /// Nothing more goes to the client than `keep` bytes of what is under way.
    pub fn lose_down(&mut self, keep: usize) {
        self.end_send();
        self.down.truncate(keep);
        self.down_ends = true;
    }

    /// The socket takes nothing any more.
    pub fn end_send(&mut self) {
        self.unsent = self.sending.take().or(self.unsent.take());
    }

    pub fn take_unsent(&mut self) -> Option<(Vec<u8>, usize)> {
        self.unsent.take()
    }

    /// The client has closed its end, and what it has said is still under way.
    pub fn is_left(&self) -> bool {
        self.on().is_some() && !self.attached && self.up_ends && !self.up.is_empty()
    }

    pub fn read_down(&mut self, n: usize) -> Vec<u8> {
        let n = n.min(self.down.len());
        self.down.drain(..n).collect()
    }

    pub fn is_full(&self) -> bool {
        self.down.len() >= self.down_room
    }

    pub fn on(&self) -> Option<(usize, ConnId)> {
        match self.side {
            Side::Open { shard, conn } => Some((shard, conn)),
            Side::Moving { .. } | Side::Closing | Side::Gone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> Socket {
        Socket::new(Owner::Client(0), 0, 4)
    }

    #[test]
    fn a_packet_is_said_when_its_last_byte_has_arrived() {
        let mut socket = socket();
        socket.write(b"abc", Some(Said::Pingreq));
        socket.write(b"de", Some(Said::Puback { packet_id: 1 }));
        socket.arrive(2);
        assert!(socket.held.is_empty());
        assert_eq!(socket.arrive(100), b"cde");
        assert!(matches!(socket.held.make_contiguous(), [Said::Pingreq, Said::Puback { packet_id: 1 }]));
    }

    #[test]
    fn what_the_network_lost_is_never_said() {
        let mut socket = socket();
        socket.write(b"abc", Some(Said::Pingreq));
        socket.write(b"de", Some(Said::Puback { packet_id: 1 }));
        socket.lose_up(4);
        assert_eq!(socket.arrive(100), b"abcd");
        assert!(matches!(socket.held.make_contiguous(), [Said::Pingreq]));
    }

    #[test]
    fn a_second_send_is_refused_while_one_is_outstanding() {
        let mut socket = socket();
        assert!(socket.send(b"123456".to_vec()));
        assert!(!socket.send(b"7".to_vec()));
        assert!(!socket.take_down(10), "there is room for four bytes");
        assert_eq!(socket.read_down(3), b"123");
        assert!(socket.take_down(10));
        socket.finish_send();
        assert!(socket.send(b"7".to_vec()));
    }

    #[test]
    fn a_single_read_is_one_read() {
        let mut socket = socket();
        socket.write(b"abc", None);
        assert!(socket.may_arrive());
        socket.arrive(1);
        assert!(!socket.may_arrive());
        socket.read(Reading::Once);
        assert!(socket.may_arrive());
        socket.read(Reading::Continuous);
        socket.arrive(1);
        assert!(socket.may_arrive());
    }
}
