//! Connecting to an endpoint: directly or through a proxy, and TLS.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use tokio::net::{TcpStream, lookup_host};

use super::{Endpoint, Kind, ProxyPolicy, SystemTls, reach, unbracketed};
use crate::handshake::ConnectError;
use crate::io::{BoxIo, Io};
use crate::tls::ClientTls;

/// How to reach an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectOptions {
    /// The system's roots if it is `None`.
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: ProxyPolicy,
    /// The address to connect to instead of the endpoint's host. TLS still verifies the host's
    /// name.
    pub(crate) address: Option<IpAddr>,
    system: SystemTls,
}

impl ConnectOptions {
    /// Whether both describe the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(tls), Some(other)) => tls.is(other),
            _ => false,
        };
        same_tls && (&self.proxy, self.address) == (&other.proxy, other.address)
    }

    async fn tls(&self) -> io::Result<ClientTls> {
        match &self.tls {
            Some(tls) => Ok(tls.clone()),
            None => self.system.get(ClientTls::system).await,
        }
    }

    /// The host to connect to, in the form of a URL.
    fn host_to_reach<'a>(&self, host: &'a str) -> Cow<'a, str> {
        match self.address {
            None => Cow::Borrowed(host),
            Some(IpAddr::V4(address)) => Cow::Owned(address.to_string()),
            Some(IpAddr::V6(address)) => Cow::Owned(format!("[{address}]")),
        }
    }
}

impl Endpoint {
    /// A byte stream to the server, with TLS if the endpoint has it. The caller sets the deadline.
    /// Cancel safe.
    pub(crate) async fn connect(&self, options: &ConnectOptions) -> Result<BoxIo, ConnectError> {
        match &self.0 {
            Kind::Unix(path) => connect_unix(path).await.map_err(|error| self.unreachable(error)),
            Kind::ByteStream { tls, host, port } => {
                let socket = self.reach(&options.host_to_reach(host), *port).await?;
                self.secure(*tls, host, socket, options).await
            }
            Kind::WebSocket { tls, host, port, .. } => {
                let address = options.host_to_reach(host);
                match options.proxy.toward(*tls, &address, *port)? {
                    Some(proxy) => {
                        let socket = proxy.tunnel(&address, *port, &options.system).await?;
                        self.secure(*tls, host, socket, options).await
                    }
                    None => {
                        let socket = self.reach(&address, *port).await?;
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

/// Unreachable: without Unix sockets no text parses as such an endpoint.
#[cfg(not(unix))]
#[allow(clippy::unused_async, reason = "where there are Unix sockets it waits")]
async fn connect_unix(_: &Path) -> io::Result<BoxIo> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::OnceCell;

    use super::*;
    use crate::tls::ServerTls;

    /// A proxy that accepts one TLS connection, and echoes what follows the request.
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
