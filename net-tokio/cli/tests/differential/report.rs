//! The output of a run of the suite: conversations a minute, routes, deviations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::conversation::Conversation;
use crate::deviation::Deviation;

/// Counts of one run of the suite.
pub(crate) struct Report {
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    conversations: u64,
    routes: BTreeMap<&'static str, Played>,
    deviations: BTreeMap<Deviation, u64>,
    quiet_after: Option<Duration>,
}

/// The runs on a route.
#[derive(Default)]
struct Played {
    times: u64,
    /// What took longest, and how long.
    slowest: Option<(Duration, Conversation)>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), counts: Mutex::default() }
    }

    pub(crate) fn examined(&self) {
        self.with(|counts| counts.conversations += 1);
    }

    pub(crate) fn played(&self, route: &'static str, took: Duration, conversation: &Conversation) {
        self.with(|counts| {
            let played = counts.routes.entry(route).or_default();
            played.times += 1;
            if played.slowest.as_ref().is_none_or(|(longest, _)| *longest < took) {
                played.slowest = Some((took, conversation.clone()));
            }
        });
    }

    pub(crate) fn deviates(&self, deviation: Deviation) {
        self.with(|counts| *counts.deviations.entry(deviation).or_default() += 1);
    }

    /// How long after the last conversation the tunnels had no connection any more.
    pub(crate) fn quiet_after(&self, time: Duration) {
        self.with(|counts| counts.quiet_after = Some(time));
    }

    fn with(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = self.started.elapsed();
        let played: u64 = counts.routes.values().map(|played| played.times).sum();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let a_minute = (played as f64 / elapsed.as_secs_f64() * 60.0) as u64;
        writeln!(
            f,
            "{} conversations in {:.1} s, played {played} times: {a_minute} a minute",
            counts.conversations,
            elapsed.as_secs_f64()
        )?;
        for (route, Played { times, slowest }) in &counts.routes {
            write!(f, "  {route:<16}{times:>9}")?;
            match slowest {
                Some((took, slowest)) => {
                    writeln!(f, "  at most {:.1} s: {slowest}", took.as_secs_f64())?
                }
                None => writeln!(f)?,
            }
        }
        if let Some(time) = counts.quiet_after {
            writeln!(f, "No connection was left {:.1} s later.", time.as_secs_f64())?;
        }
        f.write_str("Deviations by design:")?;
        for deviation in Deviation::ALL {
            let times = counts.deviations.get(&deviation).unwrap_or(&0);
            write!(f, "\n  {times:>9}  {}: {}", deviation.name(), deviation.reason())?;
        }
        Ok(())
    }
}
