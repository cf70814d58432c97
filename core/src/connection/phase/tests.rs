//! The whole lifecycle table, every signal in every phase, as a snapshot: a change of the table
//! shows which cells it changes.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{Context, Early, Linger, Phase, RecvHalf, SendHalf, Signal, Step, Tell, Then};
use crate::ledger::Cause;
use crate::wire::ResetCode;

/// Everything from `first` on, each one found from the one before it.
fn all<T: Copy>(first: T, next: impl Fn(T) -> Option<T>) -> Vec<T> {
    core::iter::successors(Some(first), |item| next(*item)).collect()
}

// The functions below have no wildcard: a variant that is added must be given its place here.

fn early() -> Vec<Early> {
    all(Early::Open, |early| match early {
        Early::Open => Some(Early::Finished),
        Early::Finished => Some(Early::Over),
        Early::Over => None,
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

fn then() -> Vec<Then> {
    all(Then::Await, |then| match then {
        Then::Await => Some(Then::Stop),
        Then::Stop => Some(Then::Close),
        Then::Close => Some(Then::Done),
        Then::Done => Some(Then::Reset { cause: Cause::Aborted, finished: false }),
        Then::Reset { .. } => None,
    })
}

fn linger() -> Vec<Linger> {
    all(Linger::Flush(Then::Await), |linger| match linger {
        Linger::Flush(then) => {
            Some(after(&self::then(), &then).map_or(Linger::Await, Linger::Flush))
        }
        Linger::Await => None,
    })
}

fn after<T: Copy + PartialEq>(all: &[T], item: &T) -> Option<T> {
    let place = all.iter().position(|other| other == item)?;
    all.get(place + 1).copied()
}

/// Every phase, by kind of phase.
fn phases() -> Vec<Phase> {
    let kinds = all(Phase::Opening, |phase| match phase {
        Phase::Opening => Some(Phase::Dialing(Early::Open)),
        Phase::Dialing(_) => Some(Phase::OPEN),
        Phase::Open { .. } => Some(Phase::Lingering(Linger::Await)),
        Phase::Lingering(_) => Some(Phase::Over { cause: Cause::PeerReset, clean: false }),
        Phase::Over { .. } => None,
    });
    kinds.into_iter().flat_map(of_its_kind).collect()
}

fn of_its_kind(kind: Phase) -> Vec<Phase> {
    match kind {
        Phase::Opening => Vec::from([Phase::Opening]),
        Phase::Dialing(_) => early().into_iter().map(Phase::Dialing).collect(),
        Phase::Open { .. } => {
            let halves = |send| recv().into_iter().map(move |recv| Phase::Open { send, recv });
            send().into_iter().flat_map(halves).collect()
        }
        Phase::Lingering(_) => linger().into_iter().map(Phase::Lingering).collect(),
        Phase::Over { cause, .. } => {
            [false, true].into_iter().map(|clean| Phase::Over { cause, clean }).collect()
        }
    }
}

fn signals() -> Vec<Signal> {
    let code = ResetCode::DIAL_FAILED;
    all(Signal::Opened, |signal| match signal {
        Signal::Opened => Some(Signal::Data),
        Signal::Data => Some(Signal::Finish),
        Signal::Finish => Some(Signal::Reset),
        Signal::Reset => Some(Signal::Eof),
        Signal::Eof => Some(Signal::Overrun),
        Signal::Overrun => Some(Signal::Accept),
        Signal::Accept => Some(Signal::Refuse(code)),
        Signal::Refuse(_) => Some(Signal::FinishWrite),
        Signal::FinishWrite => Some(Signal::Abort(code)),
        Signal::Abort(_) => Some(Signal::Release),
        Signal::Release => Some(Signal::Flushed),
        Signal::Flushed => Some(Signal::Drained),
        Signal::Drained => Some(Signal::Deadline),
        Signal::Deadline => Some(Signal::NotListed),
        Signal::NotListed => Some(Signal::NotTaken),
        Signal::NotTaken => Some(Signal::SessionEnded),
        Signal::SessionEnded => None,
    })
}

fn phase_name(phase: Phase) -> String {
    match phase {
        Phase::Opening => "Opening".to_string(),
        Phase::Dialing(early) => format!("Dialing {early:?}"),
        Phase::Open { send, recv } => format!("Open send {send:?} recv {recv:?}"),
        Phase::Lingering(Linger::Flush(Then::Reset { .. })) => "Lingering Flush Reset".to_string(),
        Phase::Lingering(Linger::Flush(then)) => format!("Lingering Flush {then:?}"),
        Phase::Lingering(Linger::Await) => "Lingering Await".to_string(),
        Phase::Over { clean: true, .. } => "Over clean".to_string(),
        Phase::Over { clean: false, .. } => "Over cut".to_string(),
    }
}

fn signal_name(signal: Signal) -> String {
    match signal {
        Signal::Refuse(_) => "Refuse".to_string(),
        Signal::Abort(_) => "Abort".to_string(),
        signal => format!("{signal:?}"),
    }
}

fn step_name(from: Phase, step: Step) -> String {
    match step {
        Step::Stay => "·".to_string(),
        Step::To(phase) if phase == from => "→ itself".to_string(),
        Step::To(phase) => format!("→ {}", phase_name(phase)),
        Step::End { cause, clean, tell } => {
            let clean = if clean { "clean" } else { "cut" };
            format!("end {cause} {clean}{}", tell_name(tell))
        }
        Step::ResetAfterFlush { cause, code, finished } => {
            let finish = if finished { " with its Finish" } else { "" };
            format!("flush{finish}, then {cause}: {code}")
        }
        Step::Retire { cause, tell } => format!("retire {cause}{}", tell_name(tell)),
        Step::Violation(violation) => format!("violation {violation:?}"),
        Step::Misuse => "misuse".to_string(),
    }
}

fn tell_name(tell: Tell) -> String {
    match tell {
        Tell::Nothing => String::new(),
        Tell::Reset(code) => format!(", tell reset: {code}"),
        Tell::KeptReset => ", tell the kept reset".to_string(),
        Tell::Close => ", tell close".to_string(),
        Tell::Echo => ", tell echo".to_string(),
    }
}

/// The cells of a phase and a signal, one for each context; those that are the same, once.
fn cells(phase: Phase, signal: Signal) -> String {
    let cell = |half_close, unread, queued| {
        step_name(phase, phase.step(signal, Context { half_close, unread, queued }))
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
        format!("extended: {extended}\n{:15}base:     {base}", "")
    }
}

#[test]
#[cfg_attr(miri, ignore = "finds its snapshot by asking cargo")]
fn every_signal_in_every_phase() {
    let mut table = String::new();
    for phase in phases() {
        table += &format!("{}\n", phase_name(phase));
        for signal in signals() {
            table += &format!("  {:<13}{}\n", signal_name(signal), cells(phase, signal));
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
