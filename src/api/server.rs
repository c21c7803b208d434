//! Connections of the API, and how long each part of one may take. How many there may be over TCP is the matter of `hall.rs`.

use std::{
    io,
    net::SocketAddr,
    os::unix::net::UnixListener as StdListener,
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    sync::Semaphore,
    time::{sleep, timeout, timeout_at},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{ServerConfig, server::Acceptor},
    server::TlsStream,
};

use super::{
    context::Context,
    entrance::Entrance,
    guard::Visitor,
    hall::{Hall, Stay},
    patience::Patient,
    seat::Seat,
};
use crate::metrics::Used;

/// Those who find no place wait in front of the socket, and cost nothing there.
pub async fn serve_socket(listener: StdListener, router: Router) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the control socket cannot be served"),
    };
    loop {
        if CONTROL_PLACES.available_permits() == 0 {
            CONTROL_FULL.fetch_add(1, Ordering::Relaxed);
        }
        let place = Arc::clone(&CONTROL_PLACES).acquire_owned().await.expect("nobody closes it");
        CONTROL_OFFERED.store(1, Ordering::Relaxed);
        let accepted = listener.accept().await;
        CONTROL_OFFERED.store(0, Ordering::Relaxed);
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let router = router.clone();
        let seat = Seat::of_control(place);
        tokio::spawn(converse(Patient::new(stream), router, Visitor::Control, seat));
    }
}

/// Of the control socket, and how often all of them were taken.
pub fn control_places() -> Used {
    let held = CONTROL_CONNECTIONS_MAX - CONTROL_PLACES.available_permits() as u64;
    let taken = held.saturating_sub(CONTROL_OFFERED.load(Ordering::Relaxed));
    let refused = CONTROL_FULL.load(Ordering::Relaxed);
    Used { place: "control", taken, most: CONTROL_CONNECTIONS_MAX, refused }
}

static CONTROL_PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX as usize)));
/// Those that are kept for whoever comes next: one, or none.
static CONTROL_OFFERED: AtomicU64 = AtomicU64::new(0);
static CONTROL_FULL: AtomicU64 = AtomicU64::new(0);

/// The same over TCP; all ports share the hall.
pub async fn serve_port(listener: TcpListener, context: Context, router: Router, hall: Hall) {
    let mut entrance = Entrance::new(listener, hall);
    loop {
        let (stream, peer, stay) = entrance.next().await;
        let serve = welcome(stream, peer, context.clone(), router.clone(), stay.clone());
        stay.is_served_by(tokio::spawn(serve).abort_handle());
    }
}

async fn welcome(stream: TcpStream, peer: SocketAddr, context: Context, router: Router, stay: Stay) {
    let Ok(here) = stream.local_addr() else { return };
    let visitor = Visitor::Tcp { peer, is_local: here.ip().to_canonical().is_loopback() };
    // One answer is a few segments at most.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream);
    let closing_time = stay.closing_time();
    let seat = Seat::Hall(stay.clone());
    let Some(tls) = context.tls() else { return converse(stream, router, visitor, seat).await };
    let handshake = shake_hands(stream, tls, &stay);
    if let Ok(Ok(stream)) = timeout_at(closing_time, handshake).await {
        converse(stream, router, visitor, seat).await;
    }
}

async fn shake_hands(
    stream: Patient<TcpStream>,
    tls: Arc<ServerConfig>,
    stay: &Stay,
) -> io::Result<TlsStream<Patient<TcpStream>>> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    stay.shakes_hands();
    begun.into_stream(tls).await
}

/// Questions and answers, one after the other. Each head has its time, and who says nothing more is let go after the same.
async fn converse<S>(stream: S, router: Router, visitor: Visitor, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let router = TowerToHyperService::new(router);
    let asking = seat.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(visitor);
        request.extensions_mut().insert(asking.clone());
        router.call(request)
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    // A client that breaks off is its own business, here and below.
    if let Seat::Hall(stay) = seat {
        if timeout_at(stay.closing_time(), served.as_mut()).await.is_ok() {
            return;
        }
        if !stay.may_stay() {
            // It has what it was about to get, and has to come anew.
            served.as_mut().graceful_shutdown();
            if timeout(LAST_ANSWER_MAX, served.as_mut()).await.is_ok() || !stay.may_stay() {
                return;
            }
        }
    }
    let _ = served.await;
}

/// Those of the control socket.
pub const CONTROL_CONNECTIONS_MAX: u64 = 8;
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Of a guest whose time is over.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(20);
/// The least that hyper takes.
const HEAD_BYTES_MAX: usize = 8192;
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
