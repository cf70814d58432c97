//! Many connections, one after the other.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::closing::LINGER;
use crate::pair::{Case, Pair};
use crate::processes::{Target, in_time};
use crate::rest::Rest;
use crate::services::{answers_and_closes, connect, echoes};

const LANES: usize = 100;

/// Of each lane.
const ROUNDS: usize = 100;

const ANSWER: usize = 1000;

pub(crate) async fn ten_thousand_short_connections(case: Case) {
    let (answering, echo) = (answers_and_closes(ANSWER).await, Target::echo().await);
    let pair = Pair::start(case, &[answering.at, echo.at]).await;
    let ports = [pair.forward(answering.at), pair.forward(echo.at)];
    // What comes later is measured against ends that have seen many.
    open_and_close_many(ports, ROUNDS / 10, 9).await;
    let before = Rest::of(&pair).await;
    open_and_close_many(ports, ROUNDS, 10).await;
    pair.end(&before).within(LINGER).all_is_back().await;
}

/// Opens and closes connections, a hundred at a time, of the first `kinds` of the ten in [`come_and_go`].
async fn open_and_close_many(ports: [SocketAddr; 2], rounds: usize, kinds: usize) {
    let mut all = JoinSet::new();
    for lane in 0..LANES {
        all.spawn(async move {
            for number in 0..rounds {
                let kind = (lane + number) % kinds;
                in_time("a connection", come_and_go(ports, kind)).await;
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

async fn come_and_go([answering, echo]: [SocketAddr; 2], kind: usize) {
    match kind {
        // The target ends it.
        0..5 => {
            let (mut socket, mut answer) = (connect(answering).await, Vec::new());
            socket.write_u8(1).await.unwrap();
            socket.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer.len(), ANSWER);
        }
        // The client cuts it off.
        5..9 => echoes(&mut connect(echo).await).await,
        // The client ends it in good order, after which a watertight server waits for an answer.
        _ => echoes(&mut TcpStream::connect(echo).await.unwrap()).await,
    }
}
