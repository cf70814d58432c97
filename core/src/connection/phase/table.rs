//! What each signal does in each phase.

use super::{
    Context, Early, Linger, Phase, RecvHalf, SendHalf, Signal, Step, Tell, Then, Violation,
};
use crate::ledger::Cause;
use crate::wire::ResetCode;

impl Phase {
    /// The table.
    pub(crate) fn step(self, signal: Signal, context: Context) -> Step {
        match self {
            Self::Opening => opening(signal),
            Self::Dialing(early) => dialing(early, signal, context),
            Self::Open { send, recv } => open(send, recv, signal, context),
            Self::Lingering(linger) => lingering(linger, signal),
            Self::Over { cause, clean } => over(cause, clean, signal),
        }
    }
}

fn retire(cause: Cause, tell: Tell) -> Step {
    Step::Retire { cause, tell }
}

/// The end of a connection whose other end has said everything that it had to say.
fn end_clean(cause: Cause, tell: Tell) -> Step {
    Step::End { cause, clean: true, tell }
}

fn opening(signal: Signal) -> Step {
    match signal {
        Signal::Opened => Step::To(Phase::OPEN),
        Signal::Data | Signal::Finish => Step::Violation(Violation::BeforeOpened),
        Signal::Reset | Signal::Eof => retire(Cause::Refused, Tell::Nothing),
        Signal::Release => retire(Cause::Dropped, Tell::Reset(ResetCode::CANCELLED)),
        Signal::Abort(code) => retire(Cause::Aborted, Tell::Reset(code)),
        Signal::Deadline => retire(Cause::DialTimeout, Tell::Reset(ResetCode::DIAL_TIMEOUT)),
        Signal::NotListed => retire(Cause::NotListed, Tell::Nothing),
        Signal::NotTaken => retire(Cause::GoingAway, Tell::Nothing),
        Signal::SessionEnded => retire(Cause::SessionEnded, Tell::Nothing),
        Signal::Accept | Signal::Refuse(_) | Signal::FinishWrite => Step::Misuse,
        Signal::Flushed | Signal::Drained | Signal::Overrun => Step::Stay,
    }
}

fn dialing(early: Early, signal: Signal, context: Context) -> Step {
    match signal {
        Signal::Opened => Step::Violation(Violation::UnexpectedOpened),
        Signal::Data if early == Early::Finished => Step::Violation(Violation::AfterFinish),
        Signal::Data => Step::Stay,
        Signal::Finish if early == Early::Open => Step::To(Phase::Dialing(Early::Finished)),
        Signal::Finish => Step::Violation(Violation::AfterFinish),
        // The Go end may say more than once, and in different words, that it is over.
        Signal::Eof | Signal::Reset if early == Early::Over => Step::Stay,
        Signal::Eof if context.unread => Step::To(Phase::Dialing(Early::Over)),
        Signal::Eof => end_clean(Cause::PeerClosed, Tell::Echo),
        Signal::Reset => retire(Cause::PeerReset, Tell::Echo),
        Signal::Overrun => retire(Cause::Overrun, Tell::Reset(ResetCode::OVERRUN)),
        Signal::Accept => accepted(early, context),
        Signal::Refuse(code) | Signal::Abort(code) => retire(Cause::Refused, Tell::Reset(code)),
        Signal::Release => retire(Cause::Dropped, Tell::Reset(ResetCode::CANCELLED)),
        Signal::FinishWrite => Step::Misuse,
        Signal::Deadline => retire(Cause::AcceptTimeout, Tell::Reset(ResetCode::DIAL_TIMEOUT)),
        Signal::NotListed => retire(Cause::NotListed, Tell::Nothing),
        Signal::SessionEnded => retire(Cause::SessionEnded, Tell::Nothing),
        Signal::Flushed | Signal::Drained | Signal::NotTaken => Step::Stay,
    }
}

fn accepted(early: Early, context: Context) -> Step {
    match early {
        Early::Open => Step::To(Phase::OPEN),
        Early::Finished => Step::To(Phase::Open { send: SendHalf::Open, recv: RecvHalf::Finished }),
        Early::Over if context.unread => {
            Step::To(Phase::Over { cause: Cause::PeerClosed, clean: true })
        }
        Early::Over => retire(Cause::PeerClosed, Tell::Nothing),
    }
}

fn open(send: SendHalf, recv: RecvHalf, signal: Signal, context: Context) -> Step {
    let finished = recv != RecvHalf::Open;
    let end = |cause, tell| Step::End { cause, clean: finished, tell };
    match signal {
        Signal::Opened => Step::Violation(Violation::UnexpectedOpened),
        Signal::Data | Signal::Finish if finished => Step::Violation(Violation::AfterFinish),
        Signal::Data => Step::Stay,
        Signal::Finish => Step::To(Phase::Open { send, recv: RecvHalf::Finished }),
        Signal::Reset => end(Cause::PeerReset, Tell::Echo),
        Signal::Eof => end_clean(Cause::PeerClosed, Tell::Echo),
        Signal::Overrun => retire(Cause::Overrun, Tell::Reset(ResetCode::OVERRUN)),
        Signal::Accept | Signal::Refuse(_) => Step::Misuse,
        Signal::FinishWrite if send == SendHalf::Open => {
            Step::To(Phase::Open { send: SendHalf::Finishing, recv })
        }
        Signal::FinishWrite => Step::Stay,
        Signal::Abort(code) => reset(Cause::of_abort(code), code, send, context),
        Signal::Release => released(send, finished, context),
        Signal::Flushed if send == SendHalf::Finishing => finished_or(SendHalf::Finished, recv),
        Signal::Drained if recv == RecvHalf::Finished => finished_or(send, RecvHalf::Drained),
        Signal::Flushed | Signal::Drained => Step::Stay,
        // Only a half-closed connection of the base dialect has a deadline here.
        Signal::Deadline => end(Cause::LingerTimeout, Tell::Close),
        // The other end has nothing left to say or to hear, so its list proves nothing.
        Signal::NotListed if finished && send == SendHalf::Finished => Step::Stay,
        Signal::NotListed => end(Cause::NotListed, Tell::Reset(ResetCode::NOT_LISTED)),
        Signal::NotTaken => Step::Stay,
        // What has arrived is still the application's to read.
        Signal::SessionEnded => end(Cause::SessionEnded, Tell::Nothing),
    }
}

/// The application's reset: behind what it has written, and behind its Finish.
fn reset(cause: Cause, code: ResetCode, send: SendHalf, context: Context) -> Step {
    let finished = send == SendHalf::Finishing && context.half_close;
    if context.queued || finished {
        Step::ResetAfterFlush { cause, code, finished }
    } else {
        retire(cause, Tell::Reset(code))
    }
}

fn finished_or(send: SendHalf, recv: RecvHalf) -> Step {
    if send == SendHalf::Finished && recv == RecvHalf::Drained {
        retire(Cause::Finished, Tell::Nothing)
    } else {
        Step::To(Phase::Open { send, recv })
    }
}

fn released(send: SendHalf, recv_finished: bool, context: Context) -> Step {
    match send {
        SendHalf::Open => reset(Cause::Dropped, ResetCode::CANCELLED, send, context),
        SendHalf::Finishing => {
            let then = then(recv_finished, context);
            Step::To(Phase::Lingering(Linger::Flush(then)))
        }
        SendHalf::Finished => after_flush(then(recv_finished, context)),
    }
}

/// What follows once everything is sent, nobody reading any more.
fn then(recv_finished: bool, context: Context) -> Then {
    match (recv_finished, context.half_close, context.unread) {
        (true, _, _) => Then::Done,
        (false, false, _) => Then::Close,
        (false, true, true) => Then::Stop,
        (false, true, false) => Then::Await,
    }
}

fn after_flush(then: Then) -> Step {
    match then {
        Then::Await => Step::To(Phase::Lingering(Linger::Await)),
        Then::Stop => retire(Cause::Stopped, Tell::Reset(ResetCode::STOPPED)),
        Then::Close => retire(Cause::Finished, Tell::Close),
        Then::Done => retire(Cause::Finished, Tell::Nothing),
        Then::Reset { cause, .. } => retire(cause, Tell::KeptReset),
    }
}

fn lingering(linger: Linger, signal: Signal) -> Step {
    let to = |linger| Step::To(Phase::Lingering(linger));
    match (signal, linger) {
        (Signal::Opened, _) => Step::Violation(Violation::UnexpectedOpened),
        // Nobody reads any more, and the end is near.
        (Signal::Data | Signal::Finish, Linger::Flush(Then::Reset { .. })) => Step::Stay,
        (Signal::Deadline, Linger::Flush(Then::Reset { .. })) => {
            retire(Cause::LingerTimeout, Tell::KeptReset)
        }
        (Signal::Data, Linger::Flush(Then::Await)) => to(Linger::Flush(Then::Stop)),
        (Signal::Data, Linger::Await) => after_flush(Then::Stop),
        (Signal::Data | Signal::Finish, Linger::Flush(Then::Done)) => {
            Step::Violation(Violation::AfterFinish)
        }
        (Signal::Finish, Linger::Flush(_)) => to(Linger::Flush(Then::Done)),
        (Signal::Finish, Linger::Await) => end_clean(Cause::Finished, Tell::Nothing),
        (Signal::Reset, _) => retire(Cause::PeerReset, Tell::Echo),
        (Signal::Eof, _) => end_clean(Cause::PeerClosed, Tell::Echo),
        (Signal::Flushed, Linger::Flush(then)) => after_flush(then),
        (Signal::Deadline, _) => retire(Cause::LingerTimeout, Tell::Reset(ResetCode::STALLED)),
        (Signal::NotListed, _) => retire(Cause::NotListed, Tell::Nothing),
        (Signal::SessionEnded, _) => retire(Cause::SessionEnded, Tell::Nothing),
        (Signal::Accept | Signal::Refuse(_) | Signal::FinishWrite | Signal::Abort(_), _) => {
            Step::Misuse
        }
        _ => Step::Stay,
    }
}

fn over(cause: Cause, clean: bool, signal: Signal) -> Step {
    match signal {
        // What was written last may not have arrived.
        Signal::FinishWrite if !clean => Step::Misuse,
        Signal::Release | Signal::Abort(_) | Signal::Drained => retire(cause, Tell::Nothing),
        Signal::Accept | Signal::Refuse(_) => Step::Misuse,
        Signal::Opened => Step::Violation(Violation::UnexpectedOpened),
        // Messages that crossed with the end.
        _ => Step::Stay,
    }
}
