//! TLS of one connection: records in, bytes out, and the other way round. Nothing of it waits, and it knows no socket.

use std::sync::Arc;

use rustls::{
    Error, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError},
};

/// The server's side. Without buffers of its own: an idle connection has keys and nothing else.
pub(crate) struct Tls {
    connection: UnbufferedServerConnection,
    /// It has failed, or said that nothing more comes: it must not be given anything any more.
    is_over: bool,
}

/// Where the other side of the records is.
pub(crate) struct Streams<'a> {
    /// What was in the records is appended.
    pub opened: &'a mut Vec<u8>,
    /// What is to go to the peer is appended, sealed.
    pub output: &'a mut Vec<u8>,
}

/// Said once the peer can be written to.
enum Say<'a> {
    Nothing,
    Bytes(&'a [u8]),
    End,
}

impl Tls {
    pub fn new(config: &Arc<ServerConfig>) -> Result<Tls, Error> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Tls { connection, is_over: false })
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The client's own certificate, if it has shown one that is good.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.connection.peer_certificates()?.first().map(|certificate| &**certificate)
    }

    /// Takes every whole record from the front of `sealed`, where it is opened, and says how many bytes that are. After an error
    /// `output` ends with the alert that names it. What is left comes again at the front, with what has arrived since.
    pub fn open(&mut self, sealed: &mut [u8], streams: &mut Streams<'_>) -> (usize, Result<(), Error>) {
        self.drive(sealed, streams, Say::Nothing)
    }

    /// `sealed` is what `open` has left.
    pub fn seal(
        &mut self,
        plain: &[u8],
        sealed: &mut [u8],
        streams: &mut Streams<'_>,
    ) -> (usize, Result<(), Error>) {
        self.drive(sealed, streams, Say::Bytes(plain))
    }

    /// Tells the peer that nothing more comes.
    pub fn finish(&mut self, sealed: &mut [u8], streams: &mut Streams<'_>) {
        // Whoever has not got through the handshake has nobody to tell.
        let _ = self.drive(sealed, streams, Say::End);
        self.is_over = true;
    }

    fn drive(
        &mut self,
        sealed: &mut [u8],
        streams: &mut Streams<'_>,
        say: Say<'_>,
    ) -> (usize, Result<(), Error>) {
        if self.is_over {
            return (0, Err(Error::HandshakeNotComplete));
        }
        let mut taken = 0;
        let result = self.steps(sealed, streams, &mut taken, say);
        if result.is_err() {
            self.is_over = true;
            self.tell_failure(streams.output);
        }
        (taken, result)
    }

    /// The alert that the failure has left, and what waited before it. Nothing else may be asked of the connection: it would look for what it had
    /// begun to read, and panic.
    fn tell_failure(&mut self, output: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let state = self.connection.process_tls_records(&mut []).state;
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else { return };
            let write = |space: &mut [u8]| data.encode(space).map_err(needed_to_encode);
            if append(output, RECORD_BYTES, write).is_err() {
                return;
            }
        }
    }

    fn steps(
        &mut self,
        sealed: &mut [u8],
        streams: &mut Streams<'_>,
        taken: &mut usize,
        mut say: Say<'_>,
    ) -> Result<(), Error> {
        loop {
            let status = self.connection.process_tls_records(&mut sealed[*taken..]);
            let discard = status.discard;
            let is_done = match status.state {
                Err(error) => {
                    *taken += discard;
                    return Err(error);
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        streams.opened.extend_from_slice(record?.payload);
                    }
                    false
                }
                // It is not offered: a replayed CONNECT or PUBLISH would count twice.
                Ok(ConnectionState::ReadEarlyData(_)) => return Err(Error::General("early data".to_owned())),
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(streams.output, RECORD_BYTES, |space| {
                        data.encode(space).map_err(needed_to_encode)
                    })?;
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is as good as gone: `output` goes out in order, before anything that is appended later.
                    data.done();
                    false
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    match std::mem::replace(&mut say, Say::Nothing) {
                        Say::Nothing => {}
                        Say::Bytes(plain) => {
                            let records = plain.len() / FRAGMENT_BYTES_MAX + 1;
                            let room = plain.len() + records * RECORD_OVERHEAD;
                            append(streams.output, room, |space| {
                                traffic.encrypt(plain, space).map_err(needed_to_encrypt)
                            })?;
                        }
                        Say::End => append(streams.output, RECORD_OVERHEAD, |space| {
                            traffic.queue_close_notify(space).map_err(needed_to_encrypt)
                        })?,
                    }
                    true
                }
                // The end of the socket's stream follows, and counts.
                Ok(ConnectionState::PeerClosed) => false,
                Ok(_) => true,
            };
            *taken += discard;
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Lets `write` fill space behind what is there. It says how much it needs if that is not enough.
fn append(
    output: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), Error> {
    let before = output.len();
    let mut room = room;
    loop {
        output.resize(before + room, 0);
        match write(&mut output[before..]) {
            Ok(written) => {
                output.truncate(before + written);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                output.truncate(before);
                return Err(Error::EncryptError);
            }
        }
    }
}

fn needed_to_encode(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(size) => Some(size.required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn needed_to_encrypt(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Of the plain bytes of one record.
const FRAGMENT_BYTES_MAX: usize = 16 << 10;

/// Header, explicit nonce, content type and tag of either version, rounded up.
const RECORD_OVERHEAD: usize = 64;

/// A first guess for what a handshake says at once.
const RECORD_BYTES: usize = 2 << 10;
