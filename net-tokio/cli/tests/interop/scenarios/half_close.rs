//! Clients that finish first, and are answered after that.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::pair::{Case, Pair};
use crate::processes::{Target, in_time};
use crate::rest::Rest;
use crate::services::{connect, is_served, receive, send};

const CLIENTS: u64 = 10;

/// Bytes that each sends and is answered: more than a window.
const REQUEST: u64 = 1 << 20;
const ANSWER: u64 = 3 << 20;

/// How long an end of the connection would take to reach the target, and some.
const QUIET: Duration = Duration::from_secs(1);

pub(crate) async fn half_close(case: Case) {
    // Whether all clients have finished.
    let (finished, seen) = watch::channel(false);
    let late = answers_late(seen).await;
    let echo = Target::echo().await;
    let pair = Pair::of(case).forward(late.at).backward(late.at).forward(echo.at);
    let pair = pair.sleeps().start().await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    for (end, at) in pair.routes(late.at) {
        finished.send_replace(false);
        let mut clients = JoinSet::new();
        for seed in 0..CLIENTS {
            clients.spawn(Client::finish(at, seed));
        }
        let clients = in_time("the requests", clients.join_all()).await;
        finished.send_replace(true);
        for client in clients {
            if end.is_go() {
                client.gets_none().await;
            } else {
                client.gets_the_answer().await;
            }
        }
    }
    witness.is_undisturbed().await;
    witness.end().await;
    pair.end(&before).all_is_back().await;
}

/// Answers what it got with the hash of that, then bytes of its own and their hash, once all
/// clients have finished. Since no pair here passes it on to a target, an end that arrives before the
/// answer is that of the connection, and there is no answer.
async fn answers_late(finished: watch::Receiver<bool>) -> Target {
    Target::start(move |mut socket, _| {
        let mut finished = finished.clone();
        async move {
            // What goes wrong here, the client notices.
            answer(&mut socket, &mut finished).await.ok();
        }
    })
    .await
}

async fn answer(socket: &mut TcpStream, finished: &mut watch::Receiver<bool>) -> io::Result<()> {
    let got = receive(socket, REQUEST).await?;
    finished.wait_for(|finished| *finished).await.map_err(io::Error::other)?;
    if let Ok(end) = tokio::time::timeout(QUIET, socket.read(&mut [0])).await {
        return end.map(drop);
    }
    socket.write_all(&got).await?;
    let sent = send(socket, 1 << 20, ANSWER).await?;
    socket.write_all(&sent).await?;
    socket.shutdown().await?;
    // Until the client has gone, too.
    socket.read(&mut [0]).await.map(drop)
}

/// A client that has finished.
struct Client {
    socket: TcpStream,
    /// The hash of its request.
    sent: [u8; 32],
}

impl Client {
    async fn finish(at: SocketAddr, seed: u64) -> Self {
        let mut socket = connect(at).await;
        let sent = send(&mut socket, seed, REQUEST).await.unwrap();
        socket.shutdown().await.unwrap();
        Self { socket, sent }
    }

    /// Both hashes are those of what was sent, and nothing follows.
    async fn gets_the_answer(mut self) {
        let answer = async {
            let (mut got, mut hash) = ([0; 32], [0; 32]);
            self.socket.read_exact(&mut got).await?;
            let received = receive(&mut self.socket, ANSWER).await?;
            self.socket.read_exact(&mut hash).await?;
            let more = self.socket.read(&mut [0]).await?;
            io::Result::Ok((got, hash == received, more))
        };
        let answer = in_time("an answer", answer).await.unwrap();
        assert_eq!(answer, (self.sent, true, 0));
    }

    /// A Go end closes a connection whose client has finished (bugs.md, R11).
    async fn gets_none(mut self) {
        let mut answer = Vec::new();
        // With a reset or without.
        in_time("the end", self.socket.read_to_end(&mut answer)).await.ok();
        assert!(answer.is_empty(), "{} bytes", answer.len());
    }
}
