//! Every way in: TLS, WebSocket, sockets in the file system and one port for all, with real clients.
#![allow(clippy::unwrap_used)]

mod transports;
