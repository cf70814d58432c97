//! Dials that fail.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::close::GO_MINUTE;
use crate::pair::{Case, Pair};
use crate::processes::{Clogged, Target, eventually, in_time};
use crate::rest::{PROMPTLY, Rest};
use crate::services::{connect, echoes, is_refused, is_reset, is_served, try_connect};

/// How long our ends give a dial, and some.
const DIAL: Duration = Duration::from_secs(15 + 5);

pub(crate) async fn dial_refused(case: Case) {
    let (closed, echo) = (closed_port().await, Target::echo().await);
    let pair = Pair::start(case, &[closed, echo.at]).await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    for _ in 0..20 {
        is_refused(pair.forward(closed), PROMPTLY).await;
    }
    witness.is_undisturbed().await;
    witness.end().await;
    pair.end(&before).all_is_back().await;
}

/// An address where nobody listens. Tests that run at the same time take ports of 127.0.0.1.
async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.9:0").await.unwrap();
    listener.local_addr().unwrap()
}

pub(crate) async fn dial_hangs(case: Case) {
    let (clogged, echo) = (Clogged::start().await, Target::echo().await);
    let pair = Pair::of(case).forward(clogged.at).forward(echo.at).sleeps().start().await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    let at = pair.forward(clogged.at);
    let limit = if pair.agent.is_go() { GO_MINUTE } else { DIAL };
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        // One waits, another one goes at once.
        waiting.spawn(is_refused(at, limit));
        drop(connect(at).await);
    }
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
    witness.is_undisturbed().await;
    witness.end().await;
    // A Go end continues dials that nobody waits for.
    pair.end(&before).within(DIAL).go_within(GO_MINUTE).all_is_back().await;
}

pub(crate) async fn forbidden_target(case: Case) {
    let (forbidden, echo) = (Target::echo().await, Target::echo().await);
    let pair = Pair::of(case).forbidden(forbidden.at).forward(echo.at).start().await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut bystander = connect(pair.forward(echo.at)).await;
    echoes(&mut bystander).await;
    for _ in 0..3 {
        is_refused(pair.forward(forbidden.at), PROMPTLY).await;
        if pair.agent.is_go() {
            // It ends the whole session (bugs.md, R13), and comes back.
            is_reset(&mut bystander, PROMPTLY).await;
            is_served_again(pair.forward(echo.at)).await;
            bystander = connect(pair.forward(echo.at)).await;
        }
        echoes(&mut bystander).await;
    }
    assert_eq!(forbidden.open(), 0);
    drop(bystander);
    pair.end(&before).all_is_back().await;
}

/// Waits until connections are served that are not, for lack of a session.
async fn is_served_again(at: SocketAddr) {
    eventually(PROMPTLY, "another session", async || {
        let echoed = async {
            let mut socket = try_connect(at).await?;
            socket.write_u8(7).await?;
            socket.read_u8().await
        };
        let echoed: io::Result<u8> = in_time("an echo", echoed).await;
        echoed.map(drop).map_err(|error| error.to_string())
    })
    .await;
}
