//! Limits on new sessions: reserved capacity, and the rate of each client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::auth::Grant;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// A permit for one session of a client, released on drop. Once it is granted, admission cannot
/// fail for lack of capacity: the remote has already been accepted.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) grant: Grant,
    /// The number of [`Server::recheck`](crate::Server::recheck)s before it was granted.
    pub(super) checks: u64,
    permits: Permits,
}

/// The permits that are held, by client key.
#[derive(Clone, Debug, Default)]
pub(super) struct Permits(Arc<Mutex<BTreeMap<String, usize>>>);

impl Permits {
    /// Whether the client has a permit.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    /// Clients with a permit that `is_new` is true for.
    pub(super) fn clients(&self, is_new: impl Fn(&str) -> bool) -> usize {
        self.lock().keys().filter(|key| is_new(key)).count()
    }

    /// All permits.
    #[cfg(feature = "simulation")]
    pub(super) fn len(&self) -> usize {
        self.lock().values().sum()
    }

    pub(super) fn grant(&self, grant: Grant, checks: u64) -> Permit {
        *self.lock().entry(grant.key.clone()).or_default() += 1;
        Permit { grant, checks, permits: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut permits = self.permits.lock();
        let count = permits.get_mut(&self.grant.key);
        debug_assert!(count.is_some(), "a permit is in the table until it is dropped");
        if let Some(count) = count {
            *count -= 1;
            if *count == 0 {
                permits.remove(&self.grant.key);
            }
        }
    }
}

/// Events at once: a link that breaks repeatedly, an agent that is restarted.
const BURST: u32 = 10;

/// Names up to which full buckets are not removed.
const FEW: usize = 1024;

/// The generic cell rate algorithm (ITU-T I.371) for each name.
#[derive(Debug)]
pub(super) struct RateLimit<K> {
    interval: Duration,
    /// The time at which the bucket of each name is full again.
    full: BTreeMap<K, Instant>,
    /// Names at which full buckets are removed next.
    sweep: usize,
}

impl<K: Ord> RateLimit<K> {
    /// One event an `interval`, on average.
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, full: BTreeMap::new(), sweep: FEW }
    }

    /// Whether the next event would exceed the rate.
    pub(super) fn is_empty(&self, who: &K) -> bool {
        let full = self.full.get(who).copied();
        full.is_some_and(|full| full + self.interval > Instant::now() + self.interval * BURST)
    }

    /// Counts an event.
    ///
    /// # Errors
    ///
    /// It exceeds the rate and is not counted; the pause until it would not.
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
    async fn events_without_a_pause_pass_once_a_second() {
        let mut limit = RateLimit::new(SECOND);
        let mut taken = 0;
        for _ in 0..1000 {
            taken += u32::from(limit.take("edge-7").is_ok());
            advance(SECOND / 10).await;
        }
        assert!((109..=111).contains(&taken), "{taken}");
        assert_eq!(limit.take("lab"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_passes_after_the_wait() {
        let mut limit = RateLimit::new(SECOND);
        for _ in 0..BURST {
            limit.take("edge-7").unwrap();
        }
        let wait = limit.take("edge-7").unwrap_err();
        assert_eq!(wait, SECOND);
        advance(wait).await;
        limit.take("edge-7").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_removed() {
        let mut limit = RateLimit::new(SECOND);
        for number in 0..10 * FEW {
            limit.take(number.to_string()).unwrap();
            advance(SECOND / 100).await;
        }
        assert!(limit.full.len() < 2 * FEW, "{}", limit.full.len());
    }
}
