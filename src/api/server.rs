//! Connections of the API, and how long each part of one may take. How many there may be over TCP is the matter of `hall.rs`.

use std::{
    io, net::SocketAddr, os::unix::net::UnixListener as StdListener, pin::pin, sync::Arc, time::Duration,
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

/// Those who find no place wait in front of the socket, and cost nothing there.
pub async fn serve_socket(listener: StdListener, context: Context, router: Router) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the control socket cannot be served"),
    };
    loop {
        let place = context.control_places().offer().await;
        let accepted = listener.accept().await;
        context.control_places().settle();
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let router = router.clone();
        let seat = Seat::of_control(place);
        tokio::spawn(converse(Patient::new(stream), router, Visitor::Control, seat));
    }
}

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
const HEAD_MAX: Duration = Duration::from_secs(5);
/// Of a guest whose time is over.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(20);
/// The least that hyper takes.
const HEAD_BYTES_MAX: usize = 8192;
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
