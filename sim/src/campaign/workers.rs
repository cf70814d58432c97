//! The threads of a run. Blocks of seeds keep its result independent of their number.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::plan::Plan;
use super::results::{FailedSchedule, Results, Sample, Tally};
use crate::{Outcome, Schedule};

/// How often [`Progress::tick`] is called at least.
const TICK: Duration = Duration::from_millis(200);

/// Who watches a run, and can end it.
pub trait Progress {
    /// How far it is. Called several times a second.
    fn tick(&mut self, results: &Results);

    /// Whether it ends here: blocks that have begun are finished.
    fn is_over(&self, results: &Results) -> bool;
}

/// How one schedule is run.
pub type Play<'a> = dyn Fn(&Schedule) -> Outcome + Sync + 'a;

/// Runs the rest of `results`, on as many threads as it has, until nothing is left or the watcher has seen
/// enough.
pub fn run(results: &mut Results, play: &Play<'_>, progress: &mut dyn Progress) {
    let plan = results.plan.clone();
    let next = AtomicU64::new(results.blocks_done);
    let stop = AtomicBool::new(false);
    let (done, blocks) = mpsc::channel();
    let mut collector = Collector::new(results);
    std::thread::scope(|scope| {
        for _ in 0..collector.results.threads {
            let (done, plan, next, stop) = (done.clone(), &plan, &next, &stop);
            scope.spawn(move || work(plan, play, next, stop, &done));
        }
        drop(done);
        loop {
            match blocks.recv_timeout(TICK) {
                Ok(block) => collector.take(block),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            collector.clock();
            progress.tick(collector.results);
            if progress.is_over(collector.results) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    collector.finish();
    collector.results.complete = plan.block(collector.results.blocks_done).is_none();
    progress.tick(collector.results);
}

/// What became of one block.
struct Block {
    turn: u64,
    tally: Tally,
    failures: Vec<FailedSchedule>,
}

fn work(
    plan: &Plan,
    play: &Play<'_>,
    next: &AtomicU64,
    stop: &AtomicBool,
    done: &mpsc::Sender<Block>,
) {
    while !stop.load(Ordering::Relaxed) {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let Some(seeds) = plan.block(turn) else { return };
        let (tally, failures) = run_block(plan, play, seeds);
        // The collector is there for as long as there are workers.
        if done.send(Block { turn, tally, failures }).is_err() {
            return;
        }
    }
}

fn run_block(plan: &Plan, play: &Play<'_>, seeds: Range<u64>) -> (Tally, Vec<FailedSchedule>) {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for seed in seeds {
        let schedule = Schedule::generate(seed, plan.world);
        let outcome = play(&schedule);
        tally.count(&schedule, &outcome);
        failures.extend(outcome.violation.map(|violation| FailedSchedule { seed, violation }));
    }
    (tally, failures)
}

/// Puts blocks together in their order, so that the finished part is always the beginning of the run: an
/// interrupted run can be resumed, and the same run gives the same results.
struct Collector<'a> {
    results: &'a mut Results,
    early: BTreeMap<u64, Block>,
    before: Duration,
    started: Instant,
    pace: Pace,
}

impl<'a> Collector<'a> {
    fn new(results: &'a mut Results) -> Self {
        let before = results.took;
        let pace = Pace::after(before);
        Self { results, early: BTreeMap::new(), before, started: Instant::now(), pace }
    }

    fn take(&mut self, block: Block) {
        self.early.insert(block.turn, block);
        while let Some(block) = self.early.remove(&self.results.blocks_done) {
            self.results.blocks_done += 1;
            self.results.tally.absorb(&block.tally);
            self.results.failures.extend(block.failures);
        }
    }

    fn clock(&mut self) {
        let results = &mut *self.results;
        results.took = self.before + self.started.elapsed();
        let sample = Sample { at: results.took, schedules: results.tally.schedules };
        self.pace.note(&mut results.samples, sample);
    }

    /// Nothing more is done.
    fn finish(&mut self) {
        let results = &mut *self.results;
        let sample = Sample { at: results.took, schedules: results.tally.schedules };
        self.pace.note_end(&mut results.samples, sample);
    }
}
