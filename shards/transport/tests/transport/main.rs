//! Transports by tables of bytes, and by streams that arrive in any pieces.

mod first;
mod offer;
mod prefix;
mod proxy;
mod proxy_binary;
mod stream;
mod upgrade;
mod websocket;
