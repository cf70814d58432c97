//! Several sockets of several sources at one server with few handshakes: unauthenticated remotes that send
//! anything, in any order, and agents that must get a session.

mod socket;
mod step;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use watertight::{Agent, AuthRequest, Endpoint, Refusal, Server};

use super::server::check_answer;
use super::{Handshake, SOCKET, TOKEN, check_length_of};
use socket::Socket;
use step::SocketStep;

/// Sockets that unauthenticated remotes open in one case, and agents that connect.
const SOCKETS: usize = 64;
const AGENTS: u8 = 4;

/// Handshakes that may run at once, at most.
const MOST: u8 = 6;

/// Sockets that wait for each handshake that may run.
const WAITING: usize = 4;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long an agent takes where there are more handshakes than sources: no longer than two sessions of one
/// client take that are asked for a sign of life, one after the other.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The same where unauthenticated remotes have all handshakes: these end, its own attempt may fail, and it
/// tries again after its backoff.
const IN_THE_END: Duration = Duration::from_secs(40);

/// The token of the agents, and how their keys begin.
const AGENT: &str = "agent";

/// Plays a case.
pub(super) async fn check(case: &Handshake<'_>) {
    let mut sockets = ManySockets::new(handshakes_of(case));
    for step in SocketStep::all(case.bytes) {
        sockets.play(&step).await;
        sockets.check_bound();
    }
    sockets.connect(false).await;
    sockets.end(case.stays).await;
}

/// The steps of a case, in words.
pub(super) fn explain(case: &Handshake<'_>) -> String {
    let (most, steps) = (handshakes_of(case), SocketStep::all(case.bytes));
    format!("a crowd at {most} handshakes that stays: {}: {steps:?}", case.stays)
}

/// Bytes of heap that a case may take beside those of one server: for each socket its two buffers, its task
/// and, once it is let in, a session; for each agent as much as for a server.
pub(super) fn heap(case: &Handshake<'_>) -> u64 {
    let steps = SocketStep::all(case.bytes);
    let count =
        |is: fn(&SocketStep<'_>) -> bool| steps.iter().filter(|step| is(step)).count() as u64;
    let sockets = count(|step| matches!(step, SocketStep::Open { .. }));
    let agents = count(|step| matches!(step, SocketStep::Agent { .. })) + 1;
    (sockets * (96 << 10)) + (agents * (512 << 10))
}

/// How long the steps of a case wait, together.
pub(super) fn waits(case: &Handshake<'_>) -> Duration {
    SocketStep::all(case.bytes).iter().map(SocketStep::wait).sum()
}

/// How many handshakes the server of a case runs at once.
fn handshakes_of(case: &Handshake<'_>) -> usize {
    usize::from(1 + case.piece % MOST)
}

struct ManySockets {
    server: Server,
    most: usize,
    opened: usize,
    sockets: Vec<Socket>,
    sources: BTreeSet<u8>,
    connected: u8,
    /// Agents that stay.
    agents: Vec<Agent>,
}

impl ManySockets {
    fn new(most: usize) -> Self {
        Self {
            server: server(most),
            most,
            opened: 0,
            sockets: Vec::new(),
            sources: BTreeSet::new(),
            connected: 0,
            agents: Vec::new(),
        }
    }

    async fn play(&mut self, step: &SocketStep<'_>) {
        match *step {
            SocketStep::Open { source } => self.open(source),
            SocketStep::Send { socket, bytes } => {
                if let Some(socket) = self.socket(socket) {
                    socket.send(bytes).await;
                }
            }
            SocketStep::Greet { socket, greeting, bytes } => {
                if let Some(socket) = self.socket(socket) {
                    socket.send(&greeting.part(bytes)).await;
                }
            }
            SocketStep::Finish { socket } => {
                if let Some(socket) = self.socket(socket) {
                    socket.finish().await;
                }
            }
            SocketStep::Close { socket } => {
                if let Some(place) = self.index(socket) {
                    self.close(place).await;
                }
            }
            SocketStep::Wait { .. } => sleep(step.wait()).await,
            SocketStep::Agent { stays } => {
                if self.connected < AGENTS {
                    self.connect(stays).await;
                }
            }
        }
        // The server processes the bytes before there are more.
        yield_now().await;
    }

    fn open(&mut self, source: u8) {
        if self.opened == SOCKETS {
            return;
        }
        self.opened += 1;
        self.sources.insert(source);
        let (near, far) = duplex(SOCKET);
        self.server.serve_io(far, Some(SocketAddr::from(([192, 0, 2, source], 1))));
        self.sockets.push(Socket::new(near));
    }

    fn index(&self, socket: u8) -> Option<usize> {
        usize::from(socket).checked_rem(self.sockets.len())
    }

    fn socket(&mut self, socket: u8) -> Option<&mut Socket> {
        let place = self.index(socket)?;
        self.sockets.get_mut(place)
    }

    /// Closes a socket, and checks what its remote received.
    async fn close(&mut self, place: usize) {
        let socket = self.sockets.swap_remove(place);
        let (answer, said) = (socket.answer(), socket.sent());
        check_answer(&answer, has_token(said));
        check_length_of(answer.len(), said.len());
        socket.close().await;
    }

    /// No more sockets are without a session than may be, however many were opened.
    fn check_bound(&self) {
        let (handshakes, most) = (self.server.kept().handshakes, self.most * (1 + WAITING));
        assert!(
            handshakes <= most,
            "{handshakes} sockets without a session, at most {most} allowed"
        );
    }

    /// An agent connects in time, beside any other remotes.
    async fn connect(&mut self, stays: bool) {
        let number = self.connected;
        assert!(number <= AGENTS, "{number} agents before the last one, {AGENTS} at most");
        self.connected += 1;
        let server = self.server.clone();
        let agent = Agent::builder(endpoint(number), &format!("{AGENT}{number}"))
            .token(AGENT)
            .seed(number.into())
            .connect_timeout(HANDSHAKE)
            .connect_with(move || {
                let near = reach(&server, number);
                async move { Ok(near) }
            })
            .start();
        let has_turns_for_all = self.sources.len() < self.most;
        let most = if has_turns_for_all { AT_ONCE } else { IN_THE_END };
        let in_time = timeout(most, agent.connected()).await;
        let sources = self.sources.len();
        assert!(in_time.is_ok(), "an agent has no session after {most:?}, with {sources} sources");
        if stays {
            self.agents.push(agent);
        } else {
            agent.kill().await;
        }
    }

    /// The time of every handshake passes. Only sessions are left then, and at last nothing is.
    async fn end(mut self, stays: bool) {
        while !stays && !self.sockets.is_empty() {
            self.close(0).await;
        }
        sleep(HANDSHAKE + Duration::from_secs(1)).await;
        let kept = self.server.kept();
        assert_eq!((kept.handshakes, kept.permits), (0, 0), "handshakes are kept");
        for socket in &self.sockets {
            let is_done = socket.is_closed() || has_token(socket.sent());
            assert!(is_done, "the socket of a stranger is open after his time");
        }
        while !self.sockets.is_empty() {
            self.close(0).await;
        }
        for agent in self.agents {
            let ledger = agent.kill().await;
            assert!(ledger.is_settled(), "{ledger:?}");
        }
        let ledger = self.server.kill().await;
        assert!(ledger.is_settled(), "{ledger:?}");
    }
}

/// A connection of an agent to the server. Each agent has an address of its own.
fn reach(server: &Server, number: u8) -> DuplexStream {
    let (near, far) = duplex(SOCKET);
    server.serve_io(far, Some(SocketAddr::from(([198, 51, 100, number], 1))));
    near
}

fn endpoint(number: u8) -> Endpoint {
    let text = if number.is_multiple_of(2) { "ws://server/connect" } else { "tcp://server:1" };
    match text.parse() {
        Ok(endpoint) => endpoint,
        Err(error) => panic!("{text}: {error}"),
    }
}

fn has_token(said: &[u8]) -> bool {
    said.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes())
}

/// A server that takes agents, and guests with the token, whose keys are never those of agents.
fn server(most: usize) -> Server {
    let builder = Server::builder(|request: AuthRequest| async move {
        match request.client_key.as_deref() {
            Some(key) if request.token_is(AGENT) => Ok(key.to_string()),
            Some(key) if request.token_is(TOKEN) => Ok(format!("guest {key}")),
            _ => Err(Refusal::unauthorized("unknown token")),
        }
    });
    builder.handshake_timeout(HANDSHAKE).max_handshakes(most).build()
}
