//! What becomes of connections and of what their sockets are to take.

use shard::Event;

use super::{Client, Script, Wire};

impl Script {
    /// The network fails.
    pub fn cut(&mut self, client: Client) {
        self.close(client);
        self.give_up(client, 0);
    }

    fn close(&mut self, client: Client) {
        let wire = &mut self.wires[client.0];
        wire.closed = true;
        let (shard, conn) = (wire.shard, wire.conn);
        self.by_conn.remove(&(shard, conn));
        self.event(shard, Event::Closed { conn });
        self.settle();
    }

    /// The socket takes so many bytes of what it is full of, and no more.
    pub fn give_up(&mut self, client: Client, taken: usize) {
        let Wire { shard, conn, ref mut sending, .. } = self.wires[client.0];
        if let Some(outgoing) = sending.take() {
            self.event(shard, Event::Unsent { conn, outgoing, taken });
            self.settle();
        }
    }

    /// The socket takes so many bytes of what it is full of, and the end of the connection is told behind that.
    pub fn fail(&mut self, client: Client, taken: usize) {
        let Wire { shard, conn, ref mut sending, .. } = self.wires[client.0];
        let outgoing = sending.take().expect("the socket is full of something");
        self.event(shard, Event::Unsent { conn, outgoing, taken });
        self.close(client);
    }

    /// As `fail`, but for a client of which more is to be read: what goes out next is told to have gone.
    pub fn fail_and_go_on(&mut self, client: Client, taken: usize) {
        let Wire { shard, conn, ref mut sending, .. } = self.wires[client.0];
        let outgoing = sending.take().expect("the socket is full of something");
        self.event(shard, Event::Unsent { conn, outgoing, taken });
        self.event(shard, Event::Sent { conn });
        self.settle();
    }

    /// The client stops taking bytes: the next send never completes, until `unstick`.
    pub fn stick(&mut self, client: Client) {
        self.wires[client.0].stuck = true;
    }

    pub fn unstick(&mut self, client: Client) {
        let wire = &mut self.wires[client.0];
        wire.stuck = false;
        wire.sending = None;
        let (shard, conn) = (wire.shard, wire.conn);
        self.event(shard, Event::Sent { conn });
        self.settle();
    }
}
