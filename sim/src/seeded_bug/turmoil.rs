//! Seeded bugs of the turmoil world: software around or inside of a server or an agent that is broken.

use super::SeededBug;
use crate::turmoil_world::{Deviation, run_with};
use crate::{Invariant, World};

macro_rules! seeded_bugs {
    ($($row:literal $name:literal: $what:literal, [$($expected:ident),+], $deviation:ident;)+) => {
        pub(super) static ALL: [SeededBug; [$($row),+].len()] = [$(SeededBug {
            name: $name,
            row: $row,
            what: $what,
            expected: &[$(Invariant::$expected),+],
            world: World::Turmoil,
            play: |schedule, trace| run_with(schedule, trace, Deviation::$deviation),
        }),+];
    };
}

seeded_bugs! {
    "W1" "accept_waits": "a handshake without a deadline inside the accept loop",
        [NoTaskSurvives, SessionsInStep, SocketsClosed], AcceptWaits;
    "R14" "socket_stays": "the socket of a session that has ended is never closed",
        [MemoryBounded, SocketsClosed], SocketStays;
    "F1" "login_waits": "a session that died silently is never done, and its client locked out",
        [NoTaskSurvives, Progress, SessionsInStep], LoginWaits;
    "R20" "dial_goes_on": "a dial that is given up continues, and nobody owns its stream", [AddsEqualRemoves],
        DialGoesOn;
    "R18" "task_stays": "a task for each stream is never ended", [NoTaskSurvives], TaskStays;
    "K2" "dial_waits": "a dial without an answer has no deadline", [DialDeadline], DialWaits;
    "C2" "eof_ends_both": "the first end of file ends both directions", [BytesIntact], EofEndsBoth;
    "T1" "half_closed_stays": "half-closed connections wait without a timer", [AddsEqualRemoves, Progress],
        HalfClosedStays;
    "C1" "silence_is_fine": "keepalive without a timeout", [AddsEqualRemoves, Progress, SessionsInStep],
        SilenceIsFine;
    "Y5" "unknown_target_panics": "a message of the remote panics", [NoPanic], UnknownTargetPanics;
    "F1" "superseded_unreported": "the end of a superseded session is never reported", [ClosedOnce],
        SupersededUnreported;
    "T1" "reset_swallowed": "the application is not notified that its target has reset",
        [NoTaskSurvives, Progress], ResetSwallowed;
    "T1" "write_error_loses_answer":
        "a write that fails ends the copy, and the target's answer is lost",
        [Delivered], WriteErrorLosesAnswer;
    "C2" "reset_is_an_end": "the reset of a target is taken for an end of file", [BytesIntact], ResetIsAnEnd;
    "N2" "probes_nothing": "the machine of a target vanishes, and its idle connection stays",
        [NoTaskSurvives, Progress], ProbesNothing;
    "N2" "asks_no_kernel": "bytes wait for a vanished machine without a timeout", [NoTaskSurvives, Progress],
        AsksNoKernel;
    "N5" "looks_up_all": "names that hang take every thread, and the agent cannot look its server up",
        [Progress, SessionsInStep], LooksUpAll;
    "S1" "shares_ignored": "sockets without a session count as one source, and many of them keep agents out",
        [AgentsLetIn], SharesIgnored;
    "S1" "new_sockets_refused": "where unauthenticated remotes have all handshakes, a new socket is refused",
        [AgentsLetIn], NewSocketsRefused;
    "S1" "handshakes_unbounded": "sockets without a session have no bound", [MemoryBounded],
        HandshakesUnbounded;
    "S1" "handshakes_last": "a handshake that stands still has no deadline",
        [AgentsLetIn, NoTaskSurvives, NothingKept, UnauthenticatedKeptOut], HandshakesLast;
    "S2" "token_ignored": "any token is right", [UnauthenticatedKeptOut], TokenIgnored;
    "W1" "answer_awaited": "an agent waits for the answer of its server without a deadline",
        [AgentsLetIn, Progress, SessionsInStep], AnswerAwaited;
    "C2" "abort_closes": "a target's socket is closed where it should be reset", [BytesIntact], AbortCloses;
}
