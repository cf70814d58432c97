//! Both ends dial on one session.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::pair::{Case, Pair};
use crate::processes::in_time;
use crate::rest::Rest;
use crate::services::{connect, named};

const AT_ONCE: u64 = 50;

pub(crate) async fn both_ends_dial(case: Case) {
    let (behind_agent, behind_server) = (named(b'a').await, named(b's').await);
    let pair = Pair::of(case).forward(behind_agent.at).backward(behind_server.at).start().await;
    let (forward, backward) = (pair.forward(behind_agent.at), pair.backward(behind_server.at));
    crossing(forward, backward).await;
    let before = Rest::of(&pair).await;
    for _ in 0..5 {
        crossing(forward, backward).await;
    }
    pair.end(&before).all_is_back().await;
}

/// Connections in both directions at once, none of which may get what is another one's.
async fn crossing(forward: SocketAddr, backward: SocketAddr) {
    let mut all = JoinSet::new();
    for number in 0..AT_ONCE {
        all.spawn(talk(forward, b'a', number));
        all.spawn(talk(backward, b's', AT_ONCE + number));
    }
    while let Some(done) = in_time("a connection", all.join_next()).await {
        done.unwrap();
    }
}

/// A connection to a service that [sends its name](named) and echoes. The name is checked.
pub(super) async fn talk(at: SocketAddr, name: u8, number: u64) {
    let mut socket = connect(at).await;
    assert_eq!(socket.read_u8().await.unwrap(), name);
    for round in 0..10 {
        let word = number << 32 | round;
        socket.write_u64(word).await.unwrap();
        assert_eq!(socket.read_u64().await.unwrap(), word);
    }
}
