//! Specimens of the turmoil world: software around or inside of a server or an agent that is broken.

use super::Specimen;
use crate::turmoil_world::{Deviation, run_with};
use crate::{Invariant, World};

macro_rules! specimens {
    ($($row:literal $name:literal: $what:literal, [$($expected:ident),+], $deviation:ident;)+) => {
        pub(super) static ALL: [Specimen; [$($row),+].len()] = [$(Specimen {
            name: $name,
            row: $row,
            what: $what,
            expected: &[$(Invariant::$expected),+],
            world: World::Turmoil,
            play: |schedule, trace| run_with(schedule, trace, Deviation::$deviation),
        }),+];
    };
}

specimens! {
    "W1" "accept_waits": "a handshake without a deadline inside the accept loop",
        [NoTaskSurvives, SessionsInStep, SocketsClosed], AcceptWaits;
    "R14" "socket_stays": "the socket of a session that has ended is never closed",
        [MemoryBounded, SocketsClosed], SocketStays;
    "F1" "login_waits": "a session that died silently is never done, and its client locked out",
        [NoTaskSurvives, Progress, SessionsInStep], LoginWaits;
    "R20" "dial_goes_on": "a dial that is given up goes on, and nobody owns its stream", [AddsEqualRemoves],
        DialGoesOn;
    "R18" "task_stays": "a task for each stream is never ended", [NoTaskSurvives], TaskStays;
    "K2" "dial_waits": "a dial without an answer is pending for ever", [DialDeadline], DialWaits;
    "C2" "eof_ends_both": "the first end of file ends both directions", [BytesIntact], EofEndsBoth;
    "T1" "half_closed_stays": "half-closed connections wait without a timer", [AddsEqualRemoves, Progress],
        HalfClosedStays;
    "C1" "silence_is_fine": "keepalive without a timeout", [AddsEqualRemoves, Progress, SessionsInStep],
        SilenceIsFine;
    "Y5" "strangers_panic": "what a peer says panics", [NoPanic], StrangersPanic;
    "F1" "replaced_untold": "the end of a session that was replaced is never told", [ClosedOnce],
        ReplacedUntold;
    "T1" "reset_swallowed": "the application never hears that its target has reset",
        [NoTaskSurvives, Progress], ResetSwallowed;
    "T1" "write_error_loses_answer":
        "a write that fails ends the copy, and what the target had answered is lost",
        [Delivered], WriteErrorLosesAnswer;
    "C2" "reset_is_an_end": "the reset of a target is taken for an end of file", [BytesIntact], ResetIsAnEnd;
    "N2" "probes_nothing": "the machine of a target vanishes, and its idle connection stays for ever",
        [NoTaskSurvives, Progress], ProbesNothing;
    "N2" "asks_no_kernel": "bytes wait for a machine that has vanished, for ever", [NoTaskSurvives, Progress],
        AsksNoKernel;
    "N5" "looks_up_all": "names that hang take every thread, and the agent cannot look its server up",
        [Progress, SessionsInStep], LooksUpAll;
    "S1" "shares_ignored": "sockets without a session are all of one source, and a crowd keeps agents out",
        [AgentsLetIn], SharesIgnored;
    "S1" "newcomers_refused": "where strangers have taken all handshakes, whoever comes next is refused",
        [AgentsLetIn], NewcomersRefused;
    "S1" "handshakes_unbounded": "sockets without a session have no bound", [MemoryBounded],
        HandshakesUnbounded;
    "S1" "handshakes_last": "a handshake that stands still has no deadline",
        [AgentsLetIn, NoTaskSurvives, NothingKept, StrangersKeptOut], HandshakesLast;
    "S2" "token_ignored": "any token is right", [StrangersKeptOut], TokenIgnored;
    "W1" "answer_awaited": "an agent waits for the answer of its server for ever",
        [AgentsLetIn, Progress, SessionsInStep], AnswerAwaited;
    "C2" "abort_closes": "a target's socket is closed where it should be reset", [BytesIntact], AbortCloses;
}
