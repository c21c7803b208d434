//! Connections of the API: how many there may be, and how long each part of one may take.

use std::{io, os::unix::net::UnixListener as StdListener, sync::Arc, time::Duration};

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
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{context::Context, guard::Visitor, patience::Patient, seat::Seat};

/// As many connections at a time.
pub fn places(connections_max: u64) -> Arc<Semaphore> {
    let places = usize::try_from(connections_max).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)))
}

/// Those who find no place wait in front of the socket, and cost nothing there.
pub async fn serve_socket(listener: StdListener, router: Router) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the control socket cannot be served"),
    };
    let places = places(CONTROL_CONNECTIONS_MAX);
    loop {
        let place = place_in(&places).await;
        match listener.accept().await {
            Ok((stream, _)) => {
                drop(tokio::spawn(talk(stream, router.clone(), Visitor::Control, Seat::new(place))))
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// The same over TCP; all ports share the places.
pub async fn serve_port(listener: TcpListener, context: Context, router: Router, places: Arc<Semaphore>) {
    loop {
        let place = place_in(&places).await;
        match listener.accept().await {
            Ok((stream, _)) => {
                drop(tokio::spawn(welcome(stream, context.clone(), router.clone(), Seat::new(place))))
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn place_in(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(places).acquire_owned().await.expect("nobody closes it")
}

async fn welcome(stream: TcpStream, context: Context, router: Router, seat: Seat) {
    let Ok(visitor) = visitor(&stream) else { return };
    // One answer is a few segments at most.
    let _ = stream.set_nodelay(true);
    let Some(tls) = context.tls() else { return talk(stream, router, visitor, seat).await };
    let handshake = TlsAcceptor::from(tls).accept(Patient::new(stream));
    if let Ok(Ok(stream)) = timeout(HANDSHAKE_MAX, handshake).await {
        converse(stream, router, visitor, seat).await;
    }
}

fn visitor(stream: &TcpStream) -> io::Result<Visitor> {
    let (peer, here) = (stream.peer_addr()?, stream.local_addr()?);
    Ok(Visitor::Tcp { peer, is_local: here.ip().to_canonical().is_loopback() })
}

async fn talk<S>(stream: S, router: Router, visitor: Visitor, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    converse(Patient::new(stream), router, visitor, seat).await;
}

/// Questions and answers, one after the other. Each head has its time, and who says nothing more is let go after the same.
async fn converse<S>(stream: S, router: Router, visitor: Visitor, seat: Seat)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(visitor);
        request.extensions_mut().insert(seat.clone());
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off is its own business.
    let _ = served.await;
}

/// Those of the control socket.
pub const CONTROL_CONNECTIONS_MAX: u64 = 8;
const HEAD_MAX: Duration = Duration::from_secs(5);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The least that hyper takes.
const HEAD_BYTES_MAX: usize = 8192;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
