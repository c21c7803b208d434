//! A port of the API before the hall: whoever connects is looked at when he comes, and who has to wait for a place does so aside. So a crowd
//! from one address is no queue that anybody else stands in.

use std::{collections::VecDeque, io, net::SocketAddr};

use tokio::{
    net::{TcpListener, TcpStream},
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::{
    hall::{Hall, Stay},
    server::ACCEPT_PAUSE,
};

pub struct Entrance {
    listener: TcpListener,
    hall: Hall,
    /// Of addresses that have most guests already, in the order in which they came.
    waiting: VecDeque<(TcpStream, SocketAddr)>,
}

impl Entrance {
    pub fn new(listener: TcpListener, hall: Hall) -> Entrance {
        Entrance { listener, hall, waiting: VecDeque::new() }
    }

    /// The next one who has a place.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr, Stay) {
        loop {
            // Whoever was let in before is heard first: with a token he leaves the hall to others, so that a burst of such is no crowd.
            yield_now().await;
            let opens_at = match self.waiting.front().map(|(_, peer)| self.hall.try_enter(peer.ip())) {
                Some(Ok(stay)) => {
                    let (stream, peer) = self.waiting.pop_front().expect("it stands in front");
                    return (stream, peer, stay);
                }
                Some(Err(opens_at)) => Some(opens_at),
                None => None,
            };
            let Some(come) = self.accept_until(opens_at).await else { continue };
            let Ok((stream, peer)) = come else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match self.hall.try_enter(peer.ip()) {
                Ok(stay) => return (stream, peer, stay),
                Err(_) if self.waiting.len() < WAITING_MAX => self.waiting.push_back((stream, peer)),
                // One of a crowd that would wait for longer than it is worth.
                Err(_) => {
                    drop(stream);
                    self.hall.note_refusal();
                }
            }
        }
    }

    /// None when it is time to look at those who wait.
    async fn accept_until(&self, at: Option<Instant>) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        match at {
            Some(at) => timeout_at(at, self.listener.accept()).await.ok(),
            None => Some(self.listener.accept().await),
        }
    }
}

/// At each port. Twice the hall, which is a fifth of a second for the last of them.
pub const WAITING_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpStream as StdStream};

    use tokio::{net::TcpSocket, runtime::Builder};

    use super::*;
    use crate::api::hall::GUESTS_MAX;

    #[test]
    fn who_has_to_wait_comes_in_his_turn_and_a_crowd_is_closed() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("the system chooses the port");
            let listener = socket.listen(1024).expect("nobody else has the port");
            let address = listener.local_addr().expect("it is bound");
            let connect = |_| StdStream::connect(address).expect("the socket listens");
            // All of loopback is one address.
            let mut clients: Vec<StdStream> = (0..GUESTS_MAX + WAITING_MAX + BEYOND).map(connect).collect();
            let mut entrance = Entrance::new(listener, Hall::new(1));
            let mut guests = Vec::new();
            for client in &clients[..=GUESTS_MAX] {
                let guest = entrance.next().await;
                assert_eq!(guest.1, client.local_addr().expect("it is connected"));
                guests.push(guest);
            }
            assert_eq!(entrance.waiting.len(), WAITING_MAX - 1, "one has had his turn");
            for client in &mut clients[GUESTS_MAX + WAITING_MAX..] {
                assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
            }
        });
    }

    const BEYOND: usize = 10;
}
