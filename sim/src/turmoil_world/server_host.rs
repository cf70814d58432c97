//! The software of a server host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use watertight::simulation::SimulatedSocket;
use watertight::{AuthRequest, Endpoint, Peer, PeerIdentity, Refusal, Server};

use super::application::{self, Dialler, key};
use super::books::Desk;
use super::broken_socket::{Held, await_first_byte};
use super::command::Command;
use super::connect::{accept, connect, listen};
use super::death::until_death;
use super::deviation::Deviation;
use super::greeting::TOKEN;
use super::server_desk::ServerDesk;
use super::stage::Stage;
use super::target::handle;
use crate::schedule::Host;

/// How long a session stays at most, where two agents take turns: a world waits for each of them.
const TURN: Duration = Duration::from_millis(300);

/// Sockets that wait for each handshake that may run.
const WAITING: usize = 4;

/// Runs a server, until it is stopped or dies.
pub(super) async fn run(
    stage: Arc<Stage>,
    number: u8,
    commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Server(number);
    stage.at(host, |desk| desk.runtime = Some(tokio::runtime::Handle::current()));
    let software = serve(Arc::clone(&stage), number, commands);
    until_death(stage, host, software).await
}

async fn serve(
    stage: Arc<Stage>,
    number: u8,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Server(number);
    loop {
        let start = stage.at(host, Desk::start).unwrap_or_default();
        let server = build(&stage, number, start)?;
        stage.at(host, |desk| desk.server = Some(ServerDesk::new(server.clone())));
        let accepting = accept_all(Arc::clone(&stage), host, server.clone());
        let accepting = AbortOnDropHandle::new(spawn_local(accepting));
        let (within, again) = obey(&stage, host, &server, &mut commands).await;
        shut_down(&stage, host, server, accepting, within).await;
        if !again {
            break;
        }
    }
    stage.at(host, |desk| desk.is_stopped = true);
    std::future::pending().await
}

fn build(stage: &Arc<Stage>, number: u8, start: u64) -> turmoil::Result<Server> {
    let (handling, host) = (Arc::clone(stage), Host::Server(number));
    let waiting = Arc::clone(stage);
    let builder = Server::builder(move |request| authenticate(Arc::clone(&waiting), host, request))
        .unmasked()
        .write_buffer(stage.write_buffer())
        .session(stage.server_session())
        .handshake_timeout(deadline(stage))
        .min_turn(stage.handshake().min(TURN))
        .session_interval(Duration::from_millis(1))
        .peering(PeerIdentity::new(&host.to_string(), &token(host)))
        .allow_dials(move |client, incoming| {
            handle(Arc::clone(&handling), host, Some(client), incoming)
        });
    let builder = match max_handshakes(stage) {
        Some(max) => builder.max_handshakes(max),
        None => builder,
    };
    let server = builder.build();
    for other in (0..stage.schedule.cast.servers).filter(|other| *other != number) {
        server.add_peer(peer(stage, number, other, start)?)?;
    }
    Ok(server)
}

fn max_handshakes(stage: &Stage) -> Option<usize> {
    match stage.schedule.knobs.hosts.max_handshakes as usize {
        0 => None,
        _ if stage.deviation == Deviation::HandshakesUnbounded => Some(usize::MAX),
        max => Some(max),
    }
}

fn deadline(stage: &Stage) -> Duration {
    match stage.deviation {
        Deviation::HandshakesLast => Duration::from_secs(3600),
        _ => stage.handshake(),
    }
}

/// Whether as many sockets wait as may.
fn is_full(stage: &Stage, server: &Server) -> bool {
    max_handshakes(stage).is_some_and(|max| server.kept().handshakes >= WAITING * max)
}

async fn authenticate(
    stage: Arc<Stage>,
    host: Host,
    request: AuthRequest,
) -> Result<String, Refusal> {
    let key = request.client_key.as_deref().unwrap_or_default();
    if stage.deviation == Deviation::LoginWaits {
        while !stage.at(host, |desk| desk.log_in(key)).unwrap_or(true) {
            sleep(Duration::from_millis(10)).await;
        }
    }
    if !request.token_is(TOKEN) && stage.deviation != Deviation::TokenIgnored {
        return Err(Refusal::unauthorized("wrong token"));
    }
    Ok(key.to_string())
}

fn token(host: Host) -> String {
    format!("token of {host}")
}

fn peer(stage: &Arc<Stage>, number: u8, other: u8, start: u64) -> turmoil::Result<Peer> {
    let (from, to) = (Host::Server(number), Host::Server(other));
    let endpoint: Endpoint = format!("ws://{to}/connect").parse()?;
    let reaching = Arc::clone(stage);
    Ok(Peer::new(endpoint, &to.to_string(), &token(to))
        .reconnect(stage.reconnect())
        .seed(stage.seed(from, start))
        .connect_timeout(stage.handshake())
        .connect_with(move || connect(Arc::clone(&reaching), from, other)))
}

async fn accept_all(stage: Arc<Stage>, host: Host, server: Server) -> turmoil::Result {
    let listener = listen().await?;
    loop {
        let (socket, remote) = accept(&stage, host, &listener).await?;
        let remote = Some(remote);
        match stage.deviation {
            Deviation::AcceptWaits => {
                // Otherwise it is gone.
                if let Ok(socket) = await_first_byte(socket).await {
                    server.serve_io(socket, remote);
                }
            }
            Deviation::SocketStays => server.serve_io(Held::new(&stage, socket), remote),
            Deviation::SharesIgnored => server.serve_io(SimulatedSocket::new(socket), None),
            Deviation::NewcomersRefused if is_full(&stage, &server) => drop(socket),
            _ => server.serve_io(SimulatedSocket::new(socket), remote),
        }
    }
}

/// Does what it is told, until it is told to shut down: within which time, and whether it starts again.
async fn obey(
    stage: &Arc<Stage>,
    host: Host,
    server: &Server,
    commands: &mut UnboundedReceiver<Command>,
) -> (Duration, bool) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Dial(stream) => {
                let dialler = Dialler::Server(server.clone());
                spawn_local(application::run(Arc::clone(stage), stream, dialler));
            }
            Command::Disconnect(agent) => {
                let found = server.disconnect(&key(agent), "disconnected");
                stage.tale(host, || format!("disconnects agent{agent}: {found}"));
            }
            Command::Drain { agent, within } => {
                let found = server.drain(&key(agent), "drained", within);
                stage.tale(host, || format!("drains agent{agent}: {found}"));
            }
            Command::Restart(within) => return (within, true),
            Command::Stop(within) => return (within, false),
            Command::Replace | Command::Say(_) | Command::Visit(_) | Command::HangUp => {}
        }
    }
    (Duration::ZERO, false)
}

async fn shut_down(
    stage: &Stage,
    host: Host,
    server: Server,
    accepting: AbortOnDropHandle<turmoil::Result>,
    within: Duration,
) {
    accepting.abort();
    // It was told to end, unless it had failed before.
    if let Ok(Err(error)) = accepting.await {
        stage.contradict(format!("{host} cannot listen: {error}"));
    }
    let ledger = server.shutdown(within).await;
    stage.tale(host, || format!("has shut down: {}", ledger.connections));
    let books = stage.at(host, |desk| {
        let books = desk.last_books(stage, host);
        desk.server = None;
        desk.forget_totals();
        books
    });
    books.into_iter().for_each(|books| stage.close(books));
}
