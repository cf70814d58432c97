//! Connections that either end closes, with an end of file or a reset.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pair::{Case, Pair};
use crate::processes::{Target, eventually, in_time, pattern, within};
use crate::rest::{PROMPTLY, Rest};
use crate::services::{answers_and_closes, connect, echoes, is_left, is_reset, is_served, resets};

const ROUNDS: usize = 20;

const ANSWER: usize = 300_000;

/// How long our ends wait for an answer on a connection whose client has finished: in the base
/// dialect, that cannot be distinguished from one that is disconnected.
pub(crate) const LINGER: Duration = Duration::from_secs(30 + 5);

pub(crate) async fn close_from_each_end(case: Case) {
    let answering = answers_and_closes(ANSWER).await;
    let (resetting, echo) = (resets().await, Target::echo().await);
    let pair = Pair::of(case).forward(answering.at).forward(resetting.at).forward(echo.at);
    let pair = pair.sleeps().start().await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    for _ in 0..ROUNDS {
        target_closes(&pair, &answering).await;
        target_resets(&pair, &resetting).await;
        client_resets(&pair, &echo).await;
    }
    is_left(&answering, PROMPTLY).await;
    witness.is_undisturbed().await;
    let mut closed = Vec::new();
    for _ in 0..ROUNDS {
        let mut socket = TcpStream::connect(pair.forward(echo.at)).await.unwrap();
        echoes(&mut socket).await;
        socket.shutdown().await.unwrap();
        closed.push(socket);
    }
    for mut socket in closed {
        // A Go server closes at once; a watertight one waits for an answer, and reports that none came.
        let end = within(LINGER, "the end of a connection", socket.read(&mut [0])).await;
        assert_eq!(end.is_ok(), pair.server.is_go(), "{end:?}");
    }
    witness.is_undisturbed().await;
    witness.end().await;
    is_left(&echo, PROMPTLY).await;
    pair.end(&before).all_is_back().await;
}

/// Everything arrives that came before the end.
async fn target_closes(pair: &Pair, target: &Target) {
    let mut socket = connect(pair.forward(target.at)).await;
    socket.write_u8(1).await.unwrap();
    let mut answer = Vec::new();
    in_time("an answer", socket.read_to_end(&mut answer)).await.unwrap();
    assert!(answer == pattern(0, ANSWER), "{} bytes", answer.len());
}

/// It does not look like an orderly end.
async fn target_resets(pair: &Pair, target: &Target) {
    let mut socket = connect(pair.forward(target.at)).await;
    socket.write_u8(1).await.unwrap();
    is_reset(&mut socket, PROMPTLY).await;
}

/// The target gets the reset at once.
async fn client_resets(pair: &Pair, echo: &Target) {
    let others = echo.open();
    let mut socket = connect(pair.forward(echo.at)).await;
    echoes(&mut socket).await;
    drop(socket);
    eventually(PROMPTLY, "the end of the target's connection", async || {
        let open = echo.open();
        if open <= others { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
}
