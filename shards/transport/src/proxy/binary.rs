//! Version 2 of the PROXY protocol: a binary header, addresses and fields that each have a type and a length.

use core::net::{IpAddr, SocketAddr};

use super::{Fault, Header, V2_SIGNATURE, V2_SIZE_MAX};

pub fn decode(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
        return bytes.get(COMMAND_AT).map_or(Ok(None), |command| Command::of(*command).map(|_| None));
    };
    let command = Command::of(head[COMMAND_AT])?;
    let family = Family::of(head[FAMILY_AT])?;
    let size = HEAD_BYTES + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if size > V2_SIZE_MAX {
        return Err(Fault { what: "the header of version 2 is larger than 4,096 bytes" });
    }
    let Some(whole) = bytes.get(..size) else { return Ok(None) };
    let header = Header { size, ..Header::default() };
    match command {
        // The proxy asks whether anybody is there; what else it says has no meaning.
        Command::Local => Ok(Some(header)),
        Command::Proxy => about(whole, family, header).map(Some),
    }
}

/// Who is behind the proxy.
fn about(whole: &[u8], family: Family, mut header: Header) -> Result<Header, Fault> {
    let rest = &whole[HEAD_BYTES..];
    let Some((addresses, fields)) = rest.split_at_checked(family.addresses_bytes()) else {
        return Err(Fault { what: "the header of version 2 is too short for the addresses of its family" });
    };
    if let Some((source, destination)) = family.read(addresses) {
        header.source = Some(source);
        header.destination = Some(destination);
    }
    // Without a family nobody says where the fields would begin.
    if family != Family::Unspecified {
        let mut fields = Fields(fields);
        while let Some(field) = fields.next() {
            let (kind, value) = field?;
            match kind {
                FIELD_CRC32C => check_sum(whole, whole.len() - fields.0.len() - value.len(), value)?,
                FIELD_SSL => header.common_name = common_name(value)?,
                _ => {}
            }
        }
    }
    Ok(header)
}

/// The sum is taken over the whole header with zeros in its own place.
fn check_sum(whole: &[u8], at: usize, value: &[u8]) -> Result<(), Fault> {
    let expected: [u8; 4] =
        value.try_into().map_err(|_| Fault { what: "the checksum has not four bytes" })?;
    let sum = crc32c::crc32c(&whole[..at]);
    let sum = crc32c::crc32c_append(sum, &[0; 4]);
    let sum = crc32c::crc32c_append(sum, &whole[at + 4..]);
    if sum == u32::from_be_bytes(expected) {
        Ok(())
    } else {
        Err(Fault { what: "the checksum does not match" })
    }
}

/// A name counts when there was a certificate and the proxy has verified it.
fn common_name(value: &[u8]) -> Result<Option<String>, Fault> {
    let Some((head, fields)) = value.split_at_checked(5) else {
        return Err(Fault { what: "the field about TLS is too short" });
    };
    let has_certificate = head[0] & (CLIENT_CERT_CONN | CLIENT_CERT_SESS) != 0;
    let is_verified = head[1..] == [0; 4];
    let mut name = None;
    for field in Fields(fields) {
        let (kind, value) = field?;
        if kind == FIELD_SSL_CN {
            let value = str::from_utf8(value);
            name = Some(value.map_err(|_| Fault { what: "the certificate's common name is not UTF-8" })?);
        }
    }
    Ok(name.filter(|_| has_certificate && is_verified).map(str::to_owned))
}

/// Fields of a type and a length.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, &'a [u8]), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, high, low, rest @ ..] = self.0 else {
            let is_end = core::mem::take(&mut self.0).is_empty();
            return (!is_end).then_some(Err(CUT_FIELD));
        };
        let Some((value, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
        else {
            self.0 = &[];
            return Some(Err(CUT_FIELD));
        };
        self.0 = rest;
        Some(Ok((*kind, value)))
    }
}

#[derive(Copy, Clone)]
enum Command {
    Local,
    Proxy,
}

impl Command {
    fn of(byte: u8) -> Result<Command, Fault> {
        match byte {
            0x20 => Ok(Command::Local),
            0x21 => Ok(Command::Proxy),
            _ if byte >> 4 != 2 => Err(Fault { what: "the version behind the signature is not 2" }),
            _ => Err(Fault { what: "the command of version 2 is neither LOCAL nor PROXY" }),
        }
    }
}

/// What kind of addresses there are. Those of datagrams say nothing about a stream.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Family {
    Unspecified,
    V4 { stream: bool },
    V6 { stream: bool },
    Unix,
}

impl Family {
    fn of(byte: u8) -> Result<Family, Fault> {
        let stream = match byte & 0x0F {
            // Of an unknown transport nothing is believed either.
            0 | 2 => false,
            1 => true,
            _ => return Err(Fault { what: "the transport of version 2 is none that exists" }),
        };
        match byte >> 4 {
            0 => Ok(Family::Unspecified),
            1 => Ok(Family::V4 { stream }),
            2 => Ok(Family::V6 { stream }),
            3 => Ok(Family::Unix),
            _ => Err(Fault { what: "the address family of version 2 is none that exists" }),
        }
    }

    fn addresses_bytes(self) -> usize {
        match self {
            Family::Unspecified => 0,
            Family::V4 { .. } => 2 * (4 + 2),
            Family::V6 { .. } => 2 * (16 + 2),
            Family::Unix => 2 * 108,
        }
    }

    /// Source and destination: both addresses, then both ports.
    fn read(self, bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Family::V4 { stream: true } => pair::<4>(bytes),
            Family::V6 { stream: true } => pair::<16>(bytes),
            _ => None,
        }
    }
}

fn pair<const N: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    let of = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*address).to_canonical(), u16::from_be_bytes(*port))
    };
    Some((of(source, source_port), of(destination, destination_port)))
}

const COMMAND_AT: usize = V2_SIGNATURE.len();
const FAMILY_AT: usize = COMMAND_AT + 1;
const HEAD_BYTES: usize = V2_SIGNATURE.len() + 4;
const CUT_FIELD: Fault = Fault { what: "a field of version 2 goes beyond its end" };

// The types of fields that are read, by the names of the PROXY protocol.
const FIELD_CRC32C: u8 = 0x03;
const FIELD_SSL: u8 = 0x20;
const FIELD_SSL_CN: u8 = 0x22;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

const _: () = assert!(HEAD_BYTES == 16);
