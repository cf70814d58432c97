//! Two sessions on an in-memory byte stream, with the real driver between them.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Span;
use watertight_core::wire::{Dialect, GoAwayCode, ResetCode};
use watertight_core::{Event, Role, SessionConfig};

use super::{Buffers, PastSessions, RunOptions, SessionEvents, Shared, prepare};
use crate::io::{KernelSocket, SimulatedSocket};
use crate::kernel::TcpState;
use crate::stream::TunnelStream;
use crate::stream::{DialError, Incoming, dial};
use crate::tasks::Tasks;
use crate::transport::{ByteStream, WebSocket, WebSocketOptions};

/// An acceptor that answers each dial by its target.
struct Far {
    tasks: Tasks,
    given: mpsc::UnboundedSender<TunnelStream>,
}

impl SessionEvents for Far {
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event) {
        if let Event::Incoming { id, target, within } = event {
            let incoming = Incoming::new(Arc::clone(shared), id, target, within);
            match incoming.target() {
                "given" => self.given.send(incoming.accept().unwrap()).unwrap(),
                _ => self.tasks.spawn(serve(incoming)),
            }
        }
    }
}

async fn serve(mut incoming: Incoming) {
    match incoming.target() {
        "echo" => {
            let (mut read, mut write) = tokio::io::split(incoming.accept().unwrap());
            tokio::io::copy(&mut read, &mut write).await.ok();
            write.shutdown().await.ok();
        }
        "sum" => {
            let mut stream = incoming.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            let sum = all.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            stream.write_all(&sum.to_be_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        "pour" => {
            let mut stream = incoming.accept().unwrap();
            stream.write_all(b"0").await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.write_all(&[1; 30_000]).await.unwrap();
            std::future::pending().await
        }
        "hang" => {
            incoming.withdrawn().await;
        }
        "say and drop" => {
            let mut stream = incoming.accept().unwrap();
            stream.write_all(b"unread").await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        "ignore" | "tcp/ignore:1" => {
            let _stream = incoming.accept().unwrap();
            std::future::pending().await
        }
        _ => incoming.refuse(ResetCode::DIAL_REFUSED, "no such target"),
    }
}

struct Near;

impl SessionEvents for Near {
    fn on_event(&mut self, _: &Arc<Shared>, _: Event) {}
}

pub(crate) struct Pair {
    tasks: Tasks,
    near: Arc<Shared>,
    far: Arc<Shared>,
    given: mpsc::UnboundedReceiver<TunnelStream>,
}

fn run<O: SessionEvents + Unpin>(
    tasks: &Tasks,
    transport: ByteStream<DuplexStream>,
    options: RunOptions,
    owner: impl FnOnce(&Tasks) -> O,
) -> Arc<Shared> {
    let (shared, task) = prepare(tasks, transport, options, owner);
    tasks.spawn(task);
    shared
}

fn options(role: Role) -> RunOptions {
    RunOptions {
        role,
        dialect: Dialect::Extended,
        config: SessionConfig::default(),
        span: Span::none(),
        peer: false,
        limits: Arc::default(),
        buffers: Buffers::default(),
    }
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::with(options)
    }

    fn with(options: impl Fn(Role) -> RunOptions) -> Self {
        let tasks = Tasks::new();
        let (a, b) = duplex(64 * 1024);
        let transport = |io| ByteStream::new(io, BytesMut::new(), 1 << 20);
        let near = run(&tasks, transport(a), options(Role::Acceptor), |_| Near);
        let (giver, given) = mpsc::unbounded_channel();
        let far = run(&tasks, transport(b), options(Role::Connector), |children| Far {
            tasks: children.clone(),
            given: giver,
        });
        Self { tasks, near, far, given }
    }

    /// A connection, and its far end.
    pub(crate) async fn connection(&mut self) -> (TunnelStream, TunnelStream) {
        let near = self.dial("given").await.unwrap();
        (near, self.given.recv().await.unwrap())
    }

    async fn dial(&self, target: &str) -> Result<TunnelStream, DialError> {
        dial(&self.near, target, Some(Duration::from_secs(1))).await
    }

    /// Ends both sessions and asserts that nothing is left.
    pub(crate) async fn end(self) {
        self.near.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, "end of test"));
        self.tasks.wind_down(Duration::from_secs(30)).await;
        for shared in [&self.near, &self.far] {
            assert!(shared.ledger().is_settled(), "{}", shared.ledger());
            assert_eq!(shared.lock().handles(), 0);
        }
        assert_eq!(self.tasks.live(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_comes_back() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_end_of_file_arrives() {
    let pair = Pair::start();
    let mut stream = pair.dial("sum").await.unwrap();
    stream.write_all(&[1; 100_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, 100_000u64.to_be_bytes());
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the end stays the end");
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn megabytes_in_both_directions_at_once() {
    let pair = Pair::start();
    let (mut read, mut write) = pair.dial("echo").await.unwrap().into_split();
    let sent: Vec<u8> = (0..8u32 << 20).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let expected = sent.clone();
    // Each half in a task of its own, with a waker of its own.
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        received
    });
    assert!(reading.await.unwrap() == expected);
    writing.await.unwrap();
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_carries_the_reason() {
    let pair = Pair::start();
    let error = pair.dial("nonsense").await.unwrap_err();
    assert!(matches!(error, DialError::Refused { code: Some(ResetCode::DIAL_REFUSED), .. }));
    assert_eq!(error.to_string(), "no such target");
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_ends_at_its_deadline() {
    let pair = Pair::start();
    let started = Instant::now();
    assert!(matches!(pair.dial("hang").await, Err(DialError::Timeout)));
    assert_eq!(started.elapsed().as_secs(), 1);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_dial_leaves_nothing_behind() {
    let pair = Pair::start();
    for _ in 0..100 {
        let dial = pair.dial("hang");
        tokio::time::timeout(Duration::from_millis(1), dial).await.unwrap_err();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(pair.near.ledger().is_quiet() && pair.far.ledger().is_quiet());
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_set_from_elsewhere_wakes_a_blocked_read() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    let control = stream.control();
    let reading = tokio::spawn(async move {
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        (stream, error)
    });
    tokio::task::yield_now().await;
    control.set_read_deadline(Some(Instant::now() + Duration::from_secs(2)));
    let (mut stream, error) = reading.await.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The connection is open, and an old deadline does not affect it later.
    stream.set_read_deadline(None);
    stream.write_all(b"still here").await.unwrap();
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.unwrap();
    drop(stream);
    pair.end().await;
}

/// Counts its wake-ups.
#[derive(Debug, Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_was_met_leaves_nothing_behind() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    stream.set_read_deadline(Some(deadline));
    let wakes = Arc::new(Wakes::default());
    let waker = Arc::clone(&wakes).into();
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(stream.poll_read_bytes(&mut cx, 10).is_pending());
    stream.write_all(b"in time").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stream.poll_read_bytes(&mut cx, 10).is_ready());
    let woken = wakes.0.load(std::sync::atomic::Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(wakes.0.load(std::sync::atomic::Ordering::Relaxed), woken, "by the old deadline");

    // Bytes that have arrived can still be read; only later ones miss the deadline.
    stream.write_all(b"late").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stream.read_bytes(10).await.unwrap().unwrap(), "late");
    assert_eq!(stream.read_bytes(10).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    stream.set_read_deadline(None);
    stream.write_all(b"whole").await.unwrap();
    assert_eq!(stream.read_bytes(10).await.unwrap().unwrap(), "whole");
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_last_read() {
    let pair = Pair::start();
    let mut stream = pair.dial("sum").await.unwrap();
    stream.write_all(&[1; 1000]).await.unwrap();
    stream.shutdown().await.unwrap();
    pair.near.command(|core, now| core.drain(now, "", Duration::from_secs(600)));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let started = Instant::now();
    let sum = stream.read_bytes(100).await.unwrap().unwrap();
    assert_eq!(sum, 1000u64.to_be_bytes().as_slice());
    // The stream is still held; only the read can have woken the driver.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert!(pair.near.lock().core.ended().is_some());
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_times_out_has_taken_nothing() {
    let pair = Pair::start();
    let mut stream = pair.dial("ignore").await.unwrap();
    stream.set_write_deadline(Some(Instant::now() + Duration::from_secs(1)));
    let mut taken = 0;
    let error = loop {
        match stream.write(&[7; 10_000]).await {
            Ok(written) => taken += written as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let initial_window = SessionConfig::default().limits.initial_window;
    assert_eq!(taken, initial_window, "what was taken is what the remote allows");
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_disturb_others() {
    let pair = Pair::start();
    let mut stuck = pair.dial("ignore").await.unwrap();
    let window = SessionConfig::default().limits.initial_window;
    stuck.write_all(&vec![0; usize::try_from(window).unwrap()]).await.unwrap();
    let mut stream = pair.dial("echo").await.unwrap();
    for _ in 0..1000 {
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
    }
    assert!(pair.far.ledger().bytes_received <= window);
    drop((stuck, stream));
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_session_ends_everything_on_it() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    let waiting = pair.dial("hang");
    let close = async {
        tokio::task::yield_now().await;
        pair.far.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, "going"));
    };
    let (dialled, ()) = tokio::join!(waiting, close);
    assert!(matches!(dialled, Err(DialError::SessionEnded(_))));
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert!(matches!(pair.dial("echo").await, Err(DialError::NotSent(_))));
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn killing_the_tasks_ends_the_sessions() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    drop(pair.tasks.kill_on_drop());
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    drop(stream);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_ledger_of_ended_sessions_counts_held_bytes() {
    let pair = Pair::start();
    let mut past = PastSessions::default();
    let mut unread = pair.dial("sum").await.unwrap();
    unread.shutdown().await.unwrap();
    while pair.near.ledger().bytes_received < 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(past.sum([&pair.near].into_iter()).bytes_received, 8);
    pair.near.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, "end of test"));
    pair.tasks.wind_down(Duration::from_secs(30)).await;
    past.add(Arc::clone(&pair.near));
    past.add(Arc::clone(&pair.far));
    assert_eq!(past.sum([].into_iter()).bytes_received, 8);
    for session in past.held() {
        session.command(|core, now| core.force_close(now));
    }
    let sum = past.sum([].into_iter());
    assert!(sum.is_settled(), "{sum}");
    assert_eq!(sum.added, 2);
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn many_close_messages_are_sent_at_once() {
    // One Resume for each connection, or a remotedialer end would be paused forever.
    const CONNECTIONS: u64 = 1000;
    let pair = Pair::with(|role| {
        let mut config = SessionConfig::default();
        config.limits.base.pause_above = 1;
        RunOptions { dialect: Dialect::Base, config, ..options(role) }
    });
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = pair.dial("tcp/ignore:1").await.unwrap();
        stream.write_all(b"unread").await.unwrap();
        streams.push(stream);
    }
    let received = async {
        while pair.far.lock().core.ledger().bytes_received < 6 * CONNECTIONS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), received).await.unwrap();
    pair.far.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, "the end"));
    let ended = async {
        while pair.near.lock().core.ended().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), ended).await.unwrap();
}

/// A pipe whose input can be held back, and whose writes fail after that.
struct Held {
    io: DuplexStream,
    moved: Arc<std::sync::Mutex<Option<Movement>>>,
    held: Arc<std::sync::atomic::AtomicU8>,
}

/// The states of a [`Held`] pipe.
const FLOWS: u8 = 0;
const HOLDS: u8 = 1;
const BREAKS: u8 = 2;

impl Held {
    fn state(&self) -> u8 {
        self.held.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl tokio::io::AsyncRead for Held {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        if self.state() == HOLDS {
            return std::task::Poll::Pending;
        }
        std::pin::Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        if self.state() == BREAKS {
            return std::task::Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        std::pin::Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Two sessions whose near end reads and writes through `held`.
async fn held_pair(web_socket: bool, held: &Arc<std::sync::atomic::AtomicU8>) -> Pair {
    let tasks = Tasks::new();
    let (a, b) = duplex(8 << 20);
    let a = Held { io: a, moved: Arc::default(), held: Arc::clone(held) };
    let near = options(Role::Acceptor);
    let (giver, given) = mpsc::unbounded_channel();
    let owner = |children: &Tasks| Far { tasks: children.clone(), given: giver };
    if web_socket {
        let limits = WebSocketOptions::new(1 << 20);
        let a = WebSocket::new(a, bytes::Bytes::new(), Role::Acceptor, limits).await;
        let b = WebSocket::new(b, bytes::Bytes::new(), Role::Connector, limits).await;
        let (near, task) = prepare(&tasks, a, near, |_| Near);
        tasks.spawn(task);
        let (far, task) = prepare(&tasks, b, options(Role::Connector), owner);
        tasks.spawn(task);
        return Pair { tasks, near, far, given };
    }
    let a = ByteStream::new(a, BytesMut::new(), 1 << 20);
    let (near, task) = prepare(&tasks, a, near, |_| Near);
    tasks.spawn(task);
    let far =
        run(&tasks, ByteStream::new(b, BytesMut::new(), 1 << 20), options(Role::Connector), owner);
    Pair { tasks, near, far, given }
}

#[tokio::test(start_paused = true)]
async fn n1_input_before_a_transports_failure_is_processed() {
    use std::sync::atomic::Ordering::Relaxed;
    for web_socket in [false, true] {
        let held = Arc::<std::sync::atomic::AtomicU8>::default();
        held.store(FLOWS, Relaxed);
        let pair = held_pair(web_socket, &held).await;
        let mut streams = Vec::new();
        for _ in 0..40 {
            let mut stream = pair.dial("pour").await.unwrap();
            assert_eq!(stream.read_bytes(1).await.unwrap().unwrap(), "0");
            streams.push(stream);
        }
        held.store(HOLDS, Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        held.store(BREAKS, Relaxed);
        streams[0].write_all(b"one that is written first").await.unwrap();
        for stream in &mut streams {
            let mut received = Vec::new();
            let error = stream.read_to_end(&mut received).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            assert_eq!(received.len(), 30_000, "over a WebSocket: {web_socket}");
        }
        drop(streams);
        pair.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_cannot_be_written_ends_the_session_though_its_other_half_lives() {
    use std::sync::atomic::Ordering::Relaxed;
    for web_socket in [false, true] {
        let held = Arc::<std::sync::atomic::AtomicU8>::default();
        let pair = held_pair(web_socket, &held).await;
        let mut stream = pair.dial("ignore").await.unwrap();
        held.store(BREAKS, Relaxed);
        let begun = Instant::now();
        stream.write_all(b"to nobody").await.unwrap();
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(begun.elapsed(), Duration::ZERO, "over a WebSocket: {web_socket}");
        drop(stream);
        pair.end().await;
    }
}

/// More than a window.
fn long() -> bytes::Bytes {
    (0..2u32 << 20).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_piece_is_written_to_its_end() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    stream.write_bytes(bytes::Bytes::from_static(b"of the stream, ")).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        write.write_bytes(long()).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    assert!(received == [b"of the stream, ".as_slice(), &long()].concat());
    drop(read);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn several_slices_are_written_in_their_order() {
    let pair = Pair::start();
    let mut stream = pair.dial("echo").await.unwrap();
    assert!(stream.is_write_vectored());
    let slices = [b"one".as_slice(), b"", b"two", b"three"].map(IoSlice::new);
    assert_eq!(stream.write_vectored(&slices).await.unwrap(), 11);
    let (mut read, mut write) = stream.into_split();
    assert!(write.is_write_vectored());
    let writing = tokio::spawn(async move {
        let (long, mut written) = (long(), 0);
        while written < long.len() {
            // Each call begins at another position of a piece, and most do not take all of it.
            let (first, second) = long[written..].split_at((long.len() - written) / 3);
            let slices = [first, second].map(IoSlice::new);
            written += write.write_vectored(&slices).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    assert!(received == [b"onetwothree".as_slice(), &long()].concat());
    drop(read);
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_moved_counts_in_either_direction() {
    let pair = Pair::start();
    for (first, moved) in [(2, 5), (5, 2)] {
        let stream = pair.dial("ignore").await.unwrap();
        let control = stream.control();
        let (mut read, mut write) = stream.into_split();
        let begun = Instant::now();
        let until = |seconds| Some(begun + Duration::from_secs(seconds));
        control.set_read_deadline(until(first));
        control.set_write_deadline(until(first));
        let reading = tokio::spawn(async move { read.read(&mut [0; 8]).await.unwrap_err() });
        let writing = tokio::spawn(async move { write.write_all(&long()).await.unwrap_err() });
        tokio::time::sleep(Duration::from_secs(1)).await;
        control.set_read_deadline(until(moved));
        control.set_write_deadline(until(moved));
        for error in [reading.await.unwrap(), writing.await.unwrap()] {
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(begun.elapsed().as_secs(), moved);
    }
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_blocked_writer_is_woken_by_a_reset_despite_unread_bytes() {
    let pair = Pair::start();
    let stream = pair.dial("say and drop").await.unwrap();
    let control = stream.control();
    let (mut read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        let error = write.write_all(&long()).await.unwrap_err();
        (write, error)
    });
    assert!(!control.is_cut());
    let (mut write, error) = in_time(writing).await.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(control.is_cut());
    assert_eq!(write.shutdown().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    // The earlier bytes are still readable, and the connection is removed only then.
    assert_eq!(read.read_bytes(10).await.unwrap().unwrap(), "unread");
    assert_eq!(read.read_bytes(10).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(write.shutdown().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(control.is_cut());
    drop((read, write));
    assert!(control.is_cut(), "nobody holds it");
    pair.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_finished_may_be_finished_again() {
    let pair = Pair::start();
    let mut stream = pair.dial("sum").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut sum = Vec::new();
    stream.read_to_end(&mut sum).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(pair.near.ledger().is_quiet());
    stream.shutdown().await.unwrap();
    assert!(!stream.control().is_cut());
    drop(stream);
    pair.end().await;
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.unwrap()
}

/// After the end of the session, whose task reports what its connections hold until then.
#[tokio::test(start_paused = true)]
async fn bytes_that_a_handle_releases_are_reported_after_the_end() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let buffered = |bytes: u64| {
        let shown = recorder.handle().render();
        assert!(shown.contains(&format!("\nwatertight_buffered_bytes {bytes}\n")), "{shown}");
    };
    let pair = Pair::start();
    let mut unread = pair.dial("sum").await.unwrap();
    unread.shutdown().await.unwrap();
    while pair.near.ledger().bytes_received < 8 {
        tokio::task::yield_now().await;
    }
    pair.near.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, "end of test"));
    pair.tasks.wind_down(Duration::from_secs(30)).await;
    buffered(8);
    drop(unread);
    buffered(0);
    // Both sessions are counted here: bytes sent by one are received by the other.
    let counted = |name: &str| {
        let shown = recorder.handle().render();
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    let sent = counted("session_server_total_transmit_bytes");
    assert!(sent > 8 && sent == counted("session_server_total_receive_bytes"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_for_the_end_is_woken_despite_unread_bytes() {
    let mut pair = Pair::start();
    let (mut near, mut far) = pair.connection().await;
    far.write_all(b"unread").await.unwrap();
    while pair.near.ledger().bytes_received < 6 {
        tokio::task::yield_now().await;
    }
    let waiting = tokio::spawn(async move {
        let clean = std::future::poll_fn(|cx| near.poll_ended(cx)).await;
        (near, clean)
    });
    tokio::task::yield_now().await;
    far.reset(ResetCode::CANCELLED, "enough");
    let (near, clean) = in_time(waiting).await.unwrap();
    assert!(!clean);
    drop(near);
    pair.end().await;
}

/// The time of the last movement of bytes in the kernel's queues.
#[derive(Clone, Copy, Debug)]
enum Movement {
    Received(Instant),
    Acknowledged(Instant),
}

impl KernelSocket for Held {
    fn state(&self) -> Option<TcpState> {
        let mut state = TcpState {
            acked: 1,
            received: 1,
            unacked: true,
            silent_for: Duration::MAX,
            owes_answer: true,
            received_ago: Duration::MAX,
        };
        match *self.moved.lock().unwrap() {
            None => {}
            Some(Movement::Received(at)) => {
                (state.received, state.received_ago) = (100, at.elapsed());
            }
            Some(Movement::Acknowledged(at)) => {
                (state.acked, state.silent_for) = (100, at.elapsed());
            }
        }
        Some(state)
    }
}

#[tokio::test(start_paused = true)]
async fn silence_counts_from_the_last_movement_in_the_kernels_queues() {
    let (silence, pause) = (SessionConfig::default().timing.silence, Duration::from_secs(20));
    for movement in [None, Some(Movement::Received as fn(_) -> _), Some(Movement::Acknowledged)] {
        let (tasks, moved) = (Tasks::new(), Arc::default());
        let (io, mut remote) = duplex(64 << 10);
        let socket =
            SimulatedSocket::new(Held { io, moved: Arc::clone(&moved), held: Arc::default() });
        let transport = ByteStream::new(socket, BytesMut::new(), 1 << 20);
        let (session, task) = prepare(&tasks, transport, options(Role::Acceptor), |_| Near);
        tasks.spawn(task);
        // It accepts everything and sends nothing.
        let taking = tokio::spawn(async move {
            tokio::io::copy(&mut remote, &mut tokio::io::sink()).await.ok();
        });
        let begun = Instant::now();
        tokio::time::sleep(pause).await;
        *moved.lock().unwrap() = movement.map(|movement| movement(Instant::now()));
        let ended = async {
            while session.lock().core.ended().is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        in_time(ended).await;
        let expected = if movement.is_some() { pause + silence } else { silence };
        let took = begun.elapsed();
        assert!(took >= expected && took < expected + Duration::from_secs(1), "{took:?}");
        tasks.wind_down(Duration::ZERO).await;
        taking.await.unwrap();
    }
}
