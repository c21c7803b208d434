//! `loadgen null`: a relay that only moves bytes, the floor that the kernel sets under every broker.
//!
//! It answers what a client asks before its first message, looks up who gets that message, and from then on passes the
//! bytes of that connection on without looking at them: no check, no order but that of the bytes, no session, no QoS but 0. What a
//! broker costs beyond it is what the broker itself does.

mod epoll;
mod relay;
mod uring;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::{Args, ValueEnum};
use socket2::{Domain, Socket, Type};

use crate::process::allow_open_files;

#[derive(Debug, Args)]
pub struct NullArgs {
    /// How it talks to the kernel
    #[arg(long, value_enum, default_value_t = Engine::Epoll)]
    engine: Engine,
    /// Port to listen on, at 127.0.0.1
    #[arg(long, short, default_value_t = 1883)]
    port: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Engine {
    /// Readiness, recv and send
    Epoll,
    /// Multishot receives into provided buffers, sends in batches
    IoUring,
}

impl Engine {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Epoll => "epoll",
            Engine::IoUring => "io-uring",
        }
    }
}

/// Serves until the process is ended.
pub fn run(args: &NullArgs) -> Result<(), String> {
    allow_open_files(FILES_MIN)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = listen(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("listens on {}", listener.local_addr().unwrap_or(address));
    let served = match args.engine {
        Engine::Epoll => epoll::serve(listener),
        Engine::IoUring => uring::serve(listener),
    };
    served.map_err(|error| format!("the relay failed: {error}"))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 4096;
const FILES_MIN: u64 = 64;
