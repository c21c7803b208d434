//! The PROXY protocol, versions 1 and 2: where a connection came from before a proxy passed it on. Whether the proxy is
//! to be believed is decided by whoever calls.

mod binary;
mod text;

use core::net::SocketAddr;

use thiserror::Error;

/// What a proxy says about a connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Who connected to the proxy. `None`: the proxy speaks for itself, or the client has no address of IP.
    pub source: Option<SocketAddr>,
    /// Where that client connected to.
    pub destination: Option<SocketAddr>,
    /// The common name of the client's certificate, which the proxy has verified.
    pub common_name: Option<String>,
    /// How many bytes the header takes; behind them the client speaks.
    pub size: usize,
}

/// Bytes that are no PROXY header. The proxy is at fault, or there is none.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("PROXY header: {what}")]
pub struct Fault {
    pub what: &'static str,
}

/// Reads the header at the head of `bytes`. `Ok(None)`: need more bytes, at most `V2_SIZE_MAX` in all.
pub fn decode(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    if agree(bytes, V1_SIGNATURE) {
        return text::decode(bytes);
    }
    if agree(bytes, V2_SIGNATURE) {
        return binary::decode(bytes);
    }
    Err(Fault { what: "the connection does not begin with one, and from this address it has to" })
}

/// One begins with the other.
fn agree(bytes: &[u8], signature: &[u8]) -> bool {
    let len = bytes.len().min(signature.len());
    bytes[..len] == signature[..len]
}

/// What version 1 begins with.
pub const V1_SIGNATURE: &[u8] = b"PROXY ";
/// What version 2 begins with.
pub const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, its end included.
pub const V1_SIZE_MAX: usize = 107;
/// The largest header of version 2 that is read, its signature included: names and certificates' names fit into it.
pub const V2_SIZE_MAX: usize = 4096;
