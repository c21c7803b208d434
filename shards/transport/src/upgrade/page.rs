//! The response to a request that is turned away: short, and for a person who looks with a browser.

use super::Refusal;

pub fn of(refusal: &Refusal, path: Option<&str>, is_head: bool) -> Vec<u8> {
    let Refusal { status, title, what, header } = refusal;
    let mut body = format!("{status} {title}: {what}.\n");
    if let (404 | 426, Some(path)) = (status, path) {
        body.push_str(&format!("MQTT over WebSocket is at {path}, with the subprotocol mqtt.\n"));
    }
    let connection = if *status == 426 { "Upgrade, close" } else { "close" };
    let mut response = format!(
        "HTTP/1.1 {status} {title}\r\n{header}Connection: {connection}\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if !is_head {
        response.push_str(&body);
    }
    response.into_bytes()
}
