//! The client's side of the upgrade, with our own server and with servers that answer wrongly.

use transport::{Answer, Door, Offer, Refused, Subprotocol};

const CHANCE: [u8; 16] = *b"the sample nonce";
const WELCOME: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn offer() -> Offer {
    Offer::new("broker.example:8083", "/mqtt", CHANCE)
}

#[test]
fn our_server_and_our_client_understand_each_other() {
    let offer = offer();
    let Some(Answer::Accept(accepted)) = Door::default().answer(offer.request(), None) else {
        panic!("the request is accepted");
    };
    assert_eq!(accepted.size, offer.request().len());
    assert_eq!(accepted.response, WELCOME.as_bytes());
    for len in 0..accepted.response.len() {
        assert_eq!(offer.welcome(&accepted.response[..len]), Ok(None), "{len} bytes");
    }
    let more = [&accepted.response[..], b"\x88\0"].concat();
    let welcome = offer.welcome(&more).expect("a welcome").expect("a whole one");
    assert_eq!((welcome.size, welcome.subprotocol), (accepted.response.len(), Some(Subprotocol::Mqtt)));
}

#[test]
fn an_offer_that_is_turned_away_says_with_what() {
    let door = Door { path: Some("/elsewhere".to_owned()), ..Door::default() };
    let Some(Answer::Refuse(turned)) = door.answer(offer().request(), None) else {
        panic!("the request is turned away");
    };
    let refused = offer().welcome(&turned.response).expect_err("no welcome");
    assert_eq!(refused, Refused::Status { status: 404, reason: "Not Found".to_owned() });
}

#[test]
fn a_welcome_that_proves_nothing_is_refused() {
    for (from, to) in [
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade\r\n", "Connection: close\r\n"),
        ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
        ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", ""),
        ("Protocol: mqtt\r\n", "Protocol: chat\r\n"),
        ("Protocol: mqtt\r\n", "Protocol: mqtt\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"),
        ("Protocol: mqtt\r\n", "Protocol: mqtt\r\nSec-WebSocket-Protocol: mqtt\r\n"),
        ("HTTP/1.1", "HTTP/9.1"),
        ("HTTP/1.1", "SSH-2.0"),
    ] {
        let response = WELCOME.replace(from, to);
        assert_ne!(response, WELCOME);
        assert!(matches!(offer().welcome(response.as_bytes()), Err(Refused::Strange(_))), "{response}");
    }
    let without = WELCOME.replace("Sec-WebSocket-Protocol: mqtt\r\n", "");
    let welcome = offer().welcome(without.as_bytes()).expect("a welcome").expect("a whole one");
    assert_eq!(welcome.subprotocol, None);
    let endless = format!("HTTP/1.1 101 S\r\nX: {}", "x".repeat(20_000));
    assert!(offer().welcome(endless.as_bytes()).is_err());
}
