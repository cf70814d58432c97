//! The software of a server host.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, join, split};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use watertight::peering::{Peer, PeerIdentity};
use watertight::simulation::SimulatedSocket;
use watertight::{AuthRequest, Endpoint, Io, Refusal, Server};

use super::application::{self, Dialler, until_death};
use super::connect::{TOKEN, accept, connect, listen};
use super::environment::Environment;
use super::host_state::{Command, HostState, ServerState};
use super::ledger::last_ledger;
use super::plan::{Deviation, FOREVER, client_key};
use super::target::handle;
use super::tcp::TcpSocket;
use crate::schedule::Host;

/// How long a session stays at most, where two agents take turns: a world waits for each of them.
const TURN: Duration = Duration::from_millis(300);

/// Sockets that wait for each handshake that may run.
const WAITING: usize = 4;

/// Runs a server, until it is stopped or dies.
pub(super) async fn run(
    env: Arc<Environment>,
    number: u8,
    commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Server(number);
    env.with_host(host, |state| state.runtime = Some(tokio::runtime::Handle::current()));
    let software = serve(Arc::clone(&env), number, commands);
    until_death(env, host, software).await
}

async fn serve(
    env: Arc<Environment>,
    number: u8,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Server(number);
    loop {
        let start = env.with_host(host, HostState::start).unwrap_or_default();
        let server = build(&env, number, start)?;
        env.with_host(host, |state| state.server = Some(ServerState::new(server.clone())));
        let accepting = accept_all(Arc::clone(&env), host, server.clone());
        let accepting = AbortOnDropHandle::new(spawn_local(accepting));
        let (within, again) = obey(&env, host, &server, &mut commands).await;
        shut_down(&env, host, server, accepting, within).await;
        if !again {
            break;
        }
    }
    env.with_host(host, |state| state.is_stopped = true);
    std::future::pending().await
}

fn build(env: &Arc<Environment>, number: u8, start: u64) -> turmoil::Result<Server> {
    let (handling, host) = (Arc::clone(env), Host::Server(number));
    let waiting = Arc::clone(env);
    let builder = Server::builder(move |request| authenticate(Arc::clone(&waiting), host, request))
        .unmasked()
        .write_buffer(env.plan.write_buffer())
        .session(env.plan.server_session())
        .handshake_timeout(deadline(env))
        .min_turn(env.plan.handshake().min(TURN))
        .session_interval(Duration::from_millis(1))
        .peering(PeerIdentity::new(&host.to_string(), &token(host)))
        .dial_handler(move |client, incoming| {
            handle(Arc::clone(&handling), host, Some(client), incoming)
        });
    let builder = match max_handshakes(env) {
        Some(max) => builder.max_handshakes(max),
        None => builder,
    };
    let server = builder.build();
    for other in (0..env.plan.schedule.cast.servers).filter(|other| *other != number) {
        server.add_peer(peer(env, number, other, start)?)?;
    }
    Ok(server)
}

fn max_handshakes(env: &Environment) -> Option<usize> {
    match env.plan.schedule.knobs.hosts.max_handshakes as usize {
        0 => None,
        _ if env.plan.deviation == Deviation::HandshakesUnbounded => Some(usize::MAX),
        max => Some(max),
    }
}

fn deadline(env: &Environment) -> Duration {
    match env.plan.deviation {
        Deviation::HandshakesLast => FOREVER,
        _ => env.plan.handshake(),
    }
}

/// Whether as many sockets wait as may.
fn is_full(env: &Environment, server: &Server) -> bool {
    max_handshakes(env).is_some_and(|max| server.kept().handshakes >= WAITING * max)
}

async fn authenticate(
    env: Arc<Environment>,
    host: Host,
    request: AuthRequest,
) -> Result<String, Refusal> {
    let key = request.client_key.as_deref().unwrap_or_default();
    if env.plan.deviation == Deviation::LoginWaits {
        while !env.with_host(host, |state| state.log_in(key)).unwrap_or(true) {
            sleep(Duration::from_millis(10)).await;
        }
    }
    if !request.token_is(TOKEN) && env.plan.deviation != Deviation::TokenIgnored {
        return Err(Refusal::unauthorized("wrong token"));
    }
    Ok(key.to_string())
}

fn token(host: Host) -> String {
    format!("token of {host}")
}

fn peer(env: &Arc<Environment>, number: u8, other: u8, start: u64) -> turmoil::Result<Peer> {
    let (from, to) = (Host::Server(number), Host::Server(other));
    let endpoint: Endpoint = format!("ws://{to}/connect").parse()?;
    let reaching = Arc::clone(env);
    Ok(Peer::new(endpoint, &to.to_string(), &token(to))
        .reconnect(env.plan.reconnect())
        .seed(env.plan.seed(from, start))
        .connect_timeout(env.plan.handshake())
        .connect_with(move || connect(Arc::clone(&reaching), from, other)))
}

async fn accept_all(env: Arc<Environment>, host: Host, server: Server) -> turmoil::Result {
    let listener = listen().await?;
    loop {
        let (socket, remote) = accept(&env, host, &listener).await?;
        let remote = Some(remote);
        match env.plan.deviation {
            Deviation::AcceptWaits => {
                // Otherwise it is closed.
                if let Ok(socket) = await_first_byte(socket).await {
                    server.serve_io(socket, remote);
                }
            }
            Deviation::SocketStays => server.serve_io(Held::new(&env, socket), remote),
            Deviation::SharesIgnored => server.serve_io(SimulatedSocket::new(socket), None),
            Deviation::NewSocketsRefused if is_full(&env, &server) => drop(socket),
            _ => server.serve_io(SimulatedSocket::new(socket), remote),
        }
    }
}

/// Performs commands until the one to shut down. Returns its timeout, and whether the server starts again.
async fn obey(
    env: &Arc<Environment>,
    host: Host,
    server: &Server,
    commands: &mut UnboundedReceiver<Command>,
) -> (Duration, bool) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Dial(stream) => {
                let dialler = Dialler::Server(server.clone());
                spawn_local(application::run(Arc::clone(env), stream, dialler));
            }
            Command::Disconnect(agent) => {
                let found = server.disconnect(&client_key(agent), "disconnected");
                env.recorder.trace_host(host, || format!("disconnects agent{agent}: {found}"));
            }
            Command::Drain { agent, within } => {
                let found = server.drain(&client_key(agent), "drained", within);
                env.recorder.trace_host(host, || format!("drains agent{agent}: {found}"));
            }
            Command::Restart(within) => return (within, true),
            Command::Stop(within) => return (within, false),
            Command::Replace | Command::Send(_) | Command::Visit(_) | Command::HangUp => {}
        }
    }
    (Duration::ZERO, false)
}

async fn shut_down(
    env: &Environment,
    host: Host,
    server: Server,
    accepting: AbortOnDropHandle<turmoil::Result>,
    within: Duration,
) {
    accepting.abort();
    // It was aborted, unless it had failed before.
    if let Ok(Err(error)) = accepting.await {
        env.recorder.contradict(format!("{host} cannot listen: {error}"));
    }
    let ledger = server.shutdown(within).await;
    env.recorder.trace_host(host, || format!("has shut down: {}", ledger.connections));
    let ledger = env.with_host(host, |state| {
        let ledger = last_ledger(env, host, state);
        state.server = None;
        state.forget_totals();
        ledger
    });
    ledger.into_iter().for_each(|ledger| env.recorder.close(ledger));
}

/// Waits for the first byte, and gives it back with the socket.
pub(super) async fn await_first_byte(mut socket: TcpSocket) -> io::Result<impl Io> {
    let first = socket.read_u8().await?;
    let (read, write) = split(socket);
    Ok(join(Cursor::new([first]).chain(read), write))
}

/// A socket that has a second owner.
pub(super) struct Held(Arc<Mutex<TcpSocket>>);

impl Held {
    pub(super) fn new(env: &Environment, socket: TcpSocket) -> Self {
        let socket = Arc::new(Mutex::new(socket));
        env.hold(Arc::clone(&socket));
        Self(socket)
    }

    fn lock(&self) -> MutexGuard<'_, TcpSocket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Held {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
