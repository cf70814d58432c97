//! Listening sockets, and what to do when one is not to be had.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use watertight::Listener;

use crate::address::{AdminAddr, ListenAddr};
use crate::failure::Failure;

/// Connections that wait in the kernel to be accepted. When a server comes back, all of its agents
/// come at once; one that finds the queue full tries again only after a second.
const BACKLOG: u32 = 4096;

/// A listening socket with its address.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    /// With the port that the system chose, if it was asked to.
    pub(crate) address: ListenAddr,
    /// Removes the socket's file once nothing listens any more.
    pub(crate) file: Option<SocketFile>,
}

/// The file of a Unix socket, which is removed on drop.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have put its own socket in this one's place.
    identity: (u64, u64),
}

/// Listens on `address`, which the operator gave with `option`.
pub(crate) async fn bind(address: &ListenAddr, option: &str) -> Result<Bound, Failure> {
    let bound = match address {
        ListenAddr::Tcp(text) => bind_tcp(text).await,
        ListenAddr::Unix(path) => bind_unix(path).await,
    };
    bound.map_err(|error| cannot_listen(address, option, &error))
}

/// Listens for the admin server: on loopback, or on a Unix socket for this user alone.
pub(crate) async fn bind_admin(address: &AdminAddr) -> Result<Bound, Failure> {
    let AdminAddr(address) = address;
    if let ListenAddr::Tcp(text) = address {
        check_loopback(text).await?;
    }
    let bound = bind(address, "--admin").await?;
    if let ListenAddr::Unix(path) = address {
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path, private)
            .map_err(|error| cannot_listen(address, "--admin", &error))?;
    }
    Ok(bound)
}

async fn check_loopback(address: &str) -> Result<(), Failure> {
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host(address)
        .await
        .map_err(|error| Failure::start(format_args!("cannot resolve --admin {address}: {error}")))?
        .collect();
    match resolved.iter().find(|resolved| !resolved.ip().is_loopback()) {
        None => Ok(()),
        Some(public) => Err(Failure::configuration(format_args!(
            "--admin {address}: {} is not a loopback address. Whoever reaches the admin server can \
             reach every agent's network, and it asks for no password. Use --admin 127.0.0.1:{} or \
             unix:/path, and put a server with authentication in front of it if others need it",
            public.ip(),
            public.port()
        ))),
    }
}

async fn bind_tcp(address: &str) -> io::Result<Bound> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => {
                let address = ListenAddr::Tcp(listener.local_addr()?.to_string());
                return Ok(Bound { listener: Listener::Tcp(listener), address, file: None });
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn bind_unix(path: &Path) -> io::Result<Bound> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path).await?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let metadata = fs::symlink_metadata(path)?;
    let identity = (metadata.dev(), metadata.ino());
    let file = SocketFile { path: path.to_path_buf(), identity };
    let address = ListenAddr::Unix(path.to_path_buf());
    Ok(Bound { listener: Listener::Unix(listener), address, file: Some(file) })
}

/// Removes the socket file of a process that is gone. One that answers, and a file that is no
/// socket, are left alone.
async fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "there is a file of that name that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let metadata = fs::symlink_metadata(&self.path);
        if metadata.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // Nothing more can be done about a file that cannot be removed; the next start does.
            fs::remove_file(&self.path).ok();
        }
    }
}

fn cannot_listen(address: &ListenAddr, option: &str, error: &io::Error) -> Failure {
    let advice = match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, _) => {
            format!("address in use – is another watertight running? choose another with {option}")
        }
        (io::ErrorKind::PermissionDenied, ListenAddr::Tcp(_)) => format!(
            "{error} – ports below 1024 need the capability CAP_NET_BIND_SERVICE; give it or \
             choose another with {option}"
        ),
        (io::ErrorKind::AddrNotAvailable, _) => format!(
            "this machine has no such address; use one of its own, or 0.0.0.0 for all, with {option}"
        ),
        (io::ErrorKind::NotFound, ListenAddr::Unix(_)) => {
            format!("no such folder; make it, or choose another with {option}")
        }
        _ => format!("{error}; choose another with {option}"),
    };
    Failure::start(format_args!("cannot listen on {address}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("watertight-{}-{name}", std::process::id()))
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_the_new_one_removed() {
        let path = temporary("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&ListenAddr::Unix(path.clone()), "--listen").await.unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_alone() {
        let path = temporary("live.sock");
        let first = bind(&ListenAddr::Unix(path.clone()), "--listen").await.unwrap();
        let error = bind(&ListenAddr::Unix(path.clone()), "--listen").await.unwrap_err();
        assert!(error.to_string().contains("address in use"), "{error}");
        assert!(path.exists());
        drop(first);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let path = temporary("file.sock");
        fs::write(&path, "precious").unwrap();
        bind(&ListenAddr::Unix(path.clone()), "--listen").await.unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn a_public_admin_address_is_refused() {
        let error = bind_admin(&"0.0.0.0:0".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Failure::Configuration(_)), "{error}");
        bind_admin(&"0".parse().unwrap()).await.unwrap();
    }
}
