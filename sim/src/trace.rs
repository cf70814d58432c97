//! The trace of a run, recorded only on request.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::schedule::Host;

/// The trace of a run: the events of each host and the messages between them.
///
/// Clones write to the same trace. A trace that is off costs a comparison: texts are made only for a reader.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Arc<Mutex<Vec<Moment>>>>);

/// One line of a [`Trace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Virtual time since the start.
    pub at: Duration,
    /// Where it happened; `None` for the schedule itself.
    pub host: Option<Host>,
    /// Where it went, if it travels.
    pub to: Option<Host>,
    /// What.
    pub what: String,
}

impl Trace {
    /// A trace without a reader.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// A trace that is kept.
    #[must_use]
    pub fn on() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether it has a reader.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Something that the schedule does to the world.
    pub fn step<T: ToString>(&self, at: Duration, what: impl FnOnce() -> T) {
        self.push(at, None, None, what);
    }

    /// Something that happens at a host.
    pub fn note<T: ToString>(&self, at: Duration, host: Host, what: impl FnOnce() -> T) {
        self.push(at, Some(host), None, what);
    }

    /// Something that goes from a host to another.
    pub fn sent<T: ToString>(&self, at: Duration, from: Host, to: Host, what: impl FnOnce() -> T) {
        self.push(at, Some(from), Some(to), what);
    }

    /// Takes the trace so far.
    #[must_use]
    pub fn take(&self) -> Vec<Moment> {
        self.0.as_ref().map_or_else(Vec::new, |moments| {
            std::mem::take(&mut *moments.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }

    fn push<T: ToString>(
        &self,
        at: Duration,
        host: Option<Host>,
        to: Option<Host>,
        what: impl FnOnce() -> T,
    ) {
        if let Some(moments) = &self.0 {
            // The trace is not a part of the world whose heap is counted.
            allocation_counter::opt_out(|| {
                let moment = Moment { at, host, to, what: what().to_string() };
                moments.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
            });
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, host, to, what } = self;
        let micros = at.as_micros();
        write!(f, "{:>6}.{:03} ms  ", micros / 1000, micros % 1000)?;
        match (host, to) {
            (None, _) => write!(f, "** {what}"),
            (Some(host), None) => write!(f, "{host:<8}    {what}"),
            (Some(host), Some(to)) => write!(f, "{host:<8} -> {to:<8}  {what}"),
        }
    }
}
