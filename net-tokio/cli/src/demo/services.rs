//! The services behind the tunnel of the demo, and the content that they serve.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::tasks::Tasks;

/// How much of a body is made at a time.
const PIECE: u64 = 64 << 10;

/// The running services.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) http: SocketAddr,
    pub(super) digest: SocketAddr,
    pub(super) tasks: Tasks,
}

impl Services {
    pub(super) async fn start() -> io::Result<Self> {
        let (http, digest) = (listen().await?, listen().await?);
        let tasks = Tasks::default();
        let services =
            Self { http: http.local_addr()?, digest: digest.local_addr()?, tasks: tasks.clone() };
        services.tasks.spawn(accept(http, tasks.clone(), serve_http));
        services.tasks.spawn(accept(digest, tasks, serve_digest));
        Ok(services)
    }
}

async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

async fn accept<F, A>(listener: TcpListener, tasks: Tasks, serve: F)
where
    F: Fn(TcpStream) -> A,
    A: Future<Output = ()> + Send + 'static,
{
    while let Ok((socket, _)) = listener.accept().await {
        // A socket without it is slower, not wrong.
        socket.set_nodelay(true).ok();
        tasks.spawn(serve(socket));
    }
}

/// `/SEED/LENGTH` has so many bytes of that pattern.
async fn serve_http(socket: TcpStream) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
    // A client that goes away is part of the demo.
    http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
}

fn answer(request: &Request<Incoming>) -> Response<PatternBody> {
    let parts = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
    let numbers = parts.and_then(|(seed, length)| Some((seed.parse().ok()?, length.parse().ok()?)));
    let (status, (seed, left)) = match numbers {
        Some(numbers) => (StatusCode::OK, numbers),
        None => (StatusCode::NOT_FOUND, (0, 0)),
    };
    let mut response = Response::new(PatternBody { pattern: Pattern::new(seed), left });
    *response.status_mut() = status;
    response
}

struct PatternBody {
    pattern: Pattern,
    left: u64,
}

impl Body for PatternBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.min(PIECE);
        if length == 0 {
            return Poll::Ready(None);
        }
        self.left -= length;
        let length = usize::try_from(length).unwrap_or_default();
        Poll::Ready(Some(Ok(Frame::data(self.pattern.take(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Reads to the end-of-file and answers only then: with the length and the SHA-256 of the received bytes.
async fn serve_digest(socket: TcpStream) {
    // That a client goes away is its own business.
    digest(socket).await.ok();
}

async fn digest(mut socket: TcpStream) -> io::Result<()> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let read = socket.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
    socket.write_u64(length).await?;
    socket.write_all(&hash.finalize()).await?;
    socket.shutdown().await
}

/// What each step from one word to the next is multiplied with: an odd number without a pattern.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

const WORD: u64 = 8;

/// An endless text that depends on a seed. Two seeds have no piece in common, so that bytes of
/// another transfer are noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    seed: u64,
    at: u64,
}

/// Bytes that are not those of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// In which piece.
    pub(super) bytes: (u64, u64),
}

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, at: 0 }
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        let mut bytes = BytesMut::with_capacity(length + 2 * 8);
        let (words, skip) = self.words(length);
        for index in words {
            bytes.put_u64_le(self.word(index));
        }
        self.at += length as u64;
        bytes.freeze().slice(skip..skip + length)
    }

    /// Compares the next bytes.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let start = self.at;
        if self.take(bytes.len()) == bytes {
            Ok(())
        } else {
            Err(Mismatch { bytes: (start, self.at) })
        }
    }

    /// How far it has come.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The words that have the next `length` bytes in them, and how many bytes of the first one
    /// are not among these.
    fn words(&self, length: usize) -> (Range<u64>, usize) {
        let end = self.at + length as u64;
        let skip = usize::try_from(self.at % WORD).unwrap_or_default();
        (self.at / WORD..end.div_ceil(WORD), skip)
    }

    fn word(&self, index: u64) -> u64 {
        let mixed = index.wrapping_add(self.seed << 40).wrapping_mul(STEP);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_same_text_as_the_whole() {
        let whole = Pattern::new(7).take(1000);
        let mut pieces = Pattern::new(7);
        for size in [1, 7, 8, 9, 100, 0, 875] {
            let start = usize::try_from(pieces.at()).unwrap();
            pieces.check(&whole[start..start + size]).unwrap();
        }
        assert_eq!(pieces.at(), 1000);
    }

    #[test]
    fn another_seed_or_place_is_noticed() {
        let text = Pattern::new(1).take(64);
        Pattern::new(2).check(&text).unwrap_err();
        Pattern::new(1).check(&text[8..]).unwrap_err();
    }
}
