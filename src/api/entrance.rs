//! A port of the API before the hall: whoever connects is looked at when he comes, and who has to wait for a place does so aside. So a crowd
//! from one address is no queue that anybody else stands in.

use std::{collections::VecDeque, io, net::SocketAddr};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::futures::Notified,
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};

use super::{
    hall::{Hall, Stay, Turn},
    server::ACCEPT_PAUSE,
};

pub struct Entrance {
    listener: TcpListener,
    hall: Hall,
    /// Of addresses that have most guests already, in the order in which they came.
    waiting: VecDeque<(TcpStream, SocketAddr, Turn)>,
}

impl Entrance {
    pub fn new(listener: TcpListener, hall: Hall) -> Entrance {
        Entrance { listener, hall, waiting: VecDeque::new() }
    }

    /// The next one who has a place.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr, Stay) {
        loop {
            // What those who were let in before have said is read first: with a token they leave the hall to others.
            yield_now().await;
            let vacated = self.hall.vacated();
            let opens_at = match self.waiting.front().map(|(_, peer, _)| self.hall.try_enter(peer.ip())) {
                Some(Ok(stay)) => {
                    let (stream, peer, _) = self.waiting.pop_front().expect("it stands in front");
                    return (stream, peer, stay);
                }
                Some(Err(opens_at)) => Some(opens_at),
                None => None,
            };
            let Some(come) = accept_until(&self.listener, opens_at, vacated).await else { continue };
            let Ok((stream, peer)) = come else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match self.hall.try_enter(peer.ip()) {
                Ok(stay) => return (stream, peer, stay),
                // Without a turn he is one of a crowd that could not have places either, and is closed.
                Err(_) => self.waiting.extend(self.hall.try_wait(peer.ip()).map(|turn| (stream, peer, turn))),
            }
        }
    }
}

/// None when it is time to look at those who wait.
async fn accept_until(
    listener: &TcpListener,
    opens_at: Option<Instant>,
    vacated: Notified<'_>,
) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    let Some(opens_at) = opens_at else { return Some(listener.accept().await) };
    tokio::select! {
        come = listener.accept() => Some(come),
        () = vacated => None,
        () = sleep_until(opens_at) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpStream as StdStream};

    use tokio::{net::TcpSocket, runtime::Builder};

    use super::*;
    use crate::api::{
        hall::{GUESTS_MAX, SETTLING, WAITING_MIN},
        shares::share_of,
    };

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
            let mut clients: Vec<StdStream> = (0..GUESTS_MAX + WAITING + BEYOND).map(connect).collect();
            let mut entrance = Entrance::new(listener, Hall::new(1, WAITING_MIN));
            let mut guests = Vec::new();
            for client in &clients[..=GUESTS_MAX] {
                let guest = entrance.next().await;
                assert_eq!(guest.1, client.local_addr().expect("it is connected"));
                guests.push(guest);
            }
            assert_eq!(entrance.waiting.len(), WAITING - 1, "one has had his turn");
            for client in &mut clients[GUESTS_MAX + WAITING..] {
                assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
            }
        });
    }

    #[test]
    fn who_waits_comes_in_as_soon_as_a_guest_leaves() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("the system chooses the port");
            let address = listener.local_addr().expect("it is bound");
            let connect = |_| StdStream::connect(address).expect("the socket listens");
            let clients: Vec<StdStream> = (0..=GUESTS_MAX).map(connect).collect();
            let mut entrance = Entrance::new(listener, Hall::new(1, WAITING_MIN));
            let mut guests = Vec::new();
            for _ in 0..GUESTS_MAX {
                guests.push(entrance.next().await);
            }
            let begun = Instant::now();
            let leaves = tokio::spawn(async move { drop(guests.pop()) });
            let (_, last, _) = entrance.next().await;
            leaves.await.expect("no panic");
            assert_eq!(last, clients[GUESTS_MAX].local_addr().expect("it is connected"));
            assert!(begun.elapsed() < SETTLING, "{:?}", begun.elapsed());
        });
    }

    /// Of one address.
    const WAITING: usize = share_of(WAITING_MIN);
    const BEYOND: usize = 10;
}
