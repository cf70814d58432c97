//! Bytes, few and many.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::pair::{Case, Pair};
use crate::processes::{Target, in_time, pattern};
use crate::rest::Rest;
use crate::services::{Exchange, connect, is_served};

const MIB: u64 = 1 << 20;

pub(crate) async fn request_response(case: Case) {
    let echo = Target::echo().await;
    let pair = Pair::start(case, &[echo.at]).await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let witness = pair.witness(echo.at).await;
    let mut socket = connect(pair.forward(echo.at)).await;
    for number in 0..200 {
        let request = pattern(number, 1 + number * number);
        let mut response = vec![0; request.len()];
        in_time("a response", async {
            socket.write_all(&request).await.unwrap();
            socket.read_exact(&mut response).await.unwrap();
        })
        .await;
        assert!(response == request, "response {number} is another one");
        is_served(pair.forward(echo.at)).await;
    }
    drop(socket);
    witness.end().await;
    pair.end(&before).all_is_back().await;
}

pub(crate) async fn one_gibibyte_each_way(case: Case) {
    let (service, echo) = (Exchange::service().await, Target::echo().await);
    let pair = Pair::start(case, &[service.at, echo.at]).await;
    let small = Exchange { seed: 0, up: 8 * MIB, down: 8 * MIB };
    in_time("a first exchange", small.with(pair.forward(service.at))).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    let all = Exchange { seed: 1, up: 1024 * MIB, down: 1024 * MIB };
    in_time("a gibibyte each way", all.with(pair.forward(service.at))).await;
    witness.is_undisturbed().await;
    witness.end().await;
    pair.end(&before).all_is_back().await;
}

pub(crate) async fn sixty_four_connections_at_once(case: Case) {
    let service = Exchange::service().await;
    let pair = Pair::start(case, &[service.at]).await;
    // What comes later is measured against ends that have done all this before.
    sixty_four(pair.forward(service.at)).await;
    let before = Rest::of(&pair).await;
    sixty_four(pair.forward(service.at)).await;
    pair.end(&before).all_is_back().await;
}

async fn sixty_four(at: SocketAddr) {
    let mut all = JoinSet::new();
    for seed in 0..64 {
        // Of different lengths, so that they do not all end at the same time.
        let exchange = Exchange { seed, up: MIB - seed * 777, down: MIB + seed * 999 };
        all.spawn(exchange.with(at));
    }
    while let Some(done) = in_time("an exchange", all.join_next()).await {
        done.unwrap();
    }
}
