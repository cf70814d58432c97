//! The output of the demo: a progress bar on a terminal, plain lines elsewhere; and its errors.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::services::Mismatch;

const MIB: u64 = 1 << 20;

/// Between two plain lines about the same step.
const LINE_EVERY: Duration = Duration::from_secs(1);

const BAR: &str = "  {bar:30} {percent:>3} %  {binary_bytes_per_sec}  {elapsed}";

/// Prints the steps with their numbers.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    steps: usize,
    begun: usize,
}

/// A step that runs.
#[derive(Debug)]
pub(super) struct Step {
    bar: ProgressBar,
    /// When to print the next plain line.
    line: Option<Instant>,
    total: u64,
}

impl Progress {
    pub(super) fn new(steps: usize) -> Self {
        Self { terminal: io::stdout().is_terminal(), steps, begun: 0 }
    }

    /// Begins a step of `total` bytes, or of another kind of units.
    pub(super) fn begin(&mut self, title: &str, total: u64) -> Step {
        self.begun += 1;
        print(&format!("{}/{} {title}", self.begun, self.steps));
        let bar = if self.terminal { bar(total) } else { ProgressBar::hidden() };
        let line = (!self.terminal).then(|| Instant::now() + LINE_EVERY);
        Step { bar, line, total }
    }
}

impl Step {
    /// How far it is.
    pub(super) fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        if let Some(line) = self.line.filter(|line| *line <= Instant::now()) {
            self.line = Some(line + LINE_EVERY);
            print(&format!("  … {} %", (done * 100).checked_div(self.total).unwrap_or(100)));
        }
    }

    /// Ends the step with what it has shown, in lines.
    pub(super) fn end(self, shown: &[String]) {
        self.bar.finish_and_clear();
        for line in shown {
            print(&format!("  {line}"));
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // The template is a constant; without it the bar has another look.
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    bar
}

pub(super) fn print(line: &str) {
    // Standard output may be closed; the exit code has the result.
    writeln!(io::stdout().lock(), "{line}").ok();
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    if bytes >= MIB { format!("{} MiB", bytes / MIB) } else { format!("{} KiB", bytes >> 10) }
}

/// A rate for people.
pub(super) fn rate(bytes: u64, time: Duration) -> String {
    #[allow(clippy::cast_precision_loss)] // Exact to 2^53.
    let rate = bytes as f64 / MIB as f64 / time.as_secs_f64();
    format!("{rate:.0} MiB/s")
}

/// A short time for people.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// The median and the 99th percentile for people.
pub(super) fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        millis(times.get(index).copied().unwrap_or_default())
    };
    format!("p50 {}, p99 {}", at(50), at(99))
}

/// A step that failed, and why.
#[derive(Debug)]
pub(super) struct StepError(String);

impl StepError {
    pub(super) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Mismatch> for StepError {
    fn from(Mismatch { bytes: (from, to) }: Mismatch) -> Self {
        Self(format!("bytes {from} to {to} differ from the sent ones"))
    }
}
