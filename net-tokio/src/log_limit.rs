//! Limits of the log lines that remotes can cause.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one kind in [`WITHIN`]. Enough to show what happens; a remote that causes them in a
/// loop must not fill a disk.
const MOST: u32 = 10;

/// Lines in [`WITHIN`] of all names together, for kinds with a limit for each name: enough for a
/// thousand clients that reconnect at once, and a bound for one that uses name after name.
const MOST_OF_ALL: u32 = 2000;
const _: () = assert!(MOST < MOST_OF_ALL, "one name cannot use up the limit of all");

/// Characters of a name.
const SHOWN: usize = 80;

/// Characters of a sentence.
const SHOWN_TEXT: usize = 300;

/// Names that are remembered before unused ones are removed.
const FEW: usize = 1024;

const WITHIN: Duration = Duration::from_secs(60);

/// Keeps remotes from flooding the log.
#[derive(Debug)]
pub(crate) struct LogLimit {
    most: u32,
    /// A limit that several share.
    all: Option<Arc<LogLimit>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl LogLimit {
    /// At most so many lines in [`WITHIN`].
    pub(crate) const fn new(most: u32) -> Self {
        let state = State { since: None, logged: 0, left_out: 0 };
        Self { most, all: None, state: Mutex::new(state) }
    }

    /// A limit that shares another one with others.
    fn of(all: &Arc<Self>) -> Self {
        Self { all: Some(Arc::clone(all)), ..Self::default() }
    }

    /// Whether one more line may be logged now; if so, the number of lines left out before it.
    pub(crate) fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now - since >= WITHIN) {
            state.since = Some(now);
            state.logged = 0;
        }
        if state.logged >= self.most {
            state.left_out += 1;
            return None;
        }
        let of_others = match &self.all {
            // The shared limit counts the lines that it leaves out.
            Some(all) => all.pass()?,
            None => 0,
        };
        state.logged += 1;
        Some(std::mem::take(&mut state.left_out) + of_others)
    }

    /// Whether it counts a line of the last minute.
    fn is_recent(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.since.is_some_and(|since| since.elapsed() < WITHIN)
    }
}

/// The number of lines left out, if there are any.
pub(crate) const fn some(left_out: u64) -> Option<u64> {
    if left_out == 0 { None } else { Some(left_out) }
}

/// The limits of remotes that have names, such as clients.
#[derive(Debug)]
pub(crate) struct LogLimits {
    named: Mutex<Named>,
    all: Arc<LogLimit>,
}

/// The limits of one name. They are remembered after a disconnect: connecting again does not reset
/// them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Lines about its sessions.
    pub(crate) sessions: LogLimit,
    /// Lines about its refused dials.
    pub(crate) dials: LogLimit,
}

#[derive(Debug, Default)]
struct Named {
    limits: BTreeMap<String, Arc<Limits>>,
    sweep: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { named: Mutex::default(), all: Arc::new(LogLimit::new(MOST_OF_ALL)) }
    }
}

impl LogLimits {
    pub(crate) fn of(&self, name: &str) -> Arc<Limits> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = named.limits.get(name) {
            return Arc::clone(known);
        }
        if named.limits.len() >= named.sweep.max(FEW) {
            let is_used = |limits: &Arc<Limits>| {
                let recent =
                    [&limits.sessions, &limits.dials].iter().any(|limit| limit.is_recent());
                Arc::strong_count(limits) > 1 || recent
            };
            named.limits.retain(|_, limits| is_used(limits));
            named.sweep = 2 * named.limits.len();
        }
        let [sessions, dials] = [(); 2].map(|()| LogLimit::of(&self.all));
        let limits = Arc::new(Limits { sessions, dials });
        named.limits.insert(name.to_string(), Arc::clone(&limits));
        limits
    }
}

/// A name chosen by an unauthenticated remote, cut for a log line.
pub(crate) fn shortened(name: &str) -> Cow<'_, str> {
    cut(name, SHOWN)
}

/// A text of an unauthenticated remote, cut for a log line.
pub(crate) fn shortened_text(text: &str) -> Cow<'_, str> {
    cut(text, SHOWN_TEXT)
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((length, _)) => Cow::Owned(format!("{}…", &text[..length])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connecting_again_does_not_reset_the_limit() {
        let limits = LogLimits::default();
        let lines = (0..1000).filter_map(|_| limits.of("edge-7").sessions.pass()).count();
        assert_eq!(lines, 10);
        assert_eq!(limits.of("lab").sessions.pass(), Some(0));
        for number in 0..10 * FEW {
            limits.of(&number.to_string()).dials.pass();
            tokio::time::advance(WITHIN / 100).await;
        }
        assert!(limits.named.lock().unwrap().limits.len() <= 2 * FEW);
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_do_not_fill_the_log() {
        let limits = LogLimits::default();
        let mut lines = (0..10_000).map(|number| limits.of(&number.to_string()).sessions.pass());
        assert_eq!(lines.by_ref().flatten().count() as u64, u64::from(MOST_OF_ALL));
        tokio::time::advance(WITHIN).await;
        let left_out = 10_000 - u64::from(MOST_OF_ALL);
        assert_eq!(limits.of("next").sessions.pass(), Some(left_out));
        assert_eq!(limits.of("next").sessions.pass(), Some(0));
    }

    #[test]
    fn texts_of_remotes_are_cut() {
        assert_eq!(shortened(&"ä".repeat(80)), "ä".repeat(80));
        assert_eq!(shortened(&"ä".repeat(81)), "ä".repeat(80) + "…");
        assert_eq!(shortened_text(&"a".repeat(1000)).chars().count(), SHOWN_TEXT + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_left_out_are_counted_and_reported_later() {
        let limit = LogLimit::default();
        let many = || (0..1000).filter_map(|_| limit.pass()).collect::<Vec<_>>();
        assert_eq!(many(), [0; 10]);
        tokio::time::advance(WITHIN / 2).await;
        assert!(many().is_empty());
        tokio::time::advance(WITHIN / 2).await;
        let logged = many();
        assert_eq!((logged.len(), logged[0], logged[1]), (10, 1990, 0));
    }
}
