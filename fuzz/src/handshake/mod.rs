//! Anything instead of a handshake: toward a real server that waits for an upgrade or a preface, on one
//! socket or on many, and toward a real agent that waits for the answer. In any pieces, they end in time,
//! send no more than a little, and keep nothing.
//!
//! Time is the runtime's own and jumps: a deadline costs nothing.

mod agent;
mod many_sockets;
mod preface;
mod server;

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::heap;

/// In virtual time: every deadline of a handshake and of a session has passed by then. The waits of a case
/// come on top.
const LONG: Duration = Duration::from_secs(3600);

/// Bytes of the sockets' buffers.
const SOCKET: usize = 4096;

/// The server takes nobody without this token.
const TOKEN: &str = "open";

/// Who gets what.
#[derive(Debug)]
pub struct Handshake<'a> {
    /// Who gets it.
    pub toward: Toward,
    /// The length of the pieces in which it comes; 0 is all at once. With many sockets, how many handshakes
    /// may run.
    pub piece: u8,
    /// The connections stay open afterwards.
    pub stays: bool,
    /// What comes.
    pub bytes: &'a [u8],
}

/// Who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// The decoders of the prefaces, without any socket.
    Decoder,
    /// A server.
    Server,
    /// An agent that asked for an upgrade and offered the extension. `KEY` in the answer stands for what
    /// proves that the request was read.
    WebSocketAgent,
    /// The same, without the extension.
    BaseAgent,
    /// An agent that sent its preface.
    ByteStreamAgent,
    /// A server that has sockets from many sources, and agents. The bytes are the steps.
    ManySockets,
}

impl Toward {
    /// The receivers of the bytes themselves.
    pub const ALONE: [Self; 5] =
        [Self::Decoder, Self::Server, Self::WebSocketAgent, Self::BaseAgent, Self::ByteStreamAgent];

    /// The first byte of [`Self::ManySockets`]. A lower one is an index into the others, modulo their number,
    /// as it was before there were many sockets.
    pub const MANY_SOCKETS: u8 = 224;

    fn of_byte(byte: u8) -> Self {
        let place = usize::from(byte) % Self::ALONE.len();
        let alone = Self::ALONE.get(place).filter(|_| byte < Self::MANY_SOCKETS);
        alone.copied().unwrap_or(Self::ManySockets)
    }
}

impl<'a> Arbitrary<'a> for Handshake<'a> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            toward: Toward::of_byte(input.arbitrary()?),
            piece: input.arbitrary()?,
            stays: input.arbitrary()?,
            bytes: input.bytes(input.len())?,
        })
    }
}

/// Takes a case from the bytes and plays it.
pub fn run(input: &[u8]) {
    if let Ok(case) = Handshake::arbitrary(&mut Unstructured::new(input)) {
        check(&case);
    }
}

/// The case of the bytes.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    let Ok(case) = Handshake::arbitrary(&mut Unstructured::new(input)) else {
        return "nothing".into();
    };
    if case.toward == Toward::ManySockets {
        return many_sockets::explain(&case);
    }
    let (Handshake { toward, piece, stays, .. }, bytes) = (&case, case.bytes.escape_ascii());
    format!("toward {toward:?}, in pieces of {piece}, stays: {stays}: {bytes}")
}

/// Plays a case.
///
/// # Panics
/// Something does not hold.
pub fn check(case: &Handshake<'_>) {
    match case.toward {
        Toward::Decoder => preface::check(case.bytes, case.piece),
        Toward::Server => block_on(case.bytes.len(), server::check(case)),
        Toward::WebSocketAgent | Toward::BaseAgent => {
            block_on(case.bytes.len(), agent::web_socket(case));
        }
        Toward::ByteStreamAgent => block_on(case.bytes.len(), agent::byte_stream(case)),
        Toward::ManySockets => {
            let more =
                Allowance { heap: many_sockets::heap(case), time: many_sockets::waits(case) };
            block_on_within(more, case.bytes.len(), many_sockets::check(case));
        }
    }
}

/// Bytes of heap of a server or an agent with its runtime, and of everything that it may reserve for an
/// unauthenticated remote.
const ROOM: u64 = 512 << 10;

/// Bytes that an end sends on its own: a request or a preface, a refusal in words, and while a session lasts
/// its settings, its pings and its lists.
const SAID: usize = 8192;

/// Bytes that it sends for each byte that it gets: the shortest request has some twenty and gets a refusal of
/// a few hundred, and the shortest message of a session a sentence.
const AMPLIFIED: usize = 32;

/// An end has answered, and not much.
fn check_length(answer: &[u8], case: &Handshake<'_>) {
    check_length_of(answer.len(), case.bytes.len());
}

fn check_length_of(answer: usize, said: usize) {
    let most = SAID + AMPLIFIED * said;
    assert!(answer <= most, "{answer} bytes for {said}");
}

/// Heap and time that a case may take beyond those of one end.
#[derive(Default)]
struct Allowance {
    /// Bytes of heap.
    heap: u64,
    /// Virtual time.
    time: Duration,
}

/// Runs a case until its end, within its time and its heap.
fn block_on(bytes: usize, case: impl Future<Output = ()>) {
    block_on_within(Allowance::default(), bytes, case);
}

/// The same, with more heap and more time.
fn block_on_within(more: Allowance, bytes: usize, case: impl Future<Output = ()>) {
    let (most, ()) = heap::most(|| block_on_in_time(LONG + more.time, case));
    // The bytes are in two buffers of sockets, in the parser's, and in the decoded form.
    let explained = ROOM + more.heap + 8 * bytes as u64;
    assert!(most <= explained, "{most} bytes of heap for {bytes}");
}

fn block_on_in_time(long: Duration, case: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { panic!("no runtime: {runtime:?}") };
    runtime.block_on(async {
        let in_time = timeout(long, case).await;
        assert!(in_time.is_ok(), "it has no end");
    });
}

/// Sends the bytes of the case and returns every answer until the remote closes.
async fn talk(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    bytes: &[u8],
    case: &Handshake<'_>,
) -> Vec<u8> {
    let (mut input, mut output) = tokio::io::split(&mut io);
    let mut answer = Vec::new();
    let hearing = async { input.read_to_end(&mut answer).await.ok() };
    let saying = async {
        for piece in bytes.chunks(if case.piece == 0 { SOCKET } else { case.piece.into() }) {
            // The remote may have had enough.
            if output.write_all(piece).await.is_err() {
                return;
            }
            // The remote processes the bytes before there are more.
            tokio::task::yield_now().await;
        }
        if !case.stays {
            output.shutdown().await.ok();
        }
    };
    tokio::join!(hearing, saying);
    answer
}
