//! The breadth-first search: level by level, so that a broken invariant is found on a shortest path, and a
//! bound on the length of paths leaves nothing out. An invariant that only settling shows may break later
//! than on a shortest one, because most levels are too large for all of their states to be settled.
//!
//! Stateright 0.31 does neither with more than one thread: a state that is met on a longer path first is not
//! continued from when a shorter one leads to it. Of the 1,206,398 states that the base dialect has within 8
//! steps, it visits 1,206,371 in one run. With one thread it visits all, in the same time and memory, but
//! keeps of a broken invariant only that it is broken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use watertight_core::testkit::Side;

use super::action::Action;
use super::bounds::Bounds;
use super::ends::Ends;
use super::panics::watch;
use super::path::path;
use super::report::{Broken, Progress, Report};
use super::shards::{Print, Visited, print};
use super::situations::Situations;
use super::state::State;

/// States that a thread takes at a time.
const BATCH: usize = 256;

/// Of so many new states, one is settled; all of them are after a level of few.
const SETTLED: Print = 32;

/// A level with less than this has few.
const FEW: usize = 2000;

/// A state to continue from, with its fingerprint.
type Node = (Print, State);

/// States that paths of one length lead to, and what is to be done with those after them.
struct Level {
    places: Mutex<Vec<Node>>,
    /// Of so many, one is settled.
    settled: Print,
    /// Whether the search continues from them.
    keep: bool,
}

/// A step after which something does not hold.
type Fault = (Print, Action, String);

/// Explores everything within the bounds.
///
/// # Errors
/// Something does not hold in a state.
pub fn explore(
    bounds: &Bounds,
    threads: usize,
    progress: impl Fn(&Progress),
) -> Result<Report, Box<Broken>> {
    let search = Search::new(bounds);
    search.run(threads, progress)
}

pub(super) struct Search<'a> {
    bounds: &'a Bounds,
    began: Instant,
    /// Every state, with one from which a step leads to it.
    pub(super) visited: Visited,
    ends: Ends,
    transitions: AtomicU64,
    settled: AtomicU64,
    situations: Situations,
    fault: Mutex<Option<Fault>>,
}

impl<'a> Search<'a> {
    fn new(bounds: &'a Bounds) -> Self {
        Self {
            bounds,
            began: Instant::now(),
            visited: Visited::default(),
            ends: Ends::default(),
            transitions: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            situations: Situations::default(),
            fault: Mutex::new(None),
        }
    }

    fn run(self, threads: usize, progress: impl Fn(&Progress)) -> Result<Report, Box<Broken>> {
        let mut level = self.roots();
        let (mut depth, mut new) = (0, level.len());
        while !level.is_empty() && depth < self.bounds.steps {
            depth += 1;
            let before = self.visited.len();
            level = self.next(level, threads, depth < self.bounds.steps);
            if let Some(fault) = self.take_fault() {
                return Err(self.broken(fault));
            }
            new = self.visited.len() - before;
            progress(&self.progress(depth, new));
        }
        Ok(Report {
            progress: self.progress(depth, new),
            whole: depth < self.bounds.steps,
            reached: self.situations.names(),
        })
    }

    fn roots(&self) -> Vec<Node> {
        let roots = State::roots(&self.ends, self.bounds).into_iter();
        let roots = roots.map(|state| (print(&state), state));
        roots.filter(|(root, _)| self.visited.insert(*root, *root)).collect()
    }

    /// All states of the next level, if they are to be kept.
    fn next(&self, level: Vec<Node>, threads: usize, keep: bool) -> Vec<Node> {
        let settled = if level.len() < FEW { 1 } else { SETTLED };
        let level = Level { places: Mutex::new(level), settled, keep };
        thread::scope(|scope| {
            let work = || scope.spawn(|| self.expand(&level));
            let workers: Vec<_> = (0..threads.max(1)).map(|_| work()).collect();
            let found = workers.into_iter().flat_map(|worker| match worker.join() {
                Ok(found) => found,
                // A bug of the check itself.
                Err(panic) => std::panic::resume_unwind(panic),
            });
            found.collect()
        })
    }

    fn expand(&self, level: &Level) -> Vec<Node> {
        let mut found = Vec::new();
        loop {
            let batch = batch(&level.places);
            if batch.is_empty() || self.is_broken() {
                return found;
            }
            for place in &batch {
                self.successors(level, place, |next| {
                    if level.keep {
                        found.push(next);
                    }
                });
            }
        }
    }

    fn successors(&self, level: &Level, place: &Node, mut found: impl FnMut(Node)) {
        let (from, state) = place;
        let actions = state.actions(self.bounds);
        self.transitions.fetch_add(actions.len() as u64, Ordering::Relaxed);
        for action in actions {
            match watch(|| self.step(level, place, action)) {
                Ok(next) => next.into_iter().for_each(&mut found),
                Err(what) => return self.report((*from, action, what)),
            }
        }
    }

    /// The state after a step, if it is a new one, with all that must hold in it.
    fn step(&self, level: &Level, (from, state): &Node, action: Action) -> Option<Node> {
        let mut next = state.clone();
        let changed = next.act(&self.ends, action);
        let place = print(&next);
        let new = self.visited.insert(place, *from);
        // Ends at rest are distinguished by less than is checked of them.
        if new || changed.is_some_and(|side| next.end(side).is_at_rest()) {
            next.check();
        }
        if !new {
            return None;
        }
        changed.into_iter().for_each(|side| self.situations.note(next.end(side)));
        if place.is_multiple_of(level.settled) {
            let even = (place / SETTLED).is_multiple_of(2);
            let first = if even { Side::Agent } else { Side::Server };
            self.settled.fetch_add(1, Ordering::Relaxed);
            let rest = watch(|| next.clone().settle(&self.ends, first));
            rest.unwrap_or_else(|what| panic!("on the way to rest from there, {what}"));
        }
        Some((place, next))
    }

    fn report(&self, fault: Fault) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    fn is_broken(&self) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn broken(&self, (from, action, what): Fault) -> Box<Broken> {
        let path = path(self.bounds, &self.ends, &self.visited, from, action);
        Box::new(Broken { what, path, states: self.visited.len() })
    }

    fn progress(&self, depth: u16, new: usize) -> Progress {
        Progress {
            depth,
            new,
            states: self.visited.len(),
            ends: self.ends.met(),
            settled: self.settled.load(Ordering::Relaxed),
            transitions: self.transitions.load(Ordering::Relaxed),
            time: self.began.elapsed(),
        }
    }
}

fn batch(places: &Mutex<Vec<Node>>) -> Vec<Node> {
    let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
    let rest = places.len().saturating_sub(BATCH);
    places.split_off(rest)
}
