//! Listening sockets, and advice when one cannot be bound.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};
use watertight::{Listener, Policy};

use crate::failure::Failure;
use crate::specs::{AdminAddr, ListenAddr};
use crate::unix_socket::{SocketFile, UnixSocket};

/// Connections that wait in the kernel to be accepted. When a server comes back, all of its agents
/// connect at once; an agent that finds the queue full tries again only after a second.
const BACKLOG: u32 = 4096;

/// How often the system is asked for a port that is free at each address of a name.
const PORT_TRIES: u32 = 10;

/// A listening socket with its address.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    /// With the port that the system chose, if it was asked to.
    pub(crate) address: ListenAddr,
    /// Removes the socket's file once nothing listens any more.
    pub(crate) file: Option<SocketFile>,
}

impl Bound {
    /// Takes the socket out of what the remote may dial: through it that end could do more.
    ///
    /// # Errors
    /// It cannot be found out what the socket is.
    pub(crate) fn exclude_from(&self, policy: &mut Policy) -> Result<(), Failure> {
        match &self.address {
            ListenAddr::Tcp(at) => policy.exclude_address(at.parse().map_err(Failure::start)?),
            ListenAddr::Unix(socket) => {
                policy.exclude_socket(&socket.path).map_err(Failure::start)?;
            }
        }
        Ok(())
    }
}

/// Binds all addresses of the program.
#[derive(Debug)]
pub(crate) struct Binder {
    /// Ports that are asked for at an IPv4 address.
    ipv4: BTreeSet<u16>,
}

impl Binder {
    /// Of all the addresses that the program is asked to listen on.
    ///
    /// `[::]:P` takes IPv4 as well, as everywhere, unless that port is asked for at an IPv4 address
    /// itself: then the two stand beside each other, whichever is bound first.
    pub(crate) fn of<'a>(addresses: impl IntoIterator<Item = &'a ListenAddr>) -> Self {
        let ipv4 = addresses.into_iter().filter_map(|address| match address {
            ListenAddr::Tcp(text) => text.parse().ok().filter(SocketAddr::is_ipv4),
            ListenAddr::Unix(_) => None,
        });
        Self { ipv4: ipv4.map(|address| address.port()).filter(|port| *port != 0).collect() }
    }

    /// Listens on `address`, which the operator gave with `option`: on each address of a name.
    pub(crate) async fn bind(
        &self,
        address: &ListenAddr,
        option: &str,
    ) -> Result<Vec<Bound>, Failure> {
        let bound = match address {
            ListenAddr::Tcp(text) => self.bind_tcp(text).await,
            ListenAddr::Unix(socket) => bind_unix(socket).await.map(|bound| vec![bound]),
        };
        bound.map_err(|error| cannot_listen(address, option, &error))
    }

    async fn bind_tcp(&self, address: &str) -> io::Result<Vec<Bound>> {
        self.bind_each(&resolve(address).await?)
    }

    /// Listens on all addresses that this machine has, at least one. Where the system chooses the
    /// port, they have the same one.
    fn bind_each(&self, addresses: &BTreeSet<SocketAddr>) -> io::Result<Vec<Bound>> {
        let mut tries = 0;
        loop {
            match self.bind_once(addresses) {
                // The port that the first address got was not free at another one.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && addresses.len() > 1
                        && addresses.iter().all(|address| address.port() == 0)
                        && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                bound => return bound,
            }
        }
    }

    fn bind_once(&self, addresses: &BTreeSet<SocketAddr>) -> io::Result<Vec<Bound>> {
        let mut bound: Vec<Bound> = Vec::new();
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut port = None;
        for address in addresses {
            let mut address = *address;
            address.set_port(port.filter(|_| address.port() == 0).unwrap_or(address.port()));
            match self.listen(address) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    port = port.or(Some(address.port()));
                    let address = ListenAddr::Tcp(address.to_string());
                    bound.push(Bound { listener: Listener::Tcp(listener), address, file: None });
                }
                // A name may have an address of a family that this machine lacks.
                Err(error) if is_of_no_such_address(&error) => failure = error,
                Err(error) => return Err(error),
            }
        }
        if bound.is_empty() { Err(failure) } else { Ok(bound) }
    }

    fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if address.is_ipv6() {
            let only_v6 = self.ipv4.contains(&address.port());
            socket2::SockRef::from(&socket).set_only_v6(only_v6)?;
        }
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }
}

fn is_of_no_such_address(error: &io::Error) -> bool {
    const NO_SUCH_FAMILY: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

/// Listens for the admin server: on loopback, or on a Unix socket.
pub(crate) async fn bind_admin(
    binder: &Binder,
    address: &AdminAddr,
) -> Result<Vec<Bound>, Failure> {
    let AdminAddr(address) = address;
    let ListenAddr::Tcp(text) = address else { return binder.bind(address, "--admin").await };
    let found = resolve(text)
        .await
        .map_err(|error| Failure::start(format_args!("cannot resolve --admin {text}: {error}")))?;
    // Binds the addresses that were checked: a name may have another address a moment later.
    check_loopback(text, &found)?;
    let bound = binder.bind_each(&found);
    bound.map_err(|error| cannot_listen(address, "--admin", &error))
}

async fn resolve(address: &str) -> io::Result<BTreeSet<SocketAddr>> {
    Ok(tokio::net::lookup_host(address).await?.collect())
}

fn check_loopback(address: &str, found: &BTreeSet<SocketAddr>) -> Result<(), Failure> {
    match found.iter().find(|found| !found.ip().is_loopback()) {
        None => Ok(()),
        Some(public) => Err(Failure::configuration(format_args!(
            "--admin {address}: {} is not a loopback address. Anyone who reaches the admin server can \
             reach every agent's network, and it asks for no password. Use --admin 127.0.0.1:{} or \
             unix:/path, and put a server with authentication in front of it if others need it",
            public.ip(),
            public.port()
        ))),
    }
}

async fn bind_unix(socket: &UnixSocket) -> io::Result<Bound> {
    let (listener, file) = socket.listen().await?;
    let address = ListenAddr::Unix(socket.clone());
    Ok(Bound { listener: Listener::Unix(listener), address, file: Some(file) })
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
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("watertight-{}-{name}", std::process::id()))
    }

    async fn bind(address: &ListenAddr, option: &str) -> Result<Vec<Bound>, Failure> {
        Binder::of([address]).bind(address, option).await
    }

    fn tcp(text: &str) -> ListenAddr {
        text.parse().unwrap()
    }

    /// A port that is free now, at any address.
    fn free_port() -> u16 {
        std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn both_families_stand_beside_each_other_in_either_order() {
        for [ipv4, ipv6] in [["0.0.0.0", "[::]"], ["127.0.0.1", "[::]"], ["127.0.0.1", "[::1]"]] {
            for order in [[ipv4, ipv6], [ipv6, ipv4]] {
                let port = free_port();
                let addresses = order.map(|host| tcp(&format!("{host}:{port}")));
                let binder = Binder::of(&addresses);
                let mut bound = Vec::new();
                for address in &addresses {
                    bound.extend(binder.bind(address, "--listen").await.unwrap());
                }
                for to in ["127.0.0.1", "[::1]"] {
                    std::net::TcpStream::connect(format!("{to}:{port}")).unwrap();
                }
                assert_eq!(bound.len(), 2);
            }
        }
    }

    #[tokio::test]
    async fn all_of_ipv6_alone_takes_ipv4_as_well() {
        let bound = bind(&tcp("[::]:0"), "--listen").await.unwrap();
        let ListenAddr::Tcp(address) = &bound[0].address else { panic!() };
        let port = address.rsplit_once(':').unwrap().1;
        std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    }

    #[tokio::test]
    async fn a_name_is_listened_on_at_each_of_its_addresses() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let binder = Binder::of([]);
        // 192.0.2.1 is nobody's (RFC 5737): a name may have more addresses than this machine.
        let found = addresses(&["127.0.0.1:0", "[::1]:0", "192.0.2.1:0"]);
        let bound = binder.bind_each(&found).unwrap();
        let texts: Vec<String> = bound.iter().map(|bound| bound.address.to_string()).collect();
        let ports: BTreeSet<&str> =
            texts.iter().map(|text| text.rsplit_once(':').unwrap().1).collect();
        assert_eq!((texts.len(), ports.len()), (2, 1), "{texts:?}");
        for text in &texts {
            std::net::TcpStream::connect(text).unwrap();
        }
        // An address in use is an error, though another one is free.
        let port = ports.first().unwrap();
        let taken = addresses(&[&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}")]);
        let error = binder.bind_each(&taken).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = binder.bind_each(&addresses(&["192.0.2.1:0"])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let error = binder.bind_each(&BTreeSet::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_the_new_one_removed() {
        let path = temporary("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&ListenAddr::Unix(UnixSocket::at(&path)), "--listen").await.unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_alone() {
        let path = temporary("live.sock");
        let first = bind(&ListenAddr::Unix(UnixSocket::at(&path)), "--listen").await.unwrap();
        let error = bind(&ListenAddr::Unix(UnixSocket::at(&path)), "--listen").await.unwrap_err();
        assert!(error.to_string().contains("address in use"), "{error}");
        assert!(path.exists());
        drop(first);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let path = temporary("file.sock");
        fs::write(&path, "precious").unwrap();
        bind(&ListenAddr::Unix(UnixSocket::at(&path)), "--listen").await.unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn a_public_admin_address_is_refused() {
        let error = bind_admin(&Binder::of([]), &"0.0.0.0:0".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, Failure::Configuration(_)), "{error}");
        bind_admin(&Binder::of([]), &"0".parse().unwrap()).await.unwrap();
    }
}
