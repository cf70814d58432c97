//! A peer that a test drives: the core's session on a WebSocket, so that the test determines its
//! announcements, its answers, and whether it reads at all.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use watertight::proto::wire::{ClientRoute, Dialect};
use watertight::proto::{Event, Instant, Role, Session, SessionConfig, Transmit};

use super::token;

type Socket = WebSocketStream<TcpStream>;

type Command = Box<dyn FnOnce(&mut Session, Instant) + Send>;

/// Ends with its handle.
pub struct HandPeer {
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl HandPeer {
    /// Connects to a server as the peer `id`. `on_event` handles its events.
    pub async fn connect(
        to: SocketAddr,
        id: &str,
        dialect: Dialect,
        on_event: impl FnMut(&mut Session, Instant, Event) + Send + 'static,
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{to}/connect").into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("X-API-Tunnel-ID", id.parse().unwrap());
        headers.insert("X-API-Tunnel-Token", token(id).parse().unwrap());
        if dialect == Dialect::Extended {
            headers.insert("Watertight-Protocol", "1".parse().unwrap());
        }
        let (socket, _) = client_async(request, TcpStream::connect(to).await.unwrap()).await?;
        Ok(Self::run(socket, Role::Connector, dialect, on_event))
    }

    /// A peer that a server connects to, which speaks the base dialect.
    pub async fn accept(
        listener: &TcpListener,
        on_event: impl FnMut(&mut Session, Instant, Event) + Send + 'static,
    ) -> Self {
        let socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        Self::run(socket, Role::Acceptor, Dialect::Base, on_event)
    }

    fn run(
        socket: Socket,
        role: Role,
        dialect: Dialect,
        on_event: impl FnMut(&mut Session, Instant, Event) + Send + 'static,
    ) -> Self {
        let (commands, queue) = mpsc::unbounded_channel();
        let task = tokio::spawn(drive(socket, role, dialect, queue, on_event));
        Self { commands, task }
    }

    pub fn command(&self, command: impl FnOnce(&mut Session, Instant) + Send + 'static) {
        self.commands.send(Box::new(command)).ok();
    }

    pub fn announce(&self, client: &str, session_key: i64) {
        let route = ClientRoute { client_key: client.into(), session_key };
        self.command(move |session, now| session.announce(now, route, true).unwrap());
    }

    pub fn is_up(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for HandPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until the remote closes, or the handle is dropped.
async fn drive(
    mut socket: Socket,
    role: Role,
    dialect: Dialect,
    mut commands: mpsc::UnboundedReceiver<Command>,
    mut on_event: impl FnMut(&mut Session, Instant, Event) + Send,
) {
    let started = tokio::time::Instant::now();
    let now = || Instant::from_epoch(started.elapsed());
    let mut session = Session::new(now(), role, dialect, SessionConfig::default());
    loop {
        while let Some(event) = session.poll_event() {
            on_event(&mut session, now(), event);
        }
        while let Some(transmit) = session.poll_transmit(now()) {
            let message = match transmit {
                Transmit::Message(message) => Message::Binary(message.to_bytes()),
                Transmit::TransportPing(payload) => Message::Ping(payload),
            };
            if socket.feed(message).await.is_err() {
                return;
            }
        }
        // Messages of one turn are sent together.
        if socket.flush().await.is_err() {
            return;
        }
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => command(&mut session, now()),
                None => return,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Binary(message))) => session.handle_message(now(), message),
                Some(Ok(Message::Ping(_))) => session.handle_transport_ping(now()),
                Some(Ok(Message::Pong(pong))) => session.handle_transport_pong(now(), &pong),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            () = tokio::time::sleep(Duration::from_millis(50)) => session.handle_timeout(now()),
        }
    }
}
