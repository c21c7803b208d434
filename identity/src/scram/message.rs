//! The texts that go to and fro: attributes `x=value` between commas, in an order that is fixed.

use std::borrow::Cow;

use super::ScramError;

/// `n,,n=user,r=nonce`.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// What stands before the bare message, with its commas: the last message repeats it.
    pub header: &'a str,
    pub bare: &'a str,
    pub user: String,
    pub nonce: &'a str,
}

/// `c=biws,r=nonce,p=proof`.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFinal<'a> {
    pub header: Vec<u8>,
    pub nonce: &'a str,
    pub proof: Vec<u8>,
    /// All of it before the proof.
    pub without_proof: &'a str,
}

/// `r=nonce,s=salt,i=iterations`.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerFirst<'a> {
    pub nonce: &'a str,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl ClientFirst<'_> {
    pub fn decode(bytes: &[u8]) -> Result<ClientFirst<'_>, ScramError> {
        let text = text(bytes)?;
        let mut parts = text.splitn(3, ',');
        let (Some(binding), Some(other), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramError::Malformed);
        };
        match binding {
            // `y` is a client that could and takes us for one that cannot, which is right.
            "n" | "y" => {}
            binding if binding.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed),
        }
        let header = &text[..text.len() - bare.len()];
        let mut attributes = bare.split(',');
        let first = attributes.next().unwrap_or_default();
        if first.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let user = name(first.strip_prefix("n=").ok_or(ScramError::Malformed)?)?;
        let nonce = printable(value(attributes.next(), "r=")?)?;
        if !other.is_empty() && name(value(Some(other), "a=")?)? != user {
            return Err(ScramError::OtherUser);
        }
        if user.is_empty() || nonce.is_empty() {
            return Err(ScramError::Malformed);
        }
        Ok(ClientFirst { header, bare, user, nonce })
    }
}

impl ClientFinal<'_> {
    pub fn decode(bytes: &[u8]) -> Result<ClientFinal<'_>, ScramError> {
        let text = text(bytes)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let header = decode(value(attributes.next(), "c=")?)?;
        let nonce = printable(value(attributes.next(), "r=")?)?;
        Ok(ClientFinal { header, nonce, proof: decode(proof)?, without_proof })
    }
}

impl ServerFirst<'_> {
    pub fn decode(bytes: &[u8]) -> Result<ServerFirst<'_>, ScramError> {
        let mut attributes = text(bytes)?.split(',');
        let nonce = printable(value(attributes.next(), "r=")?)?;
        let salt = decode(value(attributes.next(), "s=")?)?;
        let digits = value(attributes.next(), "i=")?;
        let is_number = digits.bytes().all(|b| b.is_ascii_digit());
        let iterations = digits.parse().ok().filter(|_| is_number).ok_or(ScramError::Malformed)?;
        match salt.is_empty() {
            true => Err(ScramError::Malformed),
            false => Ok(ServerFirst { nonce, salt, iterations }),
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, ScramError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::Malformed);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed)?;
    match text.contains('\0') {
        true => Err(ScramError::Malformed),
        false => Ok(text),
    }
}

pub fn value<'a>(attribute: Option<&'a str>, name: &str) -> Result<&'a str, ScramError> {
    attribute.and_then(|attribute| attribute.strip_prefix(name)).ok_or(ScramError::Malformed)
}

fn printable(text: &str) -> Result<&str, ScramError> {
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
        true => Ok(text),
        false => Err(ScramError::Malformed),
    }
}

/// A name whose commas and equals signs are spelled out.
fn name(text: &str) -> Result<String, ScramError> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed),
        };
        name.push(sign);
        name.push_str(rest);
    }
    Ok(name)
}

pub fn escaped(name: &str) -> Cow<'_, str> {
    match name.contains([',', '=']) {
        true => name.replace('=', "=3D").replace(',', "=2C").into(),
        false => name.into(),
    }
}

pub fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

pub fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Longer than any name and nonce have reason to be.
const MESSAGE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_of_a_client() {
        let first = ClientFirst::decode(b"n,,n=user,r=fyko").expect("a message");
        assert_eq!(
            (first.header, first.bare, first.user.as_str(), first.nonce),
            ("n,,", "n=user,r=fyko", "user", "fyko")
        );
        let first = ClientFirst::decode(b"y,a=a=2Cb=3D,n=a=2Cb=3D,r=x,e=any").expect("a message");
        assert_eq!((first.header, first.user.as_str()), ("y,a=a=2Cb=3D,", "a,b="));
        for (text, error) in [
            ("p=tls-unique,,n=user,r=x", ScramError::ChannelBinding),
            ("n,a=admin,n=user,r=x", ScramError::OtherUser),
            ("n,,m=x,n=user,r=x", ScramError::Extension),
            ("n,,n=us=er,r=x", ScramError::Malformed),
            ("n,,n=us=2cer,r=x", ScramError::Malformed),
            ("n,,n=,r=x", ScramError::Malformed),
            ("n,,n=user,r=", ScramError::Malformed),
            ("n,,n=user,r=a b", ScramError::Malformed),
            ("n,,r=x,n=user", ScramError::Malformed),
            ("n,n=user,r=x", ScramError::Malformed),
            ("x,,n=user,r=x", ScramError::Malformed),
            ("n,,n=us\0er,r=x", ScramError::Malformed),
            ("", ScramError::Malformed),
        ] {
            assert_eq!(ClientFirst::decode(text.as_bytes()), Err(error), "{text}");
        }
        assert!(ClientFirst::decode(&[b"n,,n=user,r=".to_vec(), vec![b'x'; 5000]].concat()).is_err());
    }

    #[test]
    fn the_other_messages() {
        let last = ClientFinal::decode(b"c=biws,r=ab,p=AAEC").expect("a message");
        assert_eq!(
            (last.header.as_slice(), last.nonce, last.without_proof),
            (&b"n,,"[..], "ab", "c=biws,r=ab")
        );
        assert_eq!(last.proof, [0, 1, 2]);
        for text in
            ["c=biws,r=ab", "c=biws,p=AAEC", "r=ab,c=biws,p=AAEC", "c=!,r=ab,p=AAEC", "c=biws,r=ab,p=!"]
        {
            assert!(ClientFinal::decode(text.as_bytes()).is_err(), "{text}");
        }
        let first = ServerFirst::decode(b"r=ab,s=AAEC,i=4096").expect("a message");
        assert_eq!(first, ServerFirst { nonce: "ab", salt: vec![0, 1, 2], iterations: 4096 });
        for text in ["r=ab,s=AAEC", "r=ab,s=,i=4096", "r=ab,s=AAEC,i=-1", "r=ab,s=AAEC,i=+1", "s=AAEC,i=4096"]
        {
            assert!(ServerFirst::decode(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(escaped("a,b="), "a=2Cb=3D");
    }
}
