//! What each signal does in each phase.

use super::{
    Context, Early, Linger, Phase, RecvHalf, SendHalf, Signal, Step, Tell, Then, Violation,
};
use crate::ledger::Cause;
use crate::wire::ResetCode;

impl Phase {
    /// The table.
    pub(crate) fn step(self, signal: Signal, context: Context) -> Step {
        match signal {
            Signal::NotListed if self.is_complete() => return Step::Stay,
            Signal::Abort(_) | Signal::Refuse(_) | Signal::Accept | Signal::FinishWrite
                if matches!(self, Self::Lingering(_)) =>
            {
                return Step::Misuse;
            }
            _ => {}
        }
        match self {
            Self::Opening => opening(signal),
            Self::Dialing(early) => dialing(early, signal, context),
            Self::Open { send, recv } => open(send, recv, signal, context),
            Self::Lingering(linger) => lingering(linger, signal, context),
            Self::Over { cause, .. } => over(cause, signal),
        }
    }
}

fn retire(cause: Cause, tell: Tell) -> Step {
    Step::Retire { cause, tell }
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
        Signal::Eof if context.unread => Step::To(Phase::Dialing(Early::Over)),
        Signal::Eof => retire(Cause::PeerClosed, Tell::Echo),
        Signal::Reset => retire(Cause::PeerReset, Tell::Echo),
        Signal::Overrun => retire(Cause::Overrun, Tell::Reset(ResetCode::OVERRUN)),
        Signal::Accept => Step::To(accepted(early)),
        Signal::Refuse(code) | Signal::Abort(code) => retire(Cause::Refused, Tell::Reset(code)),
        Signal::Release => retire(Cause::Dropped, Tell::Reset(ResetCode::CANCELLED)),
        Signal::FinishWrite => Step::Misuse,
        Signal::Deadline => retire(Cause::AcceptTimeout, Tell::Reset(ResetCode::DIAL_TIMEOUT)),
        Signal::NotListed => retire(Cause::NotListed, Tell::Nothing),
        Signal::SessionEnded => retire(Cause::SessionEnded, Tell::Nothing),
        Signal::Flushed | Signal::Drained | Signal::NotTaken => Step::Stay,
    }
}

fn accepted(early: Early) -> Phase {
    match early {
        Early::Open => Phase::OPEN,
        Early::Finished => Phase::Open { send: SendHalf::Open, recv: RecvHalf::Finished },
        Early::Over => Phase::Over { cause: Cause::PeerClosed, clean: true },
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
        Signal::Eof => Step::End { cause: Cause::PeerClosed, clean: true, tell: Tell::Echo },
        Signal::Overrun => retire(Cause::Overrun, Tell::Reset(ResetCode::OVERRUN)),
        Signal::Accept | Signal::Refuse(_) => Step::Misuse,
        Signal::FinishWrite if send == SendHalf::Open => {
            Step::To(Phase::Open { send: SendHalf::Finishing, recv })
        }
        Signal::FinishWrite => Step::Stay,
        Signal::Abort(code) => retire(Cause::Aborted, Tell::Reset(code)),
        Signal::Release => released(send, finished, context),
        Signal::Flushed => finished_or(SendHalf::Finished, recv),
        Signal::Drained => finished_or(send, RecvHalf::Drained),
        // Only a half-closed connection of the base dialect has a deadline here.
        Signal::Deadline => end(Cause::LingerTimeout, Tell::Close),
        Signal::NotListed => end(Cause::NotListed, Tell::Reset(ResetCode::NOT_LISTED)),
        Signal::NotTaken => Step::Stay,
        Signal::SessionEnded if recv == RecvHalf::Finished => {
            end(Cause::SessionEnded, Tell::Nothing)
        }
        Signal::SessionEnded => retire(Cause::SessionEnded, Tell::Nothing),
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
    let done = recv_finished || !context.half_close;
    match send {
        SendHalf::Open => retire(Cause::Dropped, Tell::Reset(ResetCode::CANCELLED)),
        SendHalf::Finishing if done => Step::To(Phase::Lingering(Linger::Flush(Then::Done))),
        SendHalf::Finishing if context.unread => {
            Step::To(Phase::Lingering(Linger::Flush(Then::Stop)))
        }
        SendHalf::Finishing => Step::To(Phase::Lingering(Linger::Flush(Then::Await))),
        SendHalf::Finished if done => retire(Cause::Finished, Tell::Close),
        SendHalf::Finished if context.unread => {
            retire(Cause::Stopped, Tell::Reset(ResetCode::STOPPED))
        }
        SendHalf::Finished => Step::To(Phase::Lingering(Linger::Await)),
    }
}

fn lingering(linger: Linger, signal: Signal, context: Context) -> Step {
    let to = |linger| Step::To(Phase::Lingering(linger));
    let stop = retire(Cause::Stopped, Tell::Reset(ResetCode::STOPPED));
    match (signal, linger) {
        (Signal::Opened, _) => Step::Violation(Violation::UnexpectedOpened),
        (Signal::Data, Linger::Flush(Then::Await)) => to(Linger::Flush(Then::Stop)),
        (Signal::Data | Signal::Finish, Linger::Flush(Then::Done)) if context.half_close => {
            Step::Violation(Violation::AfterFinish)
        }
        (Signal::Data, Linger::Flush(_)) => Step::Stay,
        (Signal::Data, Linger::Await) => stop,
        (Signal::Finish, Linger::Flush(_)) => to(Linger::Flush(Then::Done)),
        (Signal::Finish, Linger::Await) => retire(Cause::Finished, Tell::Nothing),
        (Signal::Reset, _) => retire(Cause::PeerReset, Tell::Echo),
        (Signal::Eof, _) => retire(Cause::PeerClosed, Tell::Echo),
        (Signal::Flushed, Linger::Flush(Then::Await)) => to(Linger::Await),
        (Signal::Flushed, Linger::Flush(Then::Stop)) => stop,
        (Signal::Flushed, Linger::Flush(Then::Done)) => retire(Cause::Finished, Tell::Close),
        (Signal::Deadline, _) => retire(Cause::LingerTimeout, Tell::Reset(ResetCode::STALLED)),
        (Signal::NotListed, _) => retire(Cause::NotListed, Tell::Nothing),
        (Signal::SessionEnded, _) => retire(Cause::SessionEnded, Tell::Nothing),
        _ => Step::Stay,
    }
}

fn over(cause: Cause, signal: Signal) -> Step {
    match signal {
        Signal::Release | Signal::Abort(_) | Signal::Drained => retire(cause, Tell::Nothing),
        Signal::Accept | Signal::Refuse(_) => Step::Misuse,
        // Messages that crossed with the end.
        _ => Step::Stay,
    }
}
