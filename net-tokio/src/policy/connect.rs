use std::fmt::Write;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

/// How long an address has before the next one is tried beside it (RFC 8305). One that swallows
/// packets, often the IPv6 one, does not use up the time of those that work.
const HEAD_START: Duration = Duration::from_millis(250);

/// A name with more addresses than this is not served better by trying them all.
const MAX_ADDRESSES: usize = 16;

/// Connects to the address that answers first. Small messages leave at once. The caller sets the
/// deadline. Cancel safe.
///
/// The socket is reset when it is dropped, before and after, until linger is switched off again: a target
/// does not take an abandoned dial for a client that had nothing to send.
///
/// # Errors
/// No address answers; with several, the error tells what each one did.
pub(crate) async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    race(addresses, |address| async move {
        let socket = connect_one(address).await?;
        // It fails on a socket that was reset meanwhile, which may have something to read all the same.
        socket.set_nodelay(true).ok();
        Ok(socket)
    })
    .await
}

/// Connects to one address.
///
/// tokio's own `connect` takes the socket's error. A target that answers and resets at once would
/// count as one that refuses, and its answer would be lost with the socket.
#[cfg(target_os = "linux")]
async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    use nix::errno::Errno;
    use socket2::{Domain, Protocol, SockRef, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = TcpStream::from_std(socket.into())?;
    socket.writable().await?;
    // A connection that failed says so now, before there is anything to read.
    match SockRef::from(&socket).peek(&mut [std::mem::MaybeUninit::uninit()]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(socket),
    }
}

#[cfg(not(target_os = "linux"))]
async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

async fn race<S, A>(addresses: &[SocketAddr], connect: impl Fn(SocketAddr) -> A) -> io::Result<S>
where
    A: Future<Output = io::Result<S>>,
{
    let mut waiting = alternating(addresses).into_iter().take(MAX_ADDRESSES);
    let (mut running, mut errors) = (FuturesUnordered::new(), Vec::new());
    loop {
        let patience = match waiting.next() {
            Some(address) => {
                let connecting = connect(address);
                running.push(async move { connecting.await.map_err(|error| (address, error)) });
                HEAD_START
            }
            None if running.is_empty() => return Err(all(errors)),
            None => Duration::MAX,
        };
        match tokio::time::timeout(patience, running.next()).await {
            Ok(Some(Ok(socket))) => return Ok(socket),
            Ok(Some(Err(error))) => errors.push(error),
            Ok(None) | Err(_) => {}
        }
    }
}

/// The addresses with the families in turn, in the resolver's order otherwise.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first);
    let mut other = other.into_iter();
    let mut ordered = Vec::with_capacity(addresses.len());
    for address in preferred {
        ordered.push(address);
        ordered.extend(other.next());
    }
    ordered.extend(other);
    ordered
}

fn all(mut errors: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if errors.len() < 2 {
        let no_address = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
        return errors.pop().map_or_else(no_address, |(_, error)| error);
    }
    let kind = errors.first().map_or(io::ErrorKind::Other, |(_, error)| error.kind());
    let mut text = String::new();
    for (address, error) in errors {
        let separator = if text.is_empty() { "" } else { "; " };
        write!(text, "{separator}{address}: {error}").ok();
    }
    io::Error::new(kind, text)
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// An address whose port tells how many milliseconds it takes; even ones refuse.
    async fn by_port(address: SocketAddr) -> io::Result<SocketAddr> {
        sleep(Duration::from_millis(address.port().into())).await;
        if address.port().is_multiple_of(2) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(address)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_does_not_hold_up_the_next() {
        let began = Instant::now();
        let [silent, good] = ["[::1]:60001", "127.0.0.1:7"];
        let found = race(&addresses(&[silent, good]), by_port).await.unwrap();
        assert_eq!(found, good.parse().unwrap());
        assert_eq!(began.elapsed(), HEAD_START + Duration::from_millis(7));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_is_followed_at_once() {
        let began = Instant::now();
        let found = race(&addresses(&["[::1]:2", "127.0.0.1:7"]), by_port).await.unwrap();
        assert_eq!(found.port(), 7);
        assert_eq!(began.elapsed(), Duration::from_millis(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_first_one_still_wins_if_the_others_refuse() {
        let found = race(&addresses(&["[::1]:801", "127.0.0.1:8"]), by_port).await.unwrap();
        assert_eq!(found.port(), 801);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_tells_what_each_one_did() {
        let error = race(&addresses(&["[::1]:2", "127.0.0.1:8"]), by_port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = "[::1]:2: connection refused; 127.0.0.1:8: connection refused";
        assert_eq!(error.to_string(), text);
        let error = race(&addresses(&["127.0.0.1:8"]), by_port).await.unwrap_err();
        assert_eq!(error.to_string(), "connection refused");
        let error = race(&[], by_port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"];
        let ordered = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"];
        assert_eq!(alternating(&addresses(&given)), addresses(&ordered));
    }
}
