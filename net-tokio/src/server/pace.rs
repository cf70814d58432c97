//! How often somebody may do what costs something: a client may begin a session, which costs handshakes
//! and lines of the log, and a source may give a wrong token.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// What may come at once: a link that breaks again and again, an agent that is restarted.
const BURST: u32 = 10;

/// Those that are remembered before those are looked for that need not be.
const FEW: usize = 1024;

/// A bucket for each of them, as the generic cell rate algorithm has it (ITU-T I.371).
#[derive(Debug)]
pub(super) struct Pace<K> {
    interval: Duration,
    /// When the bucket of each is full again.
    full: BTreeMap<K, Instant>,
    /// So many are remembered when it is worth a look which of them need not be.
    sweep: usize,
}

impl<K: Ord> Pace<K> {
    /// So often on average.
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, full: BTreeMap::new(), sweep: FEW }
    }

    /// Whether the next one would come too often.
    pub(super) fn is_empty(&self, who: &K) -> bool {
        let full = self.full.get(who).copied();
        full.is_some_and(|full| full + self.interval > Instant::now() + self.interval * BURST)
    }

    /// One comes once more.
    ///
    /// # Errors
    /// It comes too often; how long it is to wait.
    pub(super) fn take(&mut self, who: K) -> Result<(), Duration> {
        let now = Instant::now();
        if self.full.len() >= self.sweep {
            self.full.retain(|_, full| *full > now);
            self.sweep = FEW.max(2 * self.full.len());
        }
        let full = self.full.get(&who).copied().unwrap_or(now).max(now) + self.interval;
        let wait = (full - now).saturating_sub(self.interval * BURST);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full.insert(who, full);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_all_the_time_has_one_session_a_second() {
        let mut pace = Pace::new(SECOND);
        let mut taken = 0;
        for _ in 0..1000 {
            taken += u32::from(pace.take("edge-7").is_ok());
            advance(SECOND / 10).await;
        }
        assert!((109..=111).contains(&taken), "{taken}");
        assert_eq!(pace.take("lab"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_as_long_as_told_is_let_in() {
        let mut pace = Pace::new(SECOND);
        for _ in 0..BURST {
            pace.take("edge-7").unwrap();
        }
        let wait = pace.take("edge-7").unwrap_err();
        assert_eq!(wait, SECOND);
        advance(wait).await;
        pace.take("edge-7").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_have_been_away_are_forgotten() {
        let mut pace = Pace::new(SECOND);
        for number in 0..10 * FEW {
            pace.take(number.to_string()).unwrap();
            advance(SECOND / 100).await;
        }
        assert!(pace.full.len() < 2 * FEW, "{}", pace.full.len());
    }
}
