//! An idle session.

use std::time::Duration;

use crate::pair::{Case, Pair};
use crate::processes::Target;
use crate::rest::Rest;
use crate::services::{connect, echoes, is_served};

/// Longer than twice the minute between two lists of connections, and than any end's patience.
const IDLE: Duration = Duration::from_secs(130);

pub(crate) async fn idle_for_two_minutes(case: Case) {
    let echo = Target::echo().await;
    let pair = Pair::of(case).forward(echo.at).sleeps().start().await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;
    let session = pair.relay.connections();

    let mut sockets = Vec::new();
    for _ in 0..10 {
        let mut socket = connect(pair.forward(echo.at)).await;
        echoes(&mut socket).await;
        sockets.push(socket);
    }
    let heard = || [pair.relay.heard().pings(), pair.relay.heard().sync_connections()];
    let earlier = heard();
    tokio::time::sleep(IDLE).await;
    let (pings, lists) = (heard()[0] - earlier[0], heard()[1] - earlier[1]);
    // One in five seconds, and one in a minute.
    assert!((24..=27).contains(&pings) && (2..=3).contains(&lists), "{pings} {lists}");
    for socket in &mut sockets {
        echoes(socket).await;
    }
    is_served(pair.forward(echo.at)).await;
    assert_eq!(pair.relay.connections(), session, "it was another session");
    drop(sockets);
    pair.end(&before).all_is_back().await;
}
