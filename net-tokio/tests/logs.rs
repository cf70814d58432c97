//! The log's content, and its limits.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{self, Layer, SubscriberExt};
use watertight::{Listener, Policy, ReconnectConfig, Server};

use support::{KEY, Target, Tunnel, agent, in_time, listen, server, until};

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start(level: LevelFilter) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(with)).map(str::to_string).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0.lock().unwrap(), line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn forbidden_dials_do_not_fill_the_log() {
    let (log, _guard) = Log::start(LevelFilter::INFO);
    let tunnel = Tunnel::with(server(), |agent| agent.policy(Policy::default()), "tcp").await;
    for _ in 0..100 {
        tunnel.server.dial(KEY, "tcp/127.0.0.1:1").await.unwrap_err();
    }
    assert_eq!(log.lines("dial refused").len(), 10);
    tunnel.end().await;
}

#[tokio::test]
async fn log_lines_of_a_connection_name_client_session_and_target() {
    let (log, _guard) = Log::start(LevelFilter::DEBUG);
    let target = Target::echo().await;
    let tunnel = Tunnel::start("ws").await;
    let span = format!("connection{{id=2 target=\"{}\"}}", target.target());
    let session = "session{client=\"edge-7\" number=1}";

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = port.local_addr().unwrap();
    let forward = tunnel.server.forward(Listener::Tcp(port), KEY, &target.target());
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(b"x").await.unwrap();
    client.shutdown().await.unwrap();
    in_time(client.read_to_end(&mut Vec::new())).await.unwrap();
    until(|| log.lines("connection finished").len() == 2).await;
    for what in ["dialled", "connection finished"] {
        let lines = log.lines(what);
        let of_server = |line: &&String| line.contains(&format!(" {session}:{span}"));
        assert_eq!(lines.iter().filter(of_server).count(), 1, "{lines:#?}");
    }
    let of_agent = format!(" session{{server=ws://{}/connect}}:{span}", tunnel.at);
    let lines = log.lines("connection finished");
    assert!(lines.iter().any(|line| line.contains(&of_agent)), "{lines:#?}");
    let lines = log.lines("session started");
    assert!(lines[0].contains("handshake{remote=Some(127.0.0.1:"), "{lines:#?}");
    drop(forward);
    tunnel.end().await;
}

#[tokio::test]
async fn two_machines_with_one_key_are_both_named() {
    let (log, _guard) = Log::start(LevelFilter::INFO);
    let server = server().build();
    let at = listen(&server).await;
    let mut remotes: Vec<String> = Vec::new();
    let mut agents = Vec::new();
    for session in 1..=3 {
        // The earlier ones wait for an hour before they reconnect.
        let hour = Duration::from_secs(3600);
        let config = ReconnectConfig { initial: hour, max: hour, ..ReconnectConfig::default() };
        let agent = agent("tcp", at, KEY).reconnect(config).seed(1).start();
        in_time(agent.connected()).await.unwrap();
        until(|| server.ledger().registry.agents.added == session).await;
        remotes.push(server.clients()[0].remote.unwrap().to_string());
        agents.push(agent);
        let lines = log.lines("sessions of one client replace each other");
        assert_eq!(lines.len(), usize::from(session == 3), "{lines:#?}");
    }
    let lines = log.lines("give each agent a key of its own");
    for text in [
        " WARN ".to_string(),
        format!("client=\"{KEY}\""),
        format!("remote=\"{}\"", remotes[2]),
        format!("replaced=\"{}\"", remotes[1]),
        "turns=2".to_string(),
    ] {
        assert!(lines[0].contains(&text), "{text} is not in {lines:#?}");
    }
    for agent in agents {
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// A subscriber that calls the server for each span or event, as a program that shows its clients
/// beside its log does.
struct Asking {
    server: Server,
    unanswered: Arc<AtomicUsize>,
}

impl Asking {
    fn ask(&self) {
        let (answer, answered) = mpsc::channel();
        let server = self.server.clone();
        // On a thread of its own, so that the test ends if the call never returns.
        std::thread::spawn(move || {
            let dial = pin!(server.dial("nobody", ""));
            let answered = dial.poll(&mut Context::from_waker(Waker::noop())).is_ready();
            answer.send(answered)
        });
        if answered.recv_timeout(Duration::from_secs(2)) != Ok(true) {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Asking {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: layer::Context<'_, S>) {
        self.ask();
    }

    fn on_event(&self, _: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        self.ask();
    }
}

#[tokio::test]
async fn a_subscriber_may_ask_the_server_while_a_session_starts() {
    let server = server().build();
    let unanswered = Arc::new(AtomicUsize::new(0));
    let asking = Asking { server: server.clone(), unanswered: Arc::clone(&unanswered) };
    let subscriber = tracing_subscriber::registry().with(asking);
    let guard = tracing::subscriber::set_default(subscriber);
    let at = listen(&server).await;
    let agent = agent("tcp", at, KEY).start();
    in_time(agent.connected()).await.unwrap();
    until(|| !server.clients().is_empty()).await;
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
    drop(guard);
    assert_eq!(unanswered.load(Ordering::Relaxed), 0);
}
