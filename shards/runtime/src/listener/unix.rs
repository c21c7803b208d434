//! Sockets in the file system: one for all shards, which take turns at it.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::Path,
};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::StartError;

/// The same socket for each shard: there is no way to have several behind one path.
pub(super) fn bind(path: &Path, mode: u32, shards: u8) -> Result<Vec<OwnedFd>, StartError> {
    let failed = |source| StartError::Path { path: path.to_owned(), source };
    clear(path)?;
    let socket = bound(path, mode).map_err(failed)?;
    let more = (1..shards).map(|_| socket.try_clone().map(OwnedFd::from));
    let more: Vec<OwnedFd> = more.collect::<io::Result<_>>().map_err(failed)?;
    Ok(std::iter::once(socket.into()).chain(more).collect())
}

/// A socket for others than clients, which listens.
pub(crate) fn listen(path: &Path, mode: u32) -> Result<OwnedFd, StartError> {
    let failed = |source| StartError::Path { path: path.to_owned(), source };
    clear(path)?;
    let socket = bound(path, mode).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 64;

/// Until it listens nobody gets in, so that the mode counts from the first connection on.
fn bound(path: &Path, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(socket)
}

/// Removes what a broker left behind that was killed. A socket that somebody listens on is left alone, and so is
/// everything that is no socket.
fn clear(path: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Path { path: path.to_owned(), source };
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !kind.is_socket() {
        return Err(StartError::PathInUse { path: path.to_owned() });
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    match probe.connect(&SockAddr::unix(path).map_err(failed)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        _ => Err(StartError::listen(
            &crate::Place::Unix { path: path.to_owned(), mode: 0 },
            io::Error::from_raw_os_error(libc::EADDRINUSE),
        )),
    }
}
