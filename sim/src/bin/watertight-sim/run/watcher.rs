//! Progress of a run: a bar or log lines, saved results, and the interrupt.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use watertight_sim::campaign::{Progress, Results};

use super::files::write_results;
use crate::cli::RunArgs;

/// The interval of lines in a log, where no progress bar is shown.
const LINE: Duration = Duration::from_secs(10);

/// How often the results are written, so that a run that is killed has lost little.
const WRITE: Duration = Duration::from_secs(10);

/// Shows how far a run is, keeps what it has, and ends it.
pub(super) struct Watcher {
    bar: Option<ProgressBar>,
    time: Option<Duration>,
    max_failures: usize,
    interrupted: Arc<AtomicBool>,
    path: PathBuf,
    began: Instant,
    schedules_before: u64,
    last_line: Instant,
    last_write: Instant,
}

impl Watcher {
    pub(super) fn new(
        arguments: &RunArgs,
        results: &Results,
        path: PathBuf,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let now = Instant::now();
        Self {
            bar: stderr().is_terminal().then(|| bar(results.plan.length())),
            time: arguments.time,
            max_failures: arguments.max_failures as usize,
            interrupted,
            path,
            began: now,
            schedules_before: results.tally.schedules,
            last_line: now,
            last_write: now,
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
    fn message(&self, results: &Results) -> String {
        let done = results.tally.schedules - self.schedules_before;
        let rate = done as f64 / self.began.elapsed().as_secs_f64().max(f64::EPSILON);
        let rarest = results.tally.rarest(results.plan.world);
        let rarest = rarest.map_or_else(String::new, |(situation, schedules)| {
            format!(", rarest: {situation} ({schedules})")
        });
        format!("{rate:.0} a second, {} failed{rarest}", results.failures.len())
    }
}

impl Progress for Watcher {
    fn tick(&mut self, results: &Results) {
        if let Some(bar) = &self.bar {
            bar.set_position(results.tally.schedules);
            bar.set_message(self.message(results));
        } else if self.last_line.elapsed() >= LINE {
            self.last_line = Instant::now();
            eprintln!("{} schedules, {}", results.tally.schedules, self.message(results));
        }
        if self.last_write.elapsed() >= WRITE {
            self.last_write = Instant::now();
            // The last write, which matters, reports the error.
            write_results(&self.path, results).ok();
        }
    }

    fn is_over(&self, results: &Results) -> bool {
        results.failures.len() >= self.max_failures
            || self.interrupted.load(Ordering::Relaxed)
            || self.time.is_some_and(|time| results.took >= time)
    }
}

fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{wide_bar} {pos}/{len}, {eta} left\n{msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} in {elapsed}\n{msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
