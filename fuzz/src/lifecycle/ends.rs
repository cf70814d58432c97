//! The ends of all states. What an end does depends on itself, the time and what it meets, not on
//! the remote: so its steps are remembered, and each end is checked when it is met first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watertight_core::Instant;
use watertight_core::session::OpenError;
use watertight_core::testkit::{Endpoint, Item, Side};

use super::action::{Call, Deed};
use super::bounds::{Bounds, DIAL, DRAIN, READ, WRITE};
use super::invariants::check_end;
use super::pipe::Parcel;
use super::shards::{Cache, Print, print};

/// Ends that are remembered in each generation: an end takes 6 KB.
const ENDS: usize = 100_000;

/// An end has about a dozen steps.
const OUTCOMES: usize = 12 * ENDS;

/// An end with its fingerprints. States share ends.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) end: Endpoint,
    /// Of the whole end.
    print: Print,
    /// Of what the rest of the state can meet of it.
    pub(super) matters: Print,
}

impl Printed {
    fn new(end: Endpoint) -> Self {
        let print = print(&end);
        let matters = if end.is_at_rest() { print_of_rest(&end) } else { print };
        Self { end, print, matters }
    }
}

/// An end that does nothing any more differs from another one only in what the remote's bytes
/// are compared with.
fn print_of_rest(end: &Endpoint) -> Print {
    let sent = end.app.iter().map(|(id, handle)| (id, handle.wrote, handle.finished));
    print(&(end.side, sent.collect::<Vec<_>>()))
}

/// What an end does or meets.
#[derive(Clone, Debug, Hash)]
pub(super) enum Input {
    Call(Call),
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
    pub(super) fn share(&self, end: Endpoint) -> Arc<Printed> {
        let printed = Printed::new(end);
        if let Some(same) = self.ends.get(printed.print) {
            return same;
        }
        check_end(&printed.end);
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

/// An end whose transport has just been established, with its first ping due.
pub(super) fn fresh(now: Instant, side: Side, bounds: &Bounds) -> Endpoint {
    let mut end = Endpoint::new(now, side, bounds.dialect, bounds.config());
    end.expire(now);
    end
}

fn meet(end: &mut Endpoint, now: Instant, input: Input) -> Option<Item> {
    match input {
        Input::Call(command) => perform(end, now, command),
        Input::Transmit => return end.transmit(now),
        Input::Take(parcel) => return end.receive(now, parcel.item().clone()),
        Input::Lose => {
            end.lose(now);
            return Some(Item::End);
        }
        Input::Expire => end.expire(now),
    }
    None
}

fn perform(end: &mut Endpoint, now: Instant, command: Call) {
    match command {
        Call::Open => match end.open(now, DIAL) {
            Ok(_) | Err(OpenError::TooManyConnections(_) | OpenError::TooManyDials(_)) => {}
            Err(error) => panic!("a dial fails: {error}"),
        },
        Call::Drain => end.drain(now, DRAIN),
        Call::Close => end.close(now),
        Call::Connection(id, deed) => match deed {
            Deed::Accept => end.accept(now, id),
            Deed::Refuse => end.refuse(now, id),
            Deed::Write => drop(end.write(now, id, WRITE.into())),
            Deed::Read => drop(end.read(now, id, READ)),
            Deed::Finish => end.finish(now, id),
            Deed::Reset => end.reset(now, id),
            Deed::Release => end.release(now, id),
        },
    }
}
