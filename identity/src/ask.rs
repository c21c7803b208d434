//! What is known about a client that wants in.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{Secret, exchanges::ExchangeId};

/// A CONNECT, or an AUTH that goes on with one or renews it, with what the connection knows of its other end.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The name of the listener that took the connection.
    pub listener: Arc<str>,
    /// None over a socket of this machine's file system.
    pub address: Option<SocketAddr>,
    /// It comes by way of a proxy, which may be on this machine without its clients being there, or from a page of elsewhere.
    pub is_relayed: bool,
    pub client_id: Box<str>,
    pub user: Option<Box<str>>,
    pub password: Option<Secret>,
    pub certificate: Option<Arc<Certificate>>,
    /// 3 for MQTT 3.1, 4 for 3.1.1, 5 for 5.0.
    pub version: u8,
    pub enhanced: Option<Enhanced>,
}

/// [MQTT-4.12] The method and data of enhanced authentication.
#[derive(Debug, Clone)]
pub struct Enhanced {
    pub method: Box<str>,
    pub data: Secret,
    /// Which challenge this answers. None begins.
    pub exchange: Option<ExchangeId>,
}

/// What a verified client certificate says. Whether it is valid was decided by the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub common_name: Option<Box<str>>,
    /// Names and addresses in their usual text.
    pub alternative_names: Vec<Box<str>>,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: [u8; 32],
}

impl Ask {
    /// Whether the client is on this machine.
    pub fn is_local(&self) -> bool {
        !self.is_relayed && self.is_next_door()
    }

    /// Whether whoever has connected is on this machine: the client, or a proxy or a browser that it comes by.
    pub fn is_next_door(&self) -> bool {
        self.address.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }

    /// Whether anything was brought that can be wrong.
    pub fn has_credentials(&self) -> bool {
        self.user.is_some() || self.password.is_some() || self.enhanced.is_some()
    }

    /// User and password, where both are there and nothing else was asked for.
    pub fn login(&self) -> Option<(&str, &[u8])> {
        match (&self.enhanced, &self.user, &self.password) {
            (None, Some(user), Some(password)) => Some((user, password.expose())),
            _ => None,
        }
    }
}

impl Certificate {
    /// As two digits for each byte, in the way of most tools without their colons.
    pub fn fingerprint_text(&self) -> String {
        self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
