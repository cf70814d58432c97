//! The ends of all states. What an end does depends on itself, the time and what it meets, not on
//! the remote: so its steps are remembered, and each end is checked when it is met first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watertight_core::Instant;

use super::action::{Command, Deed};
use super::end::End;
use super::pipe::{Item, Parcel};
use super::print::{Print, print};
use super::shards::Cache;

/// Ends that are remembered in each generation: an end takes 6 KB.
const ENDS: usize = 100_000;

/// An end has about a dozen steps.
const OUTCOMES: usize = 12 * ENDS;

/// An end with its fingerprints. States share ends.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) end: End,
    /// Of the whole end.
    print: Print,
    /// Of what the rest of the state can meet of it.
    pub(super) matters: Print,
}

impl Printed {
    fn new(end: End) -> Self {
        let print = print(&end);
        let matters = if end.is_at_rest() { print_of_rest(&end) } else { print };
        Self { end, print, matters }
    }
}

/// An end that does nothing any more differs from another one only in what the remote's bytes
/// are compared with.
fn print_of_rest(end: &End) -> Print {
    let sent = end.app.iter().map(|(id, handle)| (id, handle.wrote, handle.finished));
    print(&(end.side, sent.collect::<Vec<_>>()))
}

/// What an end does or meets.
#[derive(Clone, Debug, Hash)]
pub(super) enum Input {
    Command(Command),
    Transmit,
    Take(Parcel),
    Lose,
    Expire,
}

/// The end after that, and what it gives to the transport.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) end: Arc<Printed>,
    pub(super) parcel: Option<Parcel>,
}

#[derive(Debug)]
pub(super) struct Ends {
    ends: Cache<Arc<Printed>>,
    outcomes: Cache<Outcome>,
    parcels: Cache<Parcel>,
    met: AtomicUsize,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            ends: Cache::new(ENDS),
            outcomes: Cache::new(OUTCOMES),
            parcels: Cache::new(ENDS),
            met: AtomicUsize::new(0),
        }
    }
}

impl Ends {
    /// # Panics
    /// Something does not hold at the end after the step.
    pub(super) fn after(&self, end: &Printed, now: Instant, input: Input) -> Outcome {
        let step = print(&(end.print, now, &input));
        if let Some(outcome) = self.outcomes.get(step) {
            return outcome;
        }
        let mut next = end.end.clone();
        let item = meet(&mut next, now, input);
        let outcome = Outcome { end: self.share(next), parcel: item.map(|item| self.parcel(item)) };
        self.outcomes.insert(step, outcome.clone());
        outcome
    }

    /// The one end that is equal to this one.
    pub(super) fn share(&self, end: End) -> Arc<Printed> {
        let printed = Printed::new(end);
        if let Some(same) = self.ends.get(printed.print) {
            return same;
        }
        printed.end.check();
        self.met.fetch_add(1, Ordering::Relaxed);
        let printed = Arc::new(printed);
        self.ends.insert(printed.print, Arc::clone(&printed));
        printed
    }

    fn parcel(&self, item: Item) -> Parcel {
        let parcel = Parcel::new(item);
        self.parcels.get(parcel.print()).unwrap_or_else(|| {
            self.parcels.insert(parcel.print(), parcel.clone());
            parcel
        })
    }

    /// How many ends were checked.
    pub(super) fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }
}

fn meet(end: &mut End, now: Instant, input: Input) -> Option<Item> {
    match input {
        Input::Command(command) => perform(end, now, command),
        Input::Transmit => return end.transmit(now),
        Input::Take(parcel) => return end.take(now, parcel.item().clone()),
        Input::Lose => {
            end.lose(now);
            return Some(Item::End);
        }
        Input::Expire => end.expire(now),
    }
    None
}

fn perform(end: &mut End, now: Instant, command: Command) {
    match command {
        Command::Open => end.open(now),
        Command::Drain => end.drain(now),
        Command::Close => end.close(now),
        Command::Connection(id, deed) => match deed {
            Deed::Accept => end.accept(now, id),
            Deed::Refuse => end.refuse(now, id),
            Deed::Write => end.write(now, id),
            Deed::Read => end.read(now, id),
            Deed::Finish => end.finish(now, id),
            Deed::Reset => end.reset(now, id),
            Deed::Release => end.release(now, id),
        },
    }
}
