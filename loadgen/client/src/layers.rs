//! What lies between a client's socket and MQTT: TLS, a WebSocket, or both. Bytes in, bytes out: nothing here waits or knows
//! a socket.
//!
//! They open by themselves, with whatever arrives. Nothing of MQTT goes through them before they are open.

use std::io::{Error, ErrorKind, Read, Result, Write};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind};
use transport::{Close, CloseCode, Offer, Side, Socket};

use crate::target::Target;

#[derive(Debug)]
pub struct Layers {
    tls: Option<ClientConnection>,
    http: Http,
    /// Of the next mask.
    masks: u64,
    /// For the socket, sealed.
    pub output: Vec<u8>,
    /// Nothing more will come.
    is_ended: bool,
    /// What a WebSocket says, on its way through TLS.
    said: Vec<u8>,
    /// What came out of TLS, on its way through a WebSocket.
    opened: Vec<u8>,
}

/// What is spoken within TLS, or where there is none.
#[derive(Debug)]
enum Http {
    Upgrading { offer: Offer, answer: Vec<u8> },
    WebSocket(Socket),
    None,
}

impl Layers {
    /// None where MQTT is spoken as it is. `chance` is different each time. What `output` holds then is to be sent first.
    pub fn new(target: &Target, chance: [u8; 16]) -> Result<Option<Layers>> {
        if target.tls.is_none() && target.websocket.is_none() {
            return Ok(None);
        }
        let tls = match &target.tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(target.host().to_owned()).map_err(Error::other)?;
                let mut connection = ClientConnection::new(tls.config.clone(), name).map_err(Error::other)?;
                // What is put in is bounded by those who put it in, and taken out at once.
                connection.set_buffer_limit(None);
                Some(connection)
            }
        };
        let http = match &target.websocket {
            None => Http::None,
            Some(path) => {
                let offer = Offer::new(&target.authority(), path, chance);
                Http::Upgrading { offer, answer: Vec::new() }
            }
        };
        let [masks @ .., _, _, _, _, _, _, _, _] = chance;
        let mut layers = Layers {
            tls,
            http,
            masks: u64::from_le_bytes(masks),
            output: Vec::new(),
            is_ended: false,
            said: Vec::new(),
            opened: Vec::new(),
        };
        layers.ask_for_upgrade()?;
        layers.take_sealed()?;
        Ok(Some(layers))
    }

    /// MQTT can go through.
    pub fn is_open(&self) -> bool {
        !self.is_shaking_hands() && !matches!(self.http, Http::Upgrading { .. })
    }

    /// The peer has said in a layer that nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether TLS has gone on with a session of before, once it is open.
    pub fn is_resumed(&self) -> Option<bool> {
        Some(self.tls.as_ref()?.handshake_kind()? == HandshakeKind::Resumed)
    }

    /// Takes bytes of the socket; what is MQTT in them is appended to `plain`, and answers of the layers to `output`.
    pub fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        if self.tls.is_none() {
            return self.take_in(bytes, plain);
        }
        let mut opened = std::mem::take(&mut self.opened);
        let mut outcome = Ok(());
        while !bytes.is_empty() && outcome.is_ok() {
            opened.clear();
            outcome = self.open_records(&mut bytes, &mut opened);
            if outcome.is_ok() {
                outcome = self.take_in(&opened, plain);
            }
        }
        self.opened = opened;
        // The alert that names an error, and answers to updates of keys.
        let sealed = self.take_sealed();
        outcome.and(sealed)
    }

    /// Puts bytes of MQTT through to `output`.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        assert!(self.is_open(), "nothing goes through layers that are not open");
        if !matches!(self.http, Http::WebSocket(_)) {
            return self.say(bytes);
        }
        let (key, mut said) = (self.key(), std::mem::take(&mut self.said));
        said.clear();
        Socket::put_masked(bytes, key, &mut said);
        let outcome = self.say(&said);
        self.said = said;
        outcome
    }

    /// Says in each layer that nothing more will come.
    pub fn say_farewell(&mut self) {
        if matches!(self.http, Http::WebSocket(_)) && !self.is_ended {
            let mut said = Vec::new();
            Socket::put_close(Side::Client, CloseCode::NORMAL, "", &mut said);
            // Whoever cannot be told any more is not told.
            _ = self.say(&said);
        }
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        _ = self.take_sealed();
    }

    fn is_shaking_hands(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// TLS keeps the request until there is somebody to read it.
    fn ask_for_upgrade(&mut self) -> Result<()> {
        let Http::Upgrading { offer, .. } = &self.http else { return Ok(()) };
        let request = offer.request().to_vec();
        self.say(&request)
    }

    /// Through TLS, if there is any.
    fn say(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.output.extend_from_slice(bytes),
        }
        self.take_sealed()
    }

    fn take_sealed(&mut self) -> Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            tls.write_tls(&mut self.output)?;
        }
        Ok(())
    }

    /// Takes some of the bytes; what the whole records hold is appended to `opened`.
    fn open_records(&mut self, bytes: &mut &[u8], opened: &mut Vec<u8>) -> Result<()> {
        let tls = self.tls.as_mut().expect("the caller has looked");
        tls.read_tls(bytes)?;
        let state = tls.process_new_packets().map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        self.is_ended |= state.peer_has_closed();
        let start = opened.len();
        opened.resize(start + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut opened[start..])
    }

    /// What is within TLS, or comes as it is.
    fn take_in(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        match &mut self.http {
            Http::None => plain.extend_from_slice(bytes),
            Http::WebSocket(_) => return self.unframe(bytes, plain),
            Http::Upgrading { offer, answer } => {
                answer.extend_from_slice(bytes);
                let welcome = offer.welcome(answer);
                match welcome.map_err(|refused| Error::new(ErrorKind::InvalidData, refused))? {
                    None => {}
                    Some(welcome) => {
                        // What came behind the welcome are frames.
                        let frames = answer.split_off(welcome.size);
                        self.http = Http::WebSocket(Socket::new(Side::Client));
                        return self.unframe(&frames, plain);
                    }
                }
            }
        }
        Ok(())
    }

    fn unframe(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<()> {
        let Http::WebSocket(socket) = &mut self.http else { unreachable!("the caller has looked") };
        let mut said = std::mem::take(&mut self.said);
        said.clear();
        let outcome = socket.receive(bytes, plain, &mut said);
        let told = if said.is_empty() { Ok(()) } else { self.say(&said) };
        self.said = said;
        self.is_ended |= outcome.is_err();
        match outcome {
            Err(close @ Close::Violation { .. }) => Err(Error::new(ErrorKind::InvalidData, close)),
            // What has arrived before the peer closed is still to be read.
            Err(Close::ByPeer { .. }) => Ok(()),
            Ok(()) => told,
        }
    }

    /// A key that whoever chose the payload does not know (splitmix64).
    fn key(&mut self) -> [u8; 4] {
        self.masks = self.masks.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.masks;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) as u32).to_le_bytes()
    }
}
