//! Ends that are killed, and a link that is cut.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::close::GO_MINUTE;
use crate::end::End;
use crate::pair::{Case, Pair};
use crate::processes::{KEY, Target, eventually, in_time};
use crate::rest::{Held, PROMPTLY, Rest};
use crate::services::{connect, is_left, is_reset, is_served};

const TRANSFERS: usize = 50;

/// How long our ends bear silence here, and how long they take to see it.
const SILENCE: &str = "8s";
const NOTICED: Duration = Duration::from_secs(8 + 10);

/// Downloads in progress.
struct Transfers(Vec<TcpStream>);

impl Transfers {
    /// Starts them, and waits until each has transferred some bytes.
    async fn start(at: SocketAddr) -> Self {
        let mut sockets = JoinSet::new();
        for _ in 0..TRANSFERS {
            sockets.spawn(async move {
                let mut socket = connect(at).await;
                socket.read_exact(&mut vec![0; 100_000]).await.unwrap();
                socket
            });
        }
        Self(in_time("the start of transfers", sockets.join_all()).await)
    }

    /// Waits until all have been cut off.
    async fn are_reset(self, limit: Duration) {
        let mut all = JoinSet::new();
        for mut socket in self.0 {
            all.spawn(async move { is_reset(&mut socket, limit).await });
        }
        all.join_all().await;
    }
}

/// Services, and a pair that has done before what is measured later.
async fn start(case: Case, sleeps: bool) -> (Target, Target, Pair, Rest) {
    let (drip, echo) = (Target::drip().await, Target::echo().await);
    let pair = Pair::of(case).forward(drip.at).forward(echo.at).ours(["--silence", SILENCE]);
    let pair = if sleeps { pair.sleeps() } else { pair }.start().await;
    drop(Transfers::start(pair.forward(drip.at)).await);
    is_left(&drip, PROMPTLY).await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;
    (drip, echo, pair, before)
}

pub(crate) async fn agent_killed(case: Case) {
    let (drip, echo, pair, before) = start(case, false).await;
    let transfers = Transfers::start(pair.forward(drip.at)).await;
    let pair = pair
        .replace_agent(async |server| {
            transfers.are_reset(PROMPTLY).await;
            has_nothing(server).await;
        })
        .await;
    is_left(&drip, PROMPTLY).await;
    is_served(pair.forward(echo.at)).await;
    pair.end(&before).all_is_back().await;
}

/// Waits until no connection is left in a server's ledger.
async fn has_nothing(server: &End) {
    eventually(PROMPTLY, "an even ledger of the server", async || match Held::by(server).await? {
        Held::Ours { ledger: Some((0, _)), .. } | Held::Go(_) => Ok(()),
        held => Err(format!("{held:?}")),
    })
    .await;
}

pub(crate) async fn server_killed(case: Case) {
    let (drip, echo, pair, before) = start(case, false).await;
    let transfers = Transfers::start(pair.forward(drip.at)).await;
    let pair = pair
        .replace_server(async |_| {
            is_left(&drip, PROMPTLY).await;
            // The system ends the connections of a process that dies, with or without an error.
            drop(transfers);
        })
        .await;
    is_served(pair.forward(echo.at)).await;
    pair.end(&before).all_is_back().await;
}

pub(crate) async fn link_cut(case: Case) {
    let (drip, echo, pair, before) = start(case, true).await;
    let transfers = Transfers::start(pair.forward(drip.at)).await;
    let limit = |end: &End| if end.is_go() { GO_MINUTE } else { NOTICED };
    // A Go client that has not had a pong yet would write to the dead link forever.
    eventually(PROMPTLY, "a ping", async || {
        if pair.relay.heard().pings() > 0 { Ok(()) } else { Err("there was none".to_string()) }
    })
    .await;
    is_served(pair.forward(echo.at)).await;
    let session = pair.relay.connections();
    pair.relay.cut();
    transfers.are_reset(limit(&pair.server)).await;
    is_left(&drip, limit(pair.connector())).await;
    eventually(limit(pair.connector()), "another session", async || {
        let back = pair.relay.connections() > session && pair.server.reaches(KEY).await;
        back.then_some(()).ok_or(format!("{} connections", pair.relay.connections()))
    })
    .await;
    is_served(pair.forward(echo.at)).await;
    // Those in the middle held what was sent until the silence was noticed. What one thread took from
    // the allocator and another one gave back is free when the first one needs something again.
    for _ in 0..3 {
        drop(Transfers::start(pair.forward(drip.at)).await);
        is_left(&drip, PROMPTLY).await;
    }
    pair.end(&before).all_is_back().await;
}
