//! Seeded bugs of the core world: sessions, and habits of the hosts around them, that are broken.

mod broken;
mod dial;
mod flow;
mod session;
mod stream;

use watertight_core::{Session, SessionConfig};

use super::SeededBug;
use crate::core_world::play;
use crate::core_world::tunnel::{End, Habits};
use crate::{Invariant, Outcome, Schedule, Trace, World};
use broken::Broken;

/// Runs a schedule on these ends.
fn of<E: End + From<Session> + 'static>(schedule: &Schedule, trace: &Trace) -> Outcome {
    play(&Broken::RIGHT.with_ends::<E>(), schedule, trace)
}

/// Runs a schedule on right ends that are configured wrong.
fn configured(configure: fn(&mut SessionConfig), schedule: &Schedule, trace: &Trace) -> Outcome {
    play(&Broken::RIGHT.configured(configure), schedule, trace)
}

/// Runs a schedule on right ends at hosts with these habits.
fn at(habits: Habits, schedule: &Schedule, trace: &Trace) -> Outcome {
    play(&Broken::RIGHT.with_habits(habits), schedule, trace)
}

/// See [`session::IgnoresPause`].
fn ignores_pause(schedule: &Schedule, trace: &Trace) -> Outcome {
    let broken = Broken::RIGHT.with_ends::<session::IgnoresPause>();
    play(&broken.configured(session::holds_anything), schedule, trace)
}

/// See [`session::says_no_silence`]. Its own pings stand behind its data, and that this moves does not count.
fn pings_unasked(schedule: &Schedule, trace: &Trace) -> Outcome {
    let broken = Broken::RIGHT.with_ends::<session::OnlyNewMoves>();
    play(&broken.configured(session::says_no_silence), schedule, trace)
}

macro_rules! seeded_bugs {
    ($($row:literal $name:literal: $what:literal, [$($expected:ident),+], $play:expr;)+) => {
        pub(super) static ALL: [SeededBug; [$($row),+].len()] = [$(SeededBug {
            name: $name,
            row: $row,
            what: $what,
            expected: &[$(Invariant::$expected),+],
            world: World::Core,
            play: $play,
        }),+];
    };
}

seeded_bugs! {
    "R1" "sleeping_writer": "a writer that read meanwhile is not woken", [Progress],
        of::<flow::SleepingWriter>;
    "R2" "one_flag": "what is read counts as leave to write", [Innocent], of::<flow::OneFlag>;
    "R3" "crossed_grants": "a grant that comes in replaces the one that would go out", [Progress],
        of::<flow::CrossedGrants>;
    "R4" "reader_writes": "nothing is taken in while the transport is full", [Innocent, Progress],
        of::<flow::ReaderWrites>;
    "R5" "holds_anything": "an end that ignores Pause fills the memory", [MemoryBounded],
        ignores_pause;
    "R6" "leaked_writer": "a writer that waits when the session ends is leaked", [HeapReturns],
        of::<session::LeakedWriter>;
    "R7" "kept_capacity": "the buffer of a burst is kept", [HeapReturns], of::<session::KeptCapacity>;
    "R8" "reader_waits": "the session's reader waits for a slow application", [Innocent, Progress],
        of::<flow::ReaderWaits>;
    "R10" "colliding_ids": "the ids of both ends collide", [BytesIntact, Innocent],
        of::<stream::CollidingIds>;
    "R11" "no_half_close": "an end of file is answered with an end of file", [BytesIntact],
        of::<stream::NoHalfClose>;
    "R12" "oldest_wins": "dials go to the oldest session", [SessionsInStep],
        |schedule, trace| at(session::OLDEST_WINS, schedule, trace);
    "R13" "refusal_ends_all": "a refused dial ends the session", [Innocent], of::<dial::RefusalEndsAll>;
    "R14" "leaves_socket_open": "the socket of an ended session stays open",
        [AddsEqualRemoves, Progress, SessionsInStep],
        |schedule, trace| at(session::LEAVES_SOCKET_OPEN, schedule, trace);
    "R15" "old_deadline": "the deadline of a write that succeeded ends the connection", [BytesIntact],
        of::<stream::OldDeadline>;
    "R16" "written_all_the_same": "a write that failed is sent all the same", [BytesIntact],
        of::<stream::WrittenAllTheSame>;
    "R17" "sleeping_reader": "a reader is not woken", [Progress], of::<flow::SleepingReader>;
    "R19" "end_overtakes": "the end of file overtakes what came before it", [BytesIntact],
        of::<stream::EndOvertakes>;
    "R20" "orphaned_dial": "a dial that is given up is not taken back", [AddsEqualRemoves, Progress],
        of::<dial::OrphanedDial>;
    "R21" "closed_twice": "the end of a session is reported twice", [ClosedOnce], of::<session::ClosedTwice>;
    "R22" "close_waits": "closing waits for those who wait for it", [AddsEqualRemoves, SessionsInStep],
        of::<session::CloseWaits>;
    "R23" "cut_target": "a target is cut", [BytesIntact], of::<dial::CutTarget>;
    "R24" "trusts_anyone": "any client announces routes", [BytesIntact], of::<session::TrustsAnyone>;
    "R25" "keeps_ended": "an ended session stays registered", [Progress],
        |schedule, trace| at(session::KEEPS_ENDED, schedule, trace);
    "K1" "given_up_silently": "the remote is not notified that a dial was given up",
        [AddsEqualRemoves, BytesIntact], of::<dial::GivenUpSilently>;
    "K2" "dial_without_deadline": "a dial has no deadline", [DialDeadline], of::<dial::DialWithoutDeadline>;
    "K3" "one_queue": "all connections share one queue", [Progress], of::<flow::OneQueue>;
    "Y1" "finish_unsaid": "the end of a direction is never sent", [Progress], of::<stream::FinishUnsaid>;
    "Y2" "stop_unsaid": "a writer is not notified that its reader has left", [BytesIntact],
        of::<stream::StopUnsaid>;
    "Y4" "never_released": "a dropped stream is never removed", [AddsEqualRemoves, Progress],
        of::<stream::NeverReleased>;
    "Y5" "oversized_panics": "a length that is too large is a panic", [NoPanic],
        of::<session::OversizedPanics>;
    "Y5" "credit_overflows": "credit overflows", [NoPanic], of::<session::CreditOverflows>;
    "Y5" "answers_pile_up": "answers without a reader pile up", [MemoryBounded],
        of::<session::AnswersPileUp>;
    "C1" "never_silent": "a dead peer is never noticed", [AddsEqualRemoves, Progress, SessionsInStep],
        |schedule, trace| configured(session::never_silent, schedule, trace);
    "C2" "finish_ends_both": "finishing one direction ends the other one", [BytesIntact],
        of::<stream::FinishEndsBoth>;
    "N3" "only_new_moves": "a slow link whose queue moves is taken for a stalled one", [Innocent],
        of::<session::OnlyNewMoves>;
    "N4" "pings_unasked": "an end is pinged as seldom as the other one likes", [Innocent], pings_unasked;
    "N6" "no_shares": "dials of one target that hangs take the room of all others", [DialShare],
        of::<dial::NoShares>;
    "N1" "reset_discards": "a reset throws away what was written before it", [Delivered],
        of::<stream::ResetDiscards>;
    "N1" "end_discards": "the end of a session throws unread bytes away", [Delivered],
        of::<session::EndDiscards>;
    "T1" "reset_unheard": "the application is not notified that its target has reset", [Progress],
        of::<stream::ResetUnheard>;
    "T1" "lingers": "half-closed connections have no timer", [AddsEqualRemoves, Progress],
        |schedule, trace| configured(session::lingers, schedule, trace);
}
