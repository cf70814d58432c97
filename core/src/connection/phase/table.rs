//! What each signal does in each phase.
//!
//! Three tables, because three kinds of signal fail differently: the remote's may break the
//! protocol, the application's may be misuse, the session's own may not go wrong.

use super::{
    AfterFlush, Command, Context, Early, LifecycleViolation, Linger, Misuse, Phase, RecvHalf,
    RemoteSignal, SendHalf, SessionSignal, Step, WireAction,
};
use crate::ledger::Cause;
use crate::wire::ResetCode;

impl Phase {
    /// The effect of a signal of the remote.
    ///
    /// # Errors
    ///
    /// The remote broke the protocol: the session ends.
    pub(crate) fn on_remote(
        self,
        signal: RemoteSignal,
        context: Context,
    ) -> Result<Step, LifecycleViolation> {
        match self {
            Self::PendingOutbound => remote_pending_outbound(signal),
            Self::PendingInbound(early) => remote_pending_inbound(early, signal, context),
            Self::Open { send, recv } => remote_open(send, recv, signal),
            Self::Lingering(linger) => remote_lingering(linger, signal),
            Self::Ended { .. } => match signal {
                RemoteSignal::Opened => Err(LifecycleViolation::UnexpectedOpened),
                // Messages that crossed with the end.
                _ => Ok(Step::Stay),
            },
        }
    }

    /// The effect of a command of the application.
    ///
    /// # Errors
    ///
    /// The phase does not allow it; nothing happened.
    pub(crate) fn on_command(self, command: Command, context: Context) -> Result<Step, Misuse> {
        match self {
            Self::PendingOutbound => command_pending_outbound(command),
            Self::PendingInbound(early) => command_pending_inbound(early, command, context),
            Self::Open { send, recv } => command_open(send, recv, command, context),
            Self::Lingering(_) => match command {
                Command::Release => Ok(Step::Stay),
                _ => Err(Misuse),
            },
            Self::Ended { cause, complete } => command_ended(cause, complete, command),
        }
    }

    /// The effect of a signal of the session.
    pub(crate) fn on_session(self, signal: SessionSignal) -> Step {
        match self {
            Self::PendingOutbound => session_pending_outbound(signal),
            Self::PendingInbound(_) => session_pending_inbound(signal),
            Self::Open { send, recv } => session_open(send, recv, signal),
            Self::Lingering(linger) => session_lingering(linger, signal),
            Self::Ended { cause, .. } => match signal {
                SessionSignal::Drained => retire(cause, WireAction::Nothing),
                _ => Step::Stay,
            },
        }
    }
}

const fn retire(cause: Cause, wire: WireAction) -> Step {
    Step::Retire { cause, wire }
}

/// The end of a connection whose remote has sent everything that it had to send.
const fn end_complete(cause: Cause, wire: WireAction) -> Step {
    Step::End { cause, complete: true, wire }
}

fn remote_pending_outbound(signal: RemoteSignal) -> Result<Step, LifecycleViolation> {
    match signal {
        RemoteSignal::Opened => Ok(Step::To(Phase::OPEN)),
        RemoteSignal::Data | RemoteSignal::Finish => Err(LifecycleViolation::BeforeOpened),
        RemoteSignal::Reset | RemoteSignal::Eof => Ok(retire(Cause::Refused, WireAction::Nothing)),
    }
}

fn command_pending_outbound(command: Command) -> Result<Step, Misuse> {
    match command {
        Command::Release => Ok(retire(Cause::Dropped, WireAction::Reset(ResetCode::CANCELLED))),
        Command::Reset(code) => Ok(retire(Cause::Aborted, WireAction::Reset(code))),
        Command::Accept | Command::Refuse(_) | Command::Finish => Err(Misuse),
    }
}

fn session_pending_outbound(signal: SessionSignal) -> Step {
    match signal {
        SessionSignal::Deadline => {
            retire(Cause::DialTimeout, WireAction::Reset(ResetCode::DIAL_TIMEOUT))
        }
        SessionSignal::NotListed => retire(Cause::NotListed, WireAction::Nothing),
        SessionSignal::NotTaken => retire(Cause::GoingAway, WireAction::Nothing),
        SessionSignal::SessionEnded => retire(Cause::SessionEnded, WireAction::Nothing),
        SessionSignal::Flushed | SessionSignal::Drained | SessionSignal::Overrun => Step::Stay,
    }
}

fn remote_pending_inbound(
    early: Early,
    signal: RemoteSignal,
    context: Context,
) -> Result<Step, LifecycleViolation> {
    match (signal, early) {
        (RemoteSignal::Opened, _) => Err(LifecycleViolation::UnexpectedOpened),
        (RemoteSignal::Data, Early::Finished) => Err(LifecycleViolation::AfterFinish),
        (RemoteSignal::Data, _) => Ok(Step::Stay),
        (RemoteSignal::Finish, Early::Open) => Ok(Step::To(Phase::PendingInbound(Early::Finished))),
        (RemoteSignal::Finish, _) => Err(LifecycleViolation::AfterFinish),
        // A Go end may report the end more than once, in different words.
        (RemoteSignal::Eof | RemoteSignal::Reset, Early::Ended) => Ok(Step::Stay),
        (RemoteSignal::Eof, _) if context.unread => {
            Ok(Step::To(Phase::PendingInbound(Early::Ended)))
        }
        (RemoteSignal::Eof, _) => Ok(end_complete(Cause::RemoteClosed, WireAction::Echo)),
        (RemoteSignal::Reset, _) => Ok(retire(Cause::RemoteReset, WireAction::Echo)),
    }
}

fn command_pending_inbound(
    early: Early,
    command: Command,
    context: Context,
) -> Result<Step, Misuse> {
    match command {
        Command::Accept => Ok(accepted(early, context)),
        Command::Refuse(code) | Command::Reset(code) => {
            Ok(retire(Cause::Refused, WireAction::Reset(code)))
        }
        Command::Release => Ok(retire(Cause::Dropped, WireAction::Reset(ResetCode::CANCELLED))),
        Command::Finish => Err(Misuse),
    }
}

fn accepted(early: Early, context: Context) -> Step {
    match early {
        Early::Open => Step::To(Phase::OPEN),
        Early::Finished => Step::To(Phase::Open { send: SendHalf::Open, recv: RecvHalf::Finished }),
        Early::Ended if context.unread => {
            Step::To(Phase::Ended { cause: Cause::RemoteClosed, complete: true })
        }
        Early::Ended => retire(Cause::RemoteClosed, WireAction::Nothing),
    }
}

fn session_pending_inbound(signal: SessionSignal) -> Step {
    match signal {
        SessionSignal::Overrun => retire(Cause::Overrun, WireAction::Reset(ResetCode::OVERRUN)),
        SessionSignal::Deadline => {
            retire(Cause::AcceptTimeout, WireAction::Reset(ResetCode::DIAL_TIMEOUT))
        }
        SessionSignal::NotListed => retire(Cause::NotListed, WireAction::Nothing),
        SessionSignal::SessionEnded => retire(Cause::SessionEnded, WireAction::Nothing),
        SessionSignal::Flushed | SessionSignal::Drained | SessionSignal::NotTaken => Step::Stay,
    }
}

fn remote_open(
    send: SendHalf,
    recv: RecvHalf,
    signal: RemoteSignal,
) -> Result<Step, LifecycleViolation> {
    let finished = recv != RecvHalf::Open;
    match signal {
        RemoteSignal::Opened => Err(LifecycleViolation::UnexpectedOpened),
        RemoteSignal::Data | RemoteSignal::Finish if finished => {
            Err(LifecycleViolation::AfterFinish)
        }
        RemoteSignal::Data => Ok(Step::Stay),
        RemoteSignal::Finish => Ok(Step::To(Phase::Open { send, recv: RecvHalf::Finished })),
        RemoteSignal::Reset => {
            Ok(Step::End { cause: Cause::RemoteReset, complete: finished, wire: WireAction::Echo })
        }
        RemoteSignal::Eof => Ok(end_complete(Cause::RemoteClosed, WireAction::Echo)),
    }
}

fn command_open(
    send: SendHalf,
    recv: RecvHalf,
    command: Command,
    context: Context,
) -> Result<Step, Misuse> {
    match command {
        Command::Accept | Command::Refuse(_) => Err(Misuse),
        Command::Finish if send == SendHalf::Open => {
            Ok(Step::To(Phase::Open { send: SendHalf::Finishing, recv }))
        }
        Command::Finish => Ok(Step::Stay),
        Command::Reset(code) => Ok(reset(Cause::of_reset(code), code, send, context)),
        Command::Release => Ok(released(send, recv != RecvHalf::Open, context)),
    }
}

fn session_open(send: SendHalf, recv: RecvHalf, signal: SessionSignal) -> Step {
    let finished = recv != RecvHalf::Open;
    let end = |cause, wire| Step::End { cause, complete: finished, wire };
    match signal {
        SessionSignal::Flushed if send == SendHalf::Finishing => {
            open_or_finished(SendHalf::Finished, recv)
        }
        SessionSignal::Drained if recv == RecvHalf::Finished => {
            open_or_finished(send, RecvHalf::Drained)
        }
        SessionSignal::Flushed | SessionSignal::Drained | SessionSignal::NotTaken => Step::Stay,
        SessionSignal::Overrun => retire(Cause::Overrun, WireAction::Reset(ResetCode::OVERRUN)),
        // Only a half-closed connection of the base dialect has a deadline here.
        SessionSignal::Deadline => end(Cause::LingerTimeout, WireAction::Close),
        // The remote has nothing left to send or to receive, so its list proves nothing.
        SessionSignal::NotListed if finished && send == SendHalf::Finished => Step::Stay,
        SessionSignal::NotListed => end(Cause::NotListed, WireAction::Reset(ResetCode::NOT_LISTED)),
        // The application may still read what has arrived.
        SessionSignal::SessionEnded => end(Cause::SessionEnded, WireAction::Nothing),
    }
}

/// The application's reset: behind the bytes that it wrote, and behind its Finish.
fn reset(cause: Cause, code: ResetCode, send: SendHalf, context: Context) -> Step {
    let finished = send == SendHalf::Finishing && context.half_close;
    if context.queued || finished {
        Step::ResetAfterFlush { cause, code, finished }
    } else {
        retire(cause, WireAction::Reset(code))
    }
}

fn open_or_finished(send: SendHalf, recv: RecvHalf) -> Step {
    if send == SendHalf::Finished && recv == RecvHalf::Drained {
        retire(Cause::Finished, WireAction::Nothing)
    } else {
        Step::To(Phase::Open { send, recv })
    }
}

fn released(send: SendHalf, recv_finished: bool, context: Context) -> Step {
    match send {
        SendHalf::Open => reset(Cause::Dropped, ResetCode::CANCELLED, send, context),
        SendHalf::Finishing => {
            let then = after_release(recv_finished, context);
            Step::To(Phase::Lingering(Linger::Flush(then)))
        }
        SendHalf::Finished => after_flush(after_release(recv_finished, context)),
    }
}

/// What follows once everything is sent, when nobody reads any more.
const fn after_release(recv_finished: bool, context: Context) -> AfterFlush {
    match (recv_finished, context.half_close, context.unread) {
        (true, _, _) => AfterFlush::Done,
        (false, false, _) => AfterFlush::Close,
        (false, true, true) => AfterFlush::Stop,
        (false, true, false) => AfterFlush::AwaitFinish,
    }
}

const fn after_flush(then: AfterFlush) -> Step {
    match then {
        AfterFlush::AwaitFinish => Step::To(Phase::Lingering(Linger::AwaitFinish)),
        AfterFlush::Stop => retire(Cause::Stopped, WireAction::Reset(ResetCode::STOPPED)),
        AfterFlush::Close => retire(Cause::Finished, WireAction::Close),
        AfterFlush::Done => retire(Cause::Finished, WireAction::Nothing),
        AfterFlush::Reset { cause, .. } => retire(cause, WireAction::KeptReset),
    }
}

fn remote_lingering(linger: Linger, signal: RemoteSignal) -> Result<Step, LifecycleViolation> {
    let to = |linger| Ok(Step::To(Phase::Lingering(linger)));
    match (signal, linger) {
        (RemoteSignal::Opened, _) => Err(LifecycleViolation::UnexpectedOpened),
        (RemoteSignal::Reset, _) => Ok(retire(Cause::RemoteReset, WireAction::Echo)),
        (RemoteSignal::Eof, _) => Ok(end_complete(Cause::RemoteClosed, WireAction::Echo)),
        (RemoteSignal::Data | RemoteSignal::Finish, Linger::Flush(AfterFlush::Done)) => {
            Err(LifecycleViolation::AfterFinish)
        }
        // The application does not read any more, and its reset follows soon.
        (RemoteSignal::Data | RemoteSignal::Finish, Linger::Flush(AfterFlush::Reset { .. })) => {
            Ok(Step::Stay)
        }
        (RemoteSignal::Data, Linger::Flush(AfterFlush::AwaitFinish)) => {
            to(Linger::Flush(AfterFlush::Stop))
        }
        (RemoteSignal::Data, Linger::AwaitFinish) => Ok(after_flush(AfterFlush::Stop)),
        (RemoteSignal::Finish, Linger::Flush(_)) => to(Linger::Flush(AfterFlush::Done)),
        (RemoteSignal::Finish, Linger::AwaitFinish) => {
            Ok(end_complete(Cause::Finished, WireAction::Nothing))
        }
        (RemoteSignal::Data, Linger::Flush(_)) => Ok(Step::Stay),
    }
}

fn session_lingering(linger: Linger, signal: SessionSignal) -> Step {
    match (signal, linger) {
        (SessionSignal::Flushed, Linger::Flush(then)) => after_flush(then),
        (SessionSignal::Deadline, Linger::Flush(AfterFlush::Reset { .. })) => {
            retire(Cause::LingerTimeout, WireAction::KeptReset)
        }
        (SessionSignal::Deadline, _) => {
            retire(Cause::LingerTimeout, WireAction::Reset(ResetCode::STALLED))
        }
        (SessionSignal::NotListed, _) => retire(Cause::NotListed, WireAction::Nothing),
        (SessionSignal::SessionEnded, _) => retire(Cause::SessionEnded, WireAction::Nothing),
        _ => Step::Stay,
    }
}

fn command_ended(cause: Cause, complete: bool, command: Command) -> Result<Step, Misuse> {
    match command {
        // The bytes written last may not have arrived.
        Command::Finish if !complete => Err(Misuse),
        Command::Finish => Ok(Step::Stay),
        Command::Release | Command::Reset(_) => Ok(retire(cause, WireAction::Nothing)),
        Command::Accept | Command::Refuse(_) => Err(Misuse),
    }
}
