//! Specimens of the turmoil world: software around or inside of a server or an agent that is broken.

use super::Specimen;
use crate::World;
use crate::turmoil_world::{Deviation, run_with};

macro_rules! specimens {
    ($($row:literal $name:literal: $what:literal, $deviation:ident;)+) => {
        pub(super) static ALL: [Specimen; [$($row),+].len()] = [$(Specimen {
            name: $name,
            row: $row,
            what: $what,
            world: World::Turmoil,
            play: |schedule, trace| run_with(schedule, trace, Deviation::$deviation),
        }),+];
    };
}

specimens! {
    "W1" "accept_waits": "a handshake without a deadline inside the accept loop", AcceptWaits;
    "R14" "socket_stays": "the socket of a session that has ended is never closed", SocketStays;
    "F1" "login_waits": "a session that died silently is never done, and its client locked out",
        LoginWaits;
    "R20" "dial_goes_on": "a dial that is given up goes on, and nobody owns its stream", DialGoesOn;
    "R18" "task_stays": "a task for each stream is never ended", TaskStays;
    "K2" "dial_waits": "a dial without an answer is pending for ever", DialWaits;
    "C2" "eof_ends_both": "the first end of file ends both directions", EofEndsBoth;
    "T1" "half_closed_stays": "half-closed connections wait without a timer", HalfClosedStays;
    "C1" "silence_is_fine": "keepalive without a timeout", SilenceIsFine;
    "Y5" "strangers_panic": "what a peer says panics", StrangersPanic;
}
