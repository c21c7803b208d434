//! Telling systemd about this process: the notification protocol of `sd_notify(3)`, which is one datagram per message.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Says that the broker serves; without a service manager it does nothing.
pub fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}"));
}

/// Says what is the matter while the broker serves.
pub fn status(status: &str) {
    tell(&format!("STATUS={status}"));
}

/// Says that the configuration is read again. `ready_again` follows, whatever comes of it.
pub fn reloading() {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time into the value that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
}

pub fn ready_again(status: &str) {
    // It is one line there.
    ready(&status.replace('\n', " "));
}

/// Says that the broker still does what it is for.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// Says that the broker is about to end.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=draining");
}

fn tell(message: &str) {
    if let Some(target) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&target, message)
    {
        tracing::warn!(%error, "cannot notify the service manager at NOTIFY_SOCKET");
    }
}

fn send(target: &OsStr, message: &str) -> io::Result<()> {
    let bytes = target.as_bytes();
    // A leading @ stands for the NUL byte of an abstract address.
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(target)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_message_reaches_an_abstract_address() {
        let name = format!("iothub-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        send(OsStr::new(&format!("@{name}")), "READY=1").expect("sent");
        assert_eq!(received(&socket), "READY=1");
    }

    #[test]
    fn a_message_reaches_a_path() {
        let path = env::temp_dir().join(format!("iothub-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let sent = send(path.as_os_str(), "STOPPING=1");
        std::fs::remove_file(&path).expect("removed");
        sent.expect("sent");
        assert_eq!(received(&socket), "STOPPING=1");
    }

    #[test]
    fn an_address_without_listener_is_an_error_and_no_panic() {
        assert!(send(&OsString::from("/nonexistent/notify"), "READY=1").is_err());
    }
}
