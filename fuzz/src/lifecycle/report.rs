//! Progress and result of a search, printed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How far a search has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The length of the longest paths so far.
    pub depth: u16,
    /// States that only paths of this length reach.
    pub new: usize,
    /// Distinct states.
    pub states: usize,
    /// Ends checked, with what their applications know: states are made of two.
    pub ends: usize,
    /// States from which everything was brought to rest.
    pub settled: u64,
    /// Steps taken.
    pub transitions: u64,
    /// How long it took.
    pub time: Duration,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { depth, new, states, ends, settled, transitions, time } = self;
        let seconds = time.as_secs_f64();
        write!(
            f,
            "depth {depth}: {states} states ({new} new, {settled} settled), {transitions} steps, \
             {ends} ends, {seconds:.1} s"
        )
    }
}

/// Everything within the bounds holds.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where the search came to.
    pub progress: Progress,
    /// Whether there are no longer paths.
    pub whole: bool,
    /// What some state was in.
    pub reached: BTreeSet<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.progress)?;
        let paths = if self.whole { "all paths" } else { "all paths of this length" };
        let reached: Vec<_> = self.reached.iter().map(String::as_str).collect();
        writeln!(f, "everything holds on {paths}; reached: {}", reached.join(", "))
    }
}

/// Something does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What, and where it was noticed.
    pub what: String,
    /// The path to it: the state that it begins in, then the steps.
    pub path: Vec<String>,
    /// Distinct states visited until then.
    pub states: usize,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken after {} states: {}", self.states, self.what)?;
        self.path.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

impl std::error::Error for Broken {}
