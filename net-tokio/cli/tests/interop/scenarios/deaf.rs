//! Clients that go while their target does not read.

use super::flow::{Writer, settled};
use crate::pair::{Case, Pair};
use crate::processes::Target;
use crate::rest::{PROMPTLY, Rest};
use crate::services::is_served;

/// All buffers between the ends are full, and the target reads nothing, when the client resets.
pub(crate) async fn client_resets_at_deaf_target(case: Case) {
    let (deaf, echo) = (Target::deaf().await, Target::echo().await);
    let pair = Pair::of(case).forward(deaf.at).backward(deaf.at).forward(echo.at).start().await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    for (end, at) in pair.routes(deaf.at) {
        // There, what writes for the client is asleep and does not see it go (bugs.md, R6).
        if end.is_go() {
            continue;
        }
        let mut witness = pair.witness(echo.at).await;
        let writer = Writer::start(at);
        settled("the writer's standstill", || writer.written()).await;
        writer.reset().await;
        witness.is_undisturbed().await;
        witness.end().await;
        ours_are_back(&pair, &before).await;
    }
    drop(deaf);
    pair.end(&before).unless_go_leaks("R6").all_is_back().await;
}

/// Waits until nothing is left on our ends. The goroutine of a Go peer that writes to our agent is
/// asleep like the above, so that the agent gets no message.
async fn ours_are_back(pair: &Pair, before: &Rest) {
    let is_told = |name| name != "agent" || !pair.connector().is_go();
    for ((name, end), before) in pair.ends().into_iter().zip(&before.0) {
        if !end.is_go() && is_told(name) {
            let back = before.is_back(end, PROMPTLY).await;
            assert!(back.is_ok(), "{name} not back to {before:?}: {back:?}");
        }
    }
}
