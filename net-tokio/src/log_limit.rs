use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many lines of one kind are logged in [`WITHIN`]. Enough to see what happens; an end that
/// causes them in a loop must not fill a disk.
const MOST: u32 = 10;

/// Characters of a text.
const SHOWN: usize = 80;

const WITHIN: Duration = Duration::from_secs(60);

/// Keeps what other ends cause from flooding the log.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether one more line may be logged now; if so, how many were left out before it.
    pub(crate) fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now - since >= WITHIN) {
            state.since = Some(now);
            state.logged = 0;
        }
        if state.logged == MOST {
            state.left_out += 1;
            return None;
        }
        state.logged += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

/// What strangers say, as much of it as belongs in a line.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((length, _)) => Cow::Owned(format!("{}…", &text[..length])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_left_out_is_counted_and_told_later() {
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
