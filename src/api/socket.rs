//! The control socket: where it is, and how it comes to be there.

use std::{
    os::unix::{fs::DirBuilderExt, net::UnixListener},
    path::{Path, PathBuf},
};

use runtime::StartError;

use crate::config::{Control, Settings};

/// Where the socket is to be: in the configuration's words, and in order of preference where it leaves the choice.
pub fn places(settings: &Settings) -> Vec<PathBuf> {
    let named = settings.control.socket.as_str();
    if named != Control::AUTO {
        return if named.is_empty() { Vec::new() } else { vec![PathBuf::from(named)] };
    }
    if !settings.store.dir.is_empty() {
        return vec![Path::new(&settings.store.dir).join(NAME)];
    }
    let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("iothub").join(NAME));
    [Path::new("/run/iothub").join(NAME)].into_iter().chain(of_user).collect()
}

/// The socket with its place, if the configuration wants one. One that it names has to be there; the error is a sentence for the log.
pub fn listen(settings: &Settings) -> Result<Option<(UnixListener, PathBuf)>, String> {
    let is_named = settings.control.socket != Control::AUTO;
    let mut refused = None;
    for path in places(settings) {
        match listen_at(&path, is_named) {
            Ok(listener) => return Ok(Some((listener, path))),
            Err(error) if is_named => return Err(format!("control.socket: {error}")),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if let Some(error) = refused {
        tracing::info!(
            "no control socket, so that iothub reload does not reach this broker (control.socket): {error}"
        );
    }
    Ok(None)
}

/// Only who has the same rights as the broker may connect.
fn listen_at(path: &Path, is_named: bool) -> Result<UnixListener, String> {
    if let Some(folder) = path.parent().filter(|_| !is_named) {
        // The socket says better than this what keeps it from being there.
        let _ = std::fs::DirBuilder::new().mode(0o755).create(folder);
    }
    let socket = runtime::listen_at(path, 0o600).map_err(|error| match error {
        StartError::AddressInUse { .. } => format!("{} is that of another broker", path.display()),
        error => error.to_string(),
    })?;
    let listener = UnixListener::from(socket);
    let served = listener.set_nonblocking(true);
    served.map_err(|error| format!("{} cannot be served: {error}", path.display()))?;
    Ok(listener)
}

const NAME: &str = "control.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_where_the_socket_is() {
        let mut settings = Settings::default();
        assert_eq!(places(&settings)[0], Path::new("/run/iothub/control.sock"));
        settings.store.dir = "/data".to_owned();
        assert_eq!(places(&settings), [Path::new("/data/control.sock")]);
        settings.control.socket = "/here".to_owned();
        assert_eq!(places(&settings), [Path::new("/here")]);
        settings.control.socket = String::new();
        assert!(places(&settings).is_empty());
    }
}
