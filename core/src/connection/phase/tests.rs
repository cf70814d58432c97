//! The whole lifecycle table, every signal in every phase, as a snapshot: a change of the table
//! shows which cells it changes.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{
    AfterFlush, Command, Context, Early, LifecycleViolation, Linger, Misuse, Phase, RecvHalf,
    RemoteSignal, SendHalf, SessionSignal, Step, WireAction,
};
use crate::ledger::Cause;
use crate::wire::ResetCode;

/// Everything from `first` on, each one found from the one before it.
fn all<T: Copy>(first: T, next: impl Fn(T) -> Option<T>) -> Vec<T> {
    core::iter::successors(Some(first), |item| next(*item)).collect()
}

// The functions below have no wildcard: a variant that is added must be added here.

fn early() -> Vec<Early> {
    all(Early::Open, |early| match early {
        Early::Open => Some(Early::Finished),
        Early::Finished => Some(Early::Ended),
        Early::Ended => None,
    })
}

fn send() -> Vec<SendHalf> {
    all(SendHalf::Open, |send| match send {
        SendHalf::Open => Some(SendHalf::Finishing),
        SendHalf::Finishing => Some(SendHalf::Finished),
        SendHalf::Finished => None,
    })
}

fn recv() -> Vec<RecvHalf> {
    all(RecvHalf::Open, |recv| match recv {
        RecvHalf::Open => Some(RecvHalf::Finished),
        RecvHalf::Finished => Some(RecvHalf::Drained),
        RecvHalf::Drained => None,
    })
}

fn then() -> Vec<AfterFlush> {
    all(AfterFlush::AwaitFinish, |then| match then {
        AfterFlush::AwaitFinish => Some(AfterFlush::Stop),
        AfterFlush::Stop => Some(AfterFlush::Close),
        AfterFlush::Close => Some(AfterFlush::Done),
        AfterFlush::Done => Some(AfterFlush::Reset { cause: Cause::Aborted, finished: false }),
        AfterFlush::Reset { .. } => None,
    })
}

fn linger() -> Vec<Linger> {
    all(Linger::Flush(AfterFlush::AwaitFinish), |linger| match linger {
        Linger::Flush(then) => {
            Some(after(&self::then(), &then).map_or(Linger::AwaitFinish, Linger::Flush))
        }
        Linger::AwaitFinish => None,
    })
}

fn after<T: Copy + PartialEq>(all: &[T], item: &T) -> Option<T> {
    let place = all.iter().position(|other| other == item)?;
    all.get(place + 1).copied()
}

/// Every phase, by kind of phase.
fn phases() -> Vec<Phase> {
    let kinds = all(Phase::PendingOutbound, |phase| match phase {
        Phase::PendingOutbound => Some(Phase::PendingInbound(Early::Open)),
        Phase::PendingInbound(_) => Some(Phase::OPEN),
        Phase::Open { .. } => Some(Phase::Lingering(Linger::AwaitFinish)),
        Phase::Lingering(_) => Some(Phase::Ended { cause: Cause::RemoteReset, complete: false }),
        Phase::Ended { .. } => None,
    });
    kinds.into_iter().flat_map(of_its_kind).collect()
}

fn of_its_kind(kind: Phase) -> Vec<Phase> {
    match kind {
        Phase::PendingOutbound => Vec::from([Phase::PendingOutbound]),
        Phase::PendingInbound(_) => early().into_iter().map(Phase::PendingInbound).collect(),
        Phase::Open { .. } => {
            let halves = |send| recv().into_iter().map(move |recv| Phase::Open { send, recv });
            send().into_iter().flat_map(halves).collect()
        }
        Phase::Lingering(_) => linger().into_iter().map(Phase::Lingering).collect(),
        Phase::Ended { cause, .. } => {
            [false, true].into_iter().map(|complete| Phase::Ended { cause, complete }).collect()
        }
    }
}

/// A signal of any of the three kinds.
#[derive(Clone, Copy, Debug)]
enum Signal {
    Remote(RemoteSignal),
    Command(Command),
    Session(SessionSignal),
}

fn remote_signals() -> Vec<RemoteSignal> {
    all(RemoteSignal::Opened, |signal| match signal {
        RemoteSignal::Opened => Some(RemoteSignal::Data),
        RemoteSignal::Data => Some(RemoteSignal::Finish),
        RemoteSignal::Finish => Some(RemoteSignal::Reset),
        RemoteSignal::Reset => Some(RemoteSignal::Eof),
        RemoteSignal::Eof => None,
    })
}

fn commands() -> Vec<Command> {
    let code = ResetCode::DIAL_FAILED;
    all(Command::Accept, |command| match command {
        Command::Accept => Some(Command::Refuse(code)),
        Command::Refuse(_) => Some(Command::Finish),
        Command::Finish => Some(Command::Reset(code)),
        Command::Reset(_) => Some(Command::Release),
        Command::Release => None,
    })
}

fn session_signals() -> Vec<SessionSignal> {
    all(SessionSignal::Flushed, |signal| match signal {
        SessionSignal::Flushed => Some(SessionSignal::Drained),
        SessionSignal::Drained => Some(SessionSignal::Deadline),
        SessionSignal::Deadline => Some(SessionSignal::Overrun),
        SessionSignal::Overrun => Some(SessionSignal::NotListed),
        SessionSignal::NotListed => Some(SessionSignal::NotTaken),
        SessionSignal::NotTaken => Some(SessionSignal::SessionEnded),
        SessionSignal::SessionEnded => None,
    })
}

fn signals() -> Vec<Signal> {
    let remote = remote_signals().into_iter().map(Signal::Remote);
    let commands = commands().into_iter().map(Signal::Command);
    let session = session_signals().into_iter().map(Signal::Session);
    remote.chain(commands).chain(session).collect()
}

fn phase_name(phase: Phase) -> String {
    match phase {
        Phase::PendingOutbound => "PendingOutbound".to_string(),
        Phase::PendingInbound(early) => format!("PendingInbound {early:?}"),
        Phase::Open { send, recv } => format!("Open send {send:?} recv {recv:?}"),
        Phase::Lingering(Linger::Flush(AfterFlush::Reset { .. })) => {
            "Lingering Flush Reset".to_string()
        }
        Phase::Lingering(Linger::Flush(then)) => format!("Lingering Flush {then:?}"),
        Phase::Lingering(Linger::AwaitFinish) => "Lingering AwaitFinish".to_string(),
        Phase::Ended { complete: true, .. } => "Ended complete".to_string(),
        Phase::Ended { complete: false, .. } => "Ended cut".to_string(),
    }
}

fn signal_name(signal: Signal) -> String {
    match signal {
        Signal::Remote(signal) => format!("remote {signal:?}"),
        Signal::Command(Command::Refuse(_)) => "command Refuse".to_string(),
        Signal::Command(Command::Reset(_)) => "command Reset".to_string(),
        Signal::Command(command) => format!("command {command:?}"),
        Signal::Session(signal) => format!("session {signal:?}"),
    }
}

fn step_name(from: Phase, step: Step) -> String {
    match step {
        Step::Stay => "·".to_string(),
        Step::To(phase) if phase == from => "→ itself".to_string(),
        Step::To(phase) => format!("→ {}", phase_name(phase)),
        Step::End { cause, complete, wire } => {
            let complete = if complete { "complete" } else { "cut" };
            format!("end {cause} {complete}{}", wire_name(wire))
        }
        Step::ResetAfterFlush { cause, code, finished } => {
            let finish = if finished { " with its Finish" } else { "" };
            format!("flush{finish}, then {cause}: {code}")
        }
        Step::Retire { cause, wire } => format!("retire {cause}{}", wire_name(wire)),
    }
}

fn outcome_name(phase: Phase, signal: Signal, context: Context) -> String {
    let violation = |violation: LifecycleViolation| format!("violation {violation:?}");
    let misuse = |Misuse| "misuse".to_string();
    let name = |step| step_name(phase, step);
    match signal {
        Signal::Remote(signal) => phase.on_remote(signal, context).map_or_else(violation, name),
        Signal::Command(command) => phase.on_command(command, context).map_or_else(misuse, name),
        Signal::Session(signal) => name(phase.on_session(signal)),
    }
}

fn wire_name(wire: WireAction) -> String {
    match wire {
        WireAction::Nothing => String::new(),
        WireAction::Reset(code) => format!(", send reset: {code}"),
        WireAction::KeptReset => ", send the kept reset".to_string(),
        WireAction::Close => ", send close".to_string(),
        WireAction::Echo => ", send echo".to_string(),
    }
}

/// The cells of a phase and a signal, one for each context; equal ones once.
fn cells(phase: Phase, signal: Signal) -> String {
    let cell = |half_close, unread, queued| {
        outcome_name(phase, signal, Context { half_close, unread, queued })
    };
    let read_or_not = |half_close, queued| {
        let (read, unread) = (cell(half_close, false, queued), cell(half_close, true, queued));
        if read == unread { read } else { format!("read: {read} | unread: {unread}") }
    };
    let dialect = |half_close| {
        let (sent, queued) = (read_or_not(half_close, false), read_or_not(half_close, true));
        if sent == queued { sent } else { format!("sent: {sent} | queued: {queued}") }
    };
    let (extended, base) = (dialect(true), dialect(false));
    if extended == base {
        extended
    } else {
        format!("extended: {extended}\n{:23}base:     {base}", "")
    }
}

#[test]
#[cfg_attr(miri, ignore = "finds its snapshot by asking cargo")]
fn every_signal_in_every_phase() {
    let mut table = String::new();
    for phase in phases() {
        table += &format!("{}\n", phase_name(phase));
        for signal in signals() {
            table += &format!("  {:<21}{}\n", signal_name(signal), cells(phase, signal));
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

#[test]
fn no_phase_and_no_signal_is_listed_twice() {
    let names: Vec<_> = phases().into_iter().map(phase_name).collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert_eq!(names.len(), 1 + 3 + 9 + 6 + 2);
}
