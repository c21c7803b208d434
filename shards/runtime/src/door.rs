//! A door: one address where connections come in, and the layers that lie between its sockets and MQTT.

use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rustls::ServerConfig;
use transport::Prefix;

use crate::{StartError, listener::unix, seats::Seats};

/// What every connection that comes in here has in common.
#[derive(Debug, Clone)]
pub struct Door {
    pub place: Place,
    /// Connections that wait to be accepted, for each shard.
    pub backlog: u32,
    /// Of this door alone; the limit of the whole broker holds besides.
    pub connections_max: usize,
    /// Small messages leave at once, and do not wait for more.
    pub is_nodelay: bool,
    /// Who may begin with a PROXY header; none where nobody does. Unless the door is for everything, they must, and nobody else comes in.
    pub proxies: Option<Arc<[Prefix]>>,
    /// TLS comes first. At a door for everything it is there for those who begin with it.
    pub tls: Option<Arc<ServerConfig>>,
    pub speech: Speech,
    /// Who may come in over WebSocket, and how; for the doors that speak it.
    pub websocket: Arc<transport::Door>,
}

/// What is spoken at a door, within TLS if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Mqtt,
    WebSocket,
    /// The first bytes say what they are: TLS, a WebSocket's request or MQTT.
    Any,
}

/// Where a door is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    /// A socket in the file system, which only this machine's processes reach. The mode says whose.
    Unix {
        path: PathBuf,
        mode: u32,
    },
}

impl Place {
    /// Nobody listens there any more. What cannot be removed is cleared by the next start.
    pub(crate) fn clear(&self) {
        if let Place::Unix { path, .. } = self {
            let _ = fs::remove_file(path);
        }
    }

    pub(crate) fn is_at(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Unix { path, .. }, Place::Unix { path: theirs, .. }) => path == theirs,
            (one, other) => one == other,
        }
    }
}

/// A socket in the file system that listens, for others than clients: who asks the process about itself. What an ended process left
/// there is cleared.
pub fn listen_at(path: &Path, mode: u32) -> Result<OwnedFd, StartError> {
    unix::listen(path, mode)
}

impl Door {
    /// Plain MQTT for everybody who gets there.
    pub fn plain(place: Place) -> Door {
        Door {
            place,
            backlog: 4096,
            connections_max: usize::MAX,
            is_nodelay: true,
            proxies: None,
            tls: None,
            speech: Speech::Mqtt,
            websocket: Arc::new(transport::Door::default()),
        }
    }

    /// Whoever connects from there may say that he comes for somebody else.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        let speaks_http = self.speech != Speech::Mqtt;
        let is_of = |trusted: &[Prefix]| trusted.iter().any(|prefix| prefix.contains(peer));
        self.proxies.as_deref().is_some_and(is_of) || speaks_http && is_of(&self.websocket.trusted_proxies)
    }

    /// What comes in is MQTT from the first byte.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.proxies.is_none() && self.speech == Speech::Mqtt
    }
}

/// A door that is open, the same for all shards. A connection holds on to it for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    pub door: Door,
    /// Its position among all doors: by this the shards know it.
    pub id: u16,
    /// They stay when the door is hung anew.
    pub seats: Arc<Seats>,
}

impl OpenDoor {
    pub fn new(id: u16, door: Door) -> OpenDoor {
        let seats = Arc::new(Seats::new(door.connections_max));
        OpenDoor { door, id, seats }
    }

    /// The same place for those who come from now on, with other settings.
    pub fn hung_anew(&self, id: u16, door: Door) -> OpenDoor {
        // The port that was chosen stays the one.
        let place = match (&self.door.place, door.place) {
            (Place::Tcp(chosen), _) => Place::Tcp(*chosen),
            (Place::Unix { .. }, place) => place,
        };
        OpenDoor { door: Door { place, ..door }, id, seats: Arc::clone(&self.seats) }
    }
}

/// All that are open, by their numbers.
pub(crate) type Doors = Mutex<Vec<Option<Arc<OpenDoor>>>>;

/// How full one of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorUse {
    pub place: Place,
    /// Closing ones included.
    pub connections: usize,
    pub connections_max: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix { path, .. } => write!(f, "unix://{}", path.display()),
        }
    }
}
