//! The seam to whoever says who a client is: once per process, and never in the way of a shard.
//!
//! A shard asks by an effect. The runtime adds what it alone knows of the connection, and brings the answer, from whatever
//! thread it comes, as an event of the turn in which it is there.

use std::{
    fmt::Debug,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use shard::{Answer, Ask, ConnId, Instant, ReasonCode};

use crate::mesh::Waker;

/// Says who clients are. All shards have the same one.
pub trait Doorkeeper: Send + Sync + Debug {
    /// Must not block: a shard waits until it returns. The answer may be given before that, or later on any thread.
    fn ask(&self, question: Question, answering: Answering);

    /// One more connection has come to the door. False: it is closed without a word. Must not block.
    fn opens(&self, _door: u16) -> bool {
        true
    }

    /// Where it comes from, as soon as that is known. As above.
    fn may_come_from(&self, _door: u16, _address: IpAddr) -> bool {
        true
    }
}

/// All that is known of a client that wants in, or that proves itself again.
#[derive(Debug)]
pub struct Question {
    pub ask: Box<Ask>,
    /// None where the client comes by a socket in the file system.
    pub address: Option<SocketAddr>,
    /// By way of a proxy. Where it does not say whose client it is, the address is that of the proxy.
    pub is_relayed: bool,
    /// What the client has shown in the TLS handshake, which found it good; in DER.
    pub certificate: Option<Box<[u8]>>,
}

/// The duty to answer. Who lets go of it without a word has said that there is nobody who could.
#[derive(Debug)]
pub struct Answering {
    conn: ConnId,
    asked_at: Instant,
    /// None once the answer is given.
    answers: Option<Sender<Answered>>,
    waker: Waker,
}

/// One shard's side of the seam.
pub(crate) struct Gate {
    doorkeeper: Option<Arc<dyn Doorkeeper>>,
    /// As many as there are connections, at most: each is asked about once at a time.
    answers: Receiver<Answered>,
    sender: Sender<Answered>,
    waker: Waker,
}

/// An answer on its way back.
pub(crate) struct Answered {
    pub conn: ConnId,
    pub asked_at: Instant,
    pub answer: Answer,
}

impl Answering {
    pub fn give(mut self, answer: Answer) {
        self.send(answer);
    }

    fn send(&mut self, answer: Answer) {
        if let Some(answers) = self.answers.take()
            // Nobody listens once the shard has ended.
            && answers.send(Answered { conn: self.conn, asked_at: self.asked_at, answer }).is_ok()
        {
            self.waker.wake();
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.send(Answer::refuse(ReasonCode::ServerUnavailable, "the question was dropped"));
    }
}

impl Gate {
    pub fn new(doorkeeper: Option<Arc<dyn Doorkeeper>>, waker: Waker) -> Gate {
        let (sender, answers) = unbounded();
        Gate { doorkeeper, answers, sender, waker }
    }

    pub fn ask(&self, conn: ConnId, question: Question, asked_at: Instant) {
        let answering =
            Answering { conn, asked_at, answers: Some(self.sender.clone()), waker: self.waker.clone() };
        match &self.doorkeeper {
            Some(doorkeeper) => doorkeeper.ask(question, answering),
            None => drop(answering),
        }
    }

    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub fn next_answer(&self) -> Option<Answered> {
        self.answers.try_recv().ok()
    }
}
