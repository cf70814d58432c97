//! Fixed conversations: the smallest inputs of each known fault, and what generated ones have found.

use crate::conversation::Conversation;
use crate::examine::{Difference, Effort, examine};
use crate::report::Report;
use crate::world::World;
use crate::{print, runtime};

/// Runs of each route, and of the direct connection before them: with each change, and in CI.
const FEW: u64 = 12;
const MANY: u64 = 60;

/// Bytes that a target sends before it resets.
const ANSWERS: &[&str] = &[
    // A server that answers without reading the request to its end: 413, 401.
    "client: send 2, end, close | target: read 1, send 12, close",
    "client: send 2, end, close | target: read 1, send 60000, close",
    "client: send 1, end, close | target: read 1, send 60000, reset",
    "client: send 1, end, close | target: read 1, send 12, reset",
    "client: send 20000, end, close | target: read 1, send 12, close",
    // The client is still sending when the answer comes.
    "client: send 2000000, end, close | target: read 10, send 300, close",
    "client: send 2000000, end, close | target: read 1000, send 60000, reset",
    "client: flood, end, close | target: read 10, send 300, close",
    // The answer has arrived, but is not read before the reset has arrived, too.
    "client: send 2, wait 3, end, close | target: read 1, send 12, close",
    "client: send 1, wait 3, end, close | target: read 1, send 60000, reset",
    // Nothing at all comes before the reset.
    "client: send 2, end, close | target: wait 1, close",
    "client: end, close | target: reset",
    "client: end, close | target: send 7, pause 2, send 8, pause 2, reset",
    "client: end, close | target: send 1000000, reset",
];

/// Bytes that a client sends before it resets.
const REQUESTS: &[&str] = &[
    "client: send 12, reset | target: end, close",
    "client: send 60000, reset | target: end, close",
    "client: send 60000, reset | target: wait 2, end, close",
    "client: read 1, send 60000, reset | target: send 1, end, close",
    "client: read 1, send 12, close | target: send 2, end, close",
    "client: read 1, send 60000, close | target: send 2, end, close",
    "client: read 1, send 60000, close | target: send 2000000, end, close",
    "client: send 1000000, reset | target: end, close",
    "client: reset | target: end, close",
    "client: send 1, read 1, reset | target: read 1, send 1, end, close",
];

/// Ends of one direction.
const HALF_CLOSES: &[&str] = &[
    "client: send 100, finish, end, close | target: end, send 200, close",
    "client: send 100, finish, end, close | target: end, send 2000000, close",
    "client: send 2000000, finish, end, close | target: end, send 8, close",
    "client: end, send 100, close | target: send 100, finish, end, close",
    "client: end, send 2000000, finish, keep | target: finish, end, close",
    "client: finish, end, close | target: finish, end, close",
    "client: send 60000, finish, end, close | target: send 60000, finish, end, close",
    "client: send 60000, finish, end, keep | target: send 60000, finish, end, keep",
    "client: finish, wait 2, end, close | target: end, send 5, close",
    // Half-closed, and then reset: the end of file is what is observed.
    "client: wait 3, end, close | target: send 12, finish, reset",
    "client: finish, end, close | target: send 60000, reset",
    "client: finish, end, close | target: end, send 60000, reset",
    "client: send 60000, finish, reset | target: wait 3, end, close",
    "client: finish, read 1, reset | target: send 1, send 1, wait 3, end, close",
];

/// Ends of both directions.
const CLOSES: &[&str] = &[
    "client: close | target: end, close",
    "client: close | target: close",
    "client: end, close | target: close",
    "client: send 1, wait 1, close | target: send 1, wait 1, close",
    "client: send 1, wait 1, reset | target: send 1, wait 1, reset",
    "client: send 60000, close | target: send 60000, close",
    "client: send 60000, end, close | target: read 60000, send 60000, close",
    // The target closes while the client still sends: the answer and its clean end arrive.
    "client: send 1, wait 3, send 10, send 10, end, close | target: read 1, send 12, close",
    "client: send 1, wait 3, flood, end, close | target: read 1, send 12, close",
    "client: send 1, wait 3, flood, end, close | target: read 1, send 60000, close",
    "client: wait 1, flood, close | target: close",
    "client: wait 1, flood, close | target: reset",
    "client: reset | target: wait 1, flood, close",
    "client: close | target: wait 1, flood, end, close",
    // Idle, and then closed.
    "client: send 5, read 5, pause 50, close | target: read 5, send 5, end, close",
    "client: send 5, read 5, end, close | target: read 5, send 5, pause 50, close",
];

/// Ends that read slowly, or no more.
const READERS: &[&str] = &[
    "client: send 1000000, close | target: read 1000, pause 3, read 1000, pause 3, end, close",
    "client: read 10, pause 5, read 100000, pause 5, end, close | target: send 1000000, close",
    "client: read 10, pause 5, reset | target: send 2000000, close",
    "client: read 10, pause 5, close | target: send 2000000, close",
    "client: send 2000000, close | target: read 10, pause 5, reset",
    "client: send 2000000, end, close | target: read 10, pause 5, close",
    "client: send 60000, end, close | target: send 2000000, reset",
    "client: send 60000, read 60000, close | target: wait 1, send 60000, end, close",
    "client: send 60000, wait 2, end, close | target: wait 1, send 60000, close",
];

/// A client that acts before the target has accepted.
const EARLY: &[&str] = &[
    "early client: send 12, close | target: end, close",
    "early client: send 12, finish, end, close | target: end, send 12, close",
    "early client: send 60000, close | target: end, close",
    "early client: send 12, reset | target: end, close",
    "early client: close | target: end, close",
    "early client: reset | target: end, close",
];

async fn play_all(
    world: &World,
    conversations: &[&str],
    runs: u64,
    report: &Report,
) -> Vec<Difference> {
    let effort = Effort { direct: runs, runs, most_direct: 300, shrinking: false };
    let routes: Vec<_> = world.routes.iter().collect();
    let mut differences = Vec::new();
    for text in conversations {
        let conversation: Conversation = text.parse().unwrap();
        assert!(conversation.is_sound(), "{text}: mended: {}", conversation.clone().mended());
        differences.extend(examine(world, &routes, &conversation, effort, report).await);
        report.examined();
    }
    differences
}

/// Plays the conversations everywhere, and demands that nothing differs and nothing is left.
fn same_everywhere(conversations: &[&str], runs: u64, with_go: bool) {
    let report = Report::new();
    let differences = runtime().block_on(async {
        let world = World::start(with_go).await;
        let differences = play_all(&world, conversations, runs, &report).await;
        world.is_quiet(&report).await;
        world.end().await;
        differences
    });
    print(&report);
    let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{} differences:\n{}", shown.len(), shown.join("\n"));
}

#[test]
fn an_answer_before_a_reset_arrives() {
    same_everywhere(ANSWERS, FEW, false);
}

#[test]
fn a_request_before_a_reset_arrives() {
    same_everywhere(REQUESTS, FEW, false);
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    same_everywhere(HALF_CLOSES, FEW, false);
}

#[test]
fn both_directions_end() {
    same_everywhere(CLOSES, FEW, false);
}

#[test]
fn a_slow_reader_gets_everything() {
    same_everywhere(READERS, FEW, false);
}

#[test]
fn a_client_acts_before_the_target_accepts() {
    same_everywhere(EARLY, FEW, false);
}

#[test]
#[ignore = "needs Go, and a minute"]
fn every_fixed_conversation_is_the_same_through_remotedialer_too() {
    same_everywhere(&[ANSWERS, REQUESTS, HALF_CLOSES, CLOSES, READERS].concat(), MANY, true);
}

#[test]
fn the_text_of_a_conversation_says_all_of_it() {
    for text in [ANSWERS, REQUESTS, HALF_CLOSES, CLOSES, READERS, EARLY].concat() {
        assert_eq!(text.parse::<Conversation>().unwrap().to_string(), text);
    }
    for text in
        ["", "client: close", "client: end | target: close", "client: send, close | target: close"]
    {
        text.parse::<Conversation>().unwrap_err();
    }
}

#[test]
fn what_cannot_complete_is_taken_out() {
    for (text, mended) in [
        ("client: end, close | target: end, keep", "client: close | target: end, keep"),
        ("client: read 2, close | target: send 1, keep", "client: close | target: send 1, keep"),
        ("client: finish, send 1, keep | target: close", "client: finish, keep | target: close"),
        ("client: flood, close | target: end, close", "client: close | target: end, close"),
        ("client: send 60001, close | target: keep", "client: close | target: keep"),
        ("client: wait 9, close | target: close", "client: wait 1, close | target: close"),
        ("client: wait 1, close | target: wait 1, close", "client: close | target: wait 1, close"),
    ] {
        let conversation: Conversation = text.parse().unwrap();
        assert_eq!(conversation.mended().to_string(), mended, "{text}");
    }
}
