//! A port of the API before the hall: whoever connects is looked at when he comes, and who has to wait for a place does so aside. So a crowd
//! from one address is no queue that anybody else stands in.

use std::{collections::VecDeque, io, net::SocketAddr};

use socket2::{SockRef, Socket};
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
            let place = self.find_place(peer);
            let entered = place.and_then(|place| self.take_in(stream, peer, place));
            if let Some(entered) = entered.or_else(|| self.take_crowd()) {
                return entered;
            }
        }
    }

    /// Those who stand behind one who found no place, until one of them does. A flood fills the kernel's queue, which holds up everybody, where each
    /// of it has to wait until all others have had their turn.
    fn take_crowd(&mut self) -> Option<(TcpStream, SocketAddr, Stay)> {
        for _ in 1..CROWD {
            // Whoever is closed at once is never made known to the event loop. Whatever is wrong is found out when it is waited for.
            let (socket, peer) = SockRef::from(&self.listener).accept().ok()?;
            let Some(peer) = peer.as_socket() else { continue };
            if let Some(place) = self.find_place(peer)
                && let Some(entered) = self.take_in(known(socket)?, peer, place)
            {
                return Some(entered);
            }
        }
        None
    }

    /// None: he is one of a crowd that could not have places either, and is closed.
    fn find_place(&self, peer: SocketAddr) -> Option<Place> {
        match self.hall.try_enter(peer.ip()) {
            Ok(stay) => Some(Place::Within(stay)),
            Err(_) => self.hall.try_wait(peer.ip()).map(Place::Before),
        }
    }

    /// None: he waits.
    fn take_in(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) -> Option<(TcpStream, SocketAddr, Stay)> {
        match place {
            Place::Within(stay) => Some((stream, peer, stay)),
            Place::Before(turn) => {
                self.waiting.push_back((stream, peer, turn));
                None
            }
        }
    }
}

enum Place {
    Within(Stay),
    Before(Turn),
}

/// To the event loop. None: it has no room for it, and the connection is closed.
fn known(socket: Socket) -> Option<TcpStream> {
    socket.set_nonblocking(true).ok()?;
    TcpStream::from_std(socket.into()).ok()
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

/// Of whom nobody found a place: one after the other in one turn, for less than a millisecond.
const CROWD: usize = 64;

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::TcpStream as StdStream,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::{net::TcpSocket, runtime::Builder};

    use super::*;
    use crate::api::{
        hall::{GUESTS_MAX, SETTLING, WAITING_MIN},
        shares::share_of,
    };

    /// Time passes where everybody waits, and then at once.
    fn run(work: impl Future<Output = ()>) {
        let mut clock = Builder::new_current_thread();
        clock.enable_all().start_paused(true).build().expect("a runtime").block_on(work);
    }

    /// Within a runtime, with room for all who come before anybody is let in.
    fn listener() -> (TcpListener, SocketAddr) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("the system chooses the port");
        let listener = socket.listen(1024).expect("nobody else has the port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    #[test]
    fn a_crowd_is_closed_in_a_few_turns_of_those_who_have_places() {
        run(async {
            let (listener, address) = listener();
            let connect = |_| StdStream::connect(address).expect("the socket listens");
            let crowd = 6 * CROWD;
            let mut clients: Vec<StdStream> = (0..GUESTS_MAX + WAITING + crowd).map(connect).collect();
            let mut entrance = Entrance::new(listener, Hall::new(1, WAITING_MIN));
            let mut guests = Vec::new();
            for _ in 0..GUESTS_MAX {
                guests.push(entrance.next().await);
            }
            let turns = Arc::new(AtomicUsize::new(0));
            let others = tokio::spawn({
                let turns = Arc::clone(&turns);
                async move {
                    loop {
                        turns.fetch_add(1, Ordering::Relaxed);
                        yield_now().await;
                    }
                }
            });
            let seen = Arc::clone(&turns);
            let watched = tokio::spawn(async move {
                let last = clients.last_mut().expect("a crowd");
                last.set_nonblocking(true).expect("set");
                while last.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    yield_now().await;
                }
                seen.load(Ordering::Relaxed)
            });
            let turns_taken = tokio::select! {
                turns_taken = watched => turns_taken.expect("no panic"),
                () = async { loop { guests.push(entrance.next().await); } } => 0,
            };
            assert!((1..50).contains(&turns_taken), "{turns_taken} turns for a crowd of {crowd}");
            others.abort();
        });
    }

    #[test]
    fn who_has_to_wait_comes_in_his_turn_and_a_crowd_is_closed() {
        run(async {
            let (listener, address) = listener();
            let connect = |_| StdStream::connect(address).expect("the socket listens");
            // All of loopback is one address.
            let mut clients: Vec<StdStream> = (0..GUESTS_MAX + WAITING + BEYOND).map(connect).collect();
            let mut entrance = Entrance::new(listener, Hall::new(1, WAITING_MIN));
            let (mut guests, begun) = (Vec::new(), Instant::now());
            for client in &clients[..=GUESTS_MAX] {
                let guest = entrance.next().await;
                assert_eq!(guest.1, client.local_addr().expect("it is connected"));
                guests.push(guest);
            }
            assert_eq!(entrance.waiting.len(), WAITING - 1, "one has had his turn");
            assert_eq!(begun.elapsed(), SETTLING, "as soon as the first guest was settled");
            for client in &mut clients[GUESTS_MAX + WAITING..] {
                assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
            }
        });
    }

    #[test]
    fn who_waits_comes_in_as_soon_as_a_guest_leaves() {
        run(async {
            let (listener, address) = listener();
            let connect = |_| StdStream::connect(address).expect("the socket listens");
            let clients: Vec<StdStream> = (0..=GUESTS_MAX).map(connect).collect();
            let mut entrance = Entrance::new(listener, Hall::new(1, WAITING_MIN));
            let mut guests = Vec::new();
            for _ in 0..GUESTS_MAX {
                guests.push(entrance.next().await);
            }
            let begun = Instant::now();
            // When whoever waits has been found no place.
            let leaves = tokio::spawn(async move {
                sleep(SETTLING / 2).await;
                drop(guests.pop());
            });
            let (_, last, _) = entrance.next().await;
            leaves.await.expect("no panic");
            assert_eq!(last, clients[GUESTS_MAX].local_addr().expect("it is connected"));
            assert_eq!(begun.elapsed(), SETTLING / 2, "not only when the first guest is settled");
        });
    }

    /// Of one address.
    const WAITING: usize = share_of(WAITING_MIN);
    const BEYOND: usize = 10;
}
