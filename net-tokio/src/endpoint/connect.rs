use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;

use super::{Endpoint, Kind, ProxyPolicy};
use crate::copy::Socket;
use crate::handshake::ConnectError;
use crate::policy::connect_any;
use crate::tls::{ClientTls, TlsError};
use crate::transport::{BoxIo, Io};

/// How to reach an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectOptions {
    /// The system's roots if it is `None`.
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: ProxyPolicy,
    /// Where to connect in place of the endpoint's host, by whose name TLS goes all the same.
    pub(crate) address: Option<IpAddr>,
    system: SystemTls,
}

/// Trust in the system's roots, from when it is first needed on: one for all attempts, so that TLS
/// sessions are resumed.
#[derive(Clone, Debug, Default)]
struct SystemTls(OnceCell<ClientTls>);

impl SystemTls {
    /// `make` reads files. What failed is tried again the next time. Cancel safe.
    async fn get(&self, make: fn() -> Result<ClientTls, TlsError>) -> io::Result<ClientTls> {
        let making = async || tokio::task::spawn_blocking(make).await?.map_err(io::Error::other);
        self.0.get_or_try_init(making).await.cloned()
    }
}

impl ConnectOptions {
    async fn tls(&self) -> io::Result<ClientTls> {
        match &self.tls {
            Some(tls) => Ok(tls.clone()),
            None => self.system_tls().await,
        }
    }

    /// Where to connect, as it would stand in a URL.
    fn place<'a>(&self, host: &'a str) -> Cow<'a, str> {
        match self.address {
            None => Cow::Borrowed(host),
            Some(IpAddr::V4(address)) => Cow::Owned(address.to_string()),
            Some(IpAddr::V6(address)) => Cow::Owned(format!("[{address}]")),
        }
    }

    pub(super) async fn system_tls(&self) -> io::Result<ClientTls> {
        self.system.get(ClientTls::system).await
    }
}

impl Endpoint {
    /// A byte stream to the server, with TLS where the endpoint says so. The caller sets the
    /// deadline. Cancel safe.
    pub(crate) async fn connect(&self, options: &ConnectOptions) -> Result<BoxIo, ConnectError> {
        match &self.0 {
            Kind::Unix(path) => connect_unix(path).await.map_err(|error| self.unreachable(error)),
            Kind::ByteStream { tls, host, port } => {
                let socket = self.reach(&options.place(host), *port).await?;
                self.secure(*tls, host, socket, options).await
            }
            Kind::WebSocket { tls, host, port, .. } => {
                let place = options.place(host);
                match options.proxy.toward(*tls, &place, *port)? {
                    Some(proxy) => {
                        let socket = proxy.tunnel(&place, *port, options).await?;
                        self.secure(*tls, host, socket, options).await
                    }
                    None => {
                        let socket = self.reach(&place, *port).await?;
                        self.secure(*tls, host, socket, options).await
                    }
                }
            }
        }
    }

    /// Every address of the host, by the system's resolver. Cancel safe.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        match &self.0 {
            Kind::Unix(_) => Err(io::Error::other("a Unix socket has no address")),
            Kind::ByteStream { host, port, .. } | Kind::WebSocket { host, port, .. } => {
                let found = lookup_host((unbracketed(host), *port)).await?;
                Ok(found.map(|address| address.ip()).collect())
            }
        }
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        reach(host, port).await.map_err(|error| self.unreachable(error))
    }

    async fn secure<I: Io>(
        &self,
        tls: bool,
        host: &str,
        socket: I,
        options: &ConnectOptions,
    ) -> Result<BoxIo, ConnectError> {
        if !tls {
            return Ok(Box::new(socket));
        }
        let failed = |error| ConnectError::Tls { to: self.to_string(), error };
        let tls = options.tls().await.map_err(failed)?;
        let stream = tls.connect(unbracketed(host), socket).await;
        Ok(Box::new(stream.map_err(failed)?))
    }

    fn unreachable(&self, error: io::Error) -> ConnectError {
        ConnectError::Unreachable { to: self.to_string(), error }
    }
}

#[cfg(unix)]
async fn connect_unix(path: &Path) -> io::Result<BoxIo> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

/// Of such an endpoint nothing comes: no text is one.
#[cfg(not(unix))]
#[allow(clippy::unused_async, reason = "where there are Unix sockets it waits")]
async fn connect_unix(_: &Path) -> io::Result<BoxIo> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A socket to a host as it stands in a URL.
pub(super) async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((unbracketed(host), port)).await?.collect();
    let socket = connect_any(&addresses).await?;
    socket.keep();
    Ok(socket)
}

/// Resolvers take IPv6 addresses without the brackets that URLs have around them.
pub(super) fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::ServerTls;

    static MADE: AtomicUsize = AtomicUsize::new(0);

    fn make() -> Result<ClientTls, TlsError> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        match MADE.fetch_add(1, Ordering::Relaxed) {
            0 => Err(TlsError::SystemRoots("not yet".to_string())),
            _ => ClientTls::from_pem(Some(certified.cert.pem().as_bytes()), None),
        }
    }

    #[tokio::test]
    async fn the_systems_roots_are_read_once_when_they_can_be() {
        let system = SystemTls::default();
        let error = system.get(make).await.unwrap_err();
        assert_eq!(error.to_string(), "the system's trusted roots: not yet");
        for _ in 0..3 {
            system.get(make).await.unwrap();
        }
        assert_eq!(MADE.load(Ordering::Relaxed), 2);
    }

    /// Lets one connection through TLS in, and sends back what comes after the request.
    async fn proxy(listener: TcpListener, tls: ServerTls) -> String {
        let (mut io, _) = tls.accept(Box::new(listener.accept().await.unwrap().0)).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
        io.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        io.flush().await.unwrap();
        let byte = io.read_u8().await.unwrap();
        io.write_u8(byte).await.unwrap();
        io.flush().await.unwrap();
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn a_proxy_may_want_tls_with_itself() {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
        let tls = ServerTls::from_pem(cert.as_bytes(), key.as_bytes(), None).unwrap();
        let trust = ClientTls::from_pem(Some(cert.as_bytes()), None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let proxying = tokio::spawn(proxy(listener, tls));
        let options = ConnectOptions {
            proxy: ProxyPolicy::Url(at),
            system: SystemTls(OnceCell::new_with(Some(trust))),
            ..ConnectOptions::default()
        };
        let endpoint: Endpoint = "ws://tunnel.example".parse().unwrap();
        let mut io = endpoint.connect(&options).await.unwrap();
        io.write_u8(7).await.unwrap();
        io.flush().await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), 7);
        let head = proxying.await.unwrap();
        assert!(head.starts_with("CONNECT tunnel.example:80 HTTP/1.1\r\n"), "{head}");
    }
}
