//! A listener with a full backlog, so that connecting to it hangs.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

/// A port whose queue of connections is full, so that connecting to it never ends.
#[derive(Debug)]
pub(crate) struct Clogged {
    pub(crate) at: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl Clogged {
    pub(crate) async fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let at = listener.local_addr().unwrap();
        let queued = (0..8).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // A connect that is in progress is enough; whether it completes does not matter.
            socket.connect(&at).ok();
            socket
        });
        let queued = queued.collect();
        let at = at.as_socket().unwrap();
        let tried = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(at)).await;
        assert!(tried.is_err(), "the queue is not full: {tried:?}");
        Self { at, _listener: listener, _queued: queued }
    }
}
