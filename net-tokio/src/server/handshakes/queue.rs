//! Scheduling of handshakes: which socket runs its handshake, which waits, and which is evicted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::shares::{Shares, Source};

/// The time of a handshake before it is evicted while others wait. On a path with a round trip of
/// 600 ms, TLS and the upgrade take 1.2 s, and a lost packet another second.
const MAX_RUN: Duration = Duration::from_secs(3);

/// The most sockets in each phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Running handshakes: they have buffers, and cost time.
    pub(super) running: usize,
    /// Waiting sockets: for their first byte, or for a free slot.
    pub(super) waiting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No byte has arrived.
    Silent,
    /// The first byte has arrived; the socket waits for a free slot.
    Ready,
    Running(Instant),
    /// The authentication hook runs. Its time is not the socket's fault.
    Authenticating,
}

/// The effect of an added socket, or of a first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change<T> {
    pub(super) result: T,
    /// The socket that is evicted for it.
    pub(super) evicted: Option<u64>,
}

/// The next step of a waiting socket's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// One is evicted, and the other one runs.
    Swap { evicted: u64, next: u64 },
    /// None can be evicted before then.
    Until(Instant),
}

/// All sockets, by number.
#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    last: u64,
    sockets: BTreeMap<u64, (Source, Phase)>,
    silent: Shares,
    ready: Shares,
    /// The union of the two above.
    waiting: Shares,
    running: Shares,
    authenticating: Shares,
    by_start: BTreeSet<(Instant, u64)>,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            last: 0,
            sockets: BTreeMap::new(),
            silent: Shares::default(),
            ready: Shares::default(),
            waiting: Shares::default(),
            running: Shares::default(),
            authenticating: Shares::default(),
            by_start: BTreeSet::new(),
        }
    }

    #[cfg(feature = "simulation")]
    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// The source with the most waiting or running sockets, and their number.
    pub(super) fn heaviest(&self) -> Option<(Source, usize)> {
        let heaviest = [&self.waiting, &self.running].map(Shares::heaviest);
        heaviest.into_iter().flatten().max_by_key(|(_, size)| *size)
    }

    /// Adds a socket. Returns its number; `None` if its source has the most sockets, and none of
    /// these can be evicted.
    pub(super) fn add(&mut self, source: Source) -> Change<Option<u64>> {
        let full = self.waiting.len() >= self.limits.waiting;
        let evicted = if full { self.evictable() } else { None };
        match evicted {
            Some((of, Phase::Ready, _)) if of == source => {
                return Change { result: None, evicted: None };
            }
            None if full => return Change { result: None, evicted: None },
            _ => {}
        }
        let evicted = evicted.map(|(_, _, number)| number);
        evicted.into_iter().for_each(|number| self.remove(number));
        self.last += 1;
        self.insert(self.last, source, Phase::Silent);
        Change { result: Some(self.last), evicted }
    }

    /// The first byte of a socket has arrived. Returns whether its handshake runs.
    pub(super) fn first_byte(&mut self, number: u64, now: Instant) -> Change<bool> {
        let Some((source, _)) = self.sockets.get(&number).copied() else {
            return Change { result: false, evicted: None };
        };
        self.remove(number);
        let evicted = if self.has_slot() { None } else { self.evictable_for(source) };
        let runs = evicted.is_some() || self.has_slot();
        evicted.into_iter().for_each(|number| self.remove(number));
        self.insert(number, source, if runs { Phase::Running(now) } else { Phase::Ready });
        Change { result: runs, evicted }
    }

    /// The remote has sent its credentials.
    pub(super) fn authenticate(&mut self, number: u64) {
        if let Some((source, phase)) = self.sockets.get(&number).copied() {
            let may_wait = matches!(phase, Phase::Silent | Phase::Ready);
            debug_assert!(!may_wait, "only a running handshake authenticates");
            self.remove(number);
            self.insert(number, source, Phase::Authenticating);
        }
    }

    /// The server delayed the handshake: its time starts again.
    pub(super) fn restart(&mut self, number: u64, now: Instant) {
        if let Some((source, Phase::Running(_))) = self.sockets.get(&number).copied() {
            self.remove(number);
            self.insert(number, source, Phase::Running(now));
        }
    }

    /// The remote was refused. The rest takes the remote's time, so that it may be evicted again.
    pub(super) fn refuse(&mut self, number: u64, now: Instant) {
        if let Some((source, Phase::Authenticating)) = self.sockets.get(&number).copied() {
            self.remove(number);
            self.insert(number, source, Phase::Running(now));
        }
    }

    /// Removes a socket. Returns the one that runs instead.
    pub(super) fn leave(&mut self, number: u64, now: Instant) -> Option<u64> {
        self.remove(number);
        self.run_next(now)
    }

    /// Evicts the oldest handshake, if it is overdue. Called while a socket waits.
    pub(super) fn evict_overdue(&mut self, now: Instant) -> Overdue {
        let Some((start, evicted)) = self.by_start.first().copied() else {
            return Overdue::Until(now + MAX_RUN);
        };
        if now < start + MAX_RUN {
            return Overdue::Until(start + MAX_RUN);
        }
        self.remove(evicted);
        match self.run_next(now) {
            Some(next) => Overdue::Swap { evicted, next },
            None => Overdue::Until(now + MAX_RUN),
        }
    }

    /// Evicts a waiting socket, to free its descriptor.
    pub(super) fn evict_waiting(&mut self) -> Option<u64> {
        let (_, _, number) = self.evictable()?;
        self.remove(number);
        Some(number)
    }

    /// The waiting socket to evict. The source with the most waiting sockets loses its oldest
    /// silent one, or the newest ready one if none is silent. If each source has one, all sources
    /// count.
    fn evictable(&self) -> Option<(Source, Phase, u64)> {
        let (mut source, sockets) = self.waiting.heaviest()?;
        if sockets == 1 {
            let silent = self.silent.heaviest().map(|(source, _)| source);
            source = silent.or_else(|| self.ready.lightest())?;
        }
        let silent = self.silent.oldest(source).map(|number| (source, Phase::Silent, number));
        silent.or_else(|| Some((source, Phase::Ready, self.ready.newest(source)?)))
    }

    /// The oldest handshake of the heaviest source, if that has at least two more than `source`.
    fn evictable_for(&self, source: Source) -> Option<u64> {
        let (heaviest, size) = self.running.heaviest()?;
        let is_lighter = self.load(source) + 1 < size;
        self.running.oldest(heaviest).filter(|_| is_lighter)
    }

    fn load(&self, source: Source) -> usize {
        self.running.of(source) + self.authenticating.of(source)
    }

    fn has_slot(&self) -> bool {
        self.running.len() + self.authenticating.len() < self.limits.running
    }

    /// Runs the oldest ready socket of the lightest source, if a slot is free.
    fn run_next(&mut self, now: Instant) -> Option<u64> {
        if !self.has_slot() {
            return None;
        }
        let first = self.ready.first_of_each();
        let (source, number) =
            first.min_by_key(|(source, number)| (self.load(*source), *number))?;
        self.remove(number);
        self.insert(number, source, Phase::Running(now));
        Some(number)
    }

    fn insert(&mut self, number: u64, source: Source, phase: Phase) {
        let before = self.sockets.insert(number, (source, phase));
        debug_assert!(before.is_none(), "a socket is in one phase");
        match phase {
            Phase::Silent => self.silent.insert(source, number),
            Phase::Ready => self.ready.insert(source, number),
            Phase::Running(since) => {
                self.by_start.insert((since, number));
                self.running.insert(source, number);
            }
            Phase::Authenticating => self.authenticating.insert(source, number),
        }
        if matches!(phase, Phase::Silent | Phase::Ready) {
            self.waiting.insert(source, number);
        }
        self.assert_counts();
    }

    /// No effect if the socket was removed before.
    fn remove(&mut self, number: u64) {
        let Some((source, phase)) = self.sockets.remove(&number) else { return };
        let shares = match phase {
            Phase::Silent => &mut self.silent,
            Phase::Ready => &mut self.ready,
            Phase::Running(since) => {
                let removed = self.by_start.remove(&(since, number));
                debug_assert!(removed, "a running handshake has its start");
                &mut self.running
            }
            Phase::Authenticating => &mut self.authenticating,
        };
        let removed = shares.remove(source, number);
        debug_assert!(removed, "a socket is in the shares of its phase");
        if matches!(phase, Phase::Silent | Phase::Ready) {
            let removed = self.waiting.remove(source, number);
            debug_assert!(removed, "a socket without a slot waits");
        }
        self.assert_counts();
    }

    fn assert_counts(&self) {
        let [waiting, running] = [self.waiting.len(), self.running.len()];
        let slots = running + self.authenticating.len();
        debug_assert_eq!(waiting, self.silent.len() + self.ready.len(), "a socket waits once");
        debug_assert_eq!(self.sockets.len(), waiting + slots, "a socket waits or has a slot");
        debug_assert_eq!(self.by_start.len(), running, "each running handshake has a start");
        debug_assert!(slots <= self.limits.running, "the running handshakes are bounded");
        debug_assert!(waiting <= self.limits.waiting, "the waiting sockets are bounded");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn source(number: u8) -> Source {
        Source::of(Some(SocketAddr::from(([192, 0, 2, number], 1))))
    }

    fn queue(running: usize, waiting: usize) -> Queue {
        Queue::new(QueueLimits { running, waiting })
    }

    fn added(number: u64) -> Change<Option<u64>> {
        Change { result: Some(number), evicted: None }
    }

    const RUNS: Change<bool> = Change { result: true, evicted: None };
    const WAITS: Change<bool> = Change { result: false, evicted: None };

    #[test]
    fn the_oldest_silent_socket_of_the_heaviest_source_is_evicted_for_a_new_one() {
        let mut queue = queue(1, 3);
        let [heavy, other] = [source(1), source(2)];
        assert_eq!(queue.add(other), added(1));
        assert_eq!(queue.add(heavy), added(2));
        assert_eq!(queue.add(heavy), added(3));
        assert_eq!(queue.add(other), Change { result: Some(4), evicted: Some(2) });
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.add(heavy), Change { result: Some(5), evicted: Some(1) });
    }

    #[test]
    fn of_many_sources_with_one_socket_each_the_oldest_is_evicted() {
        let mut queue = queue(1, 3);
        for number in [9, 5, 7] {
            queue.add(source(number));
        }
        let added_sockets = [1, 8].map(|number| queue.add(source(number)));
        assert_eq!(added_sockets.map(|change| change.evicted), [Some(1), Some(2)]);
    }

    #[test]
    fn of_many_sources_with_one_socket_each_the_ready_ones_stay() {
        let (now, mut queue) = (Instant::now(), queue(1, 3));
        let mut enter = |number| queue.add(source(number));
        let numbers = [1, 2, 3, 4].map(|number| enter(number).result.unwrap());
        for number in [numbers[1], numbers[2]] {
            queue.first_byte(number, now);
        }
        // The first one runs, the second one is ready, and the third one is silent.
        assert_eq!(queue.add(source(5)), added(5));
        for evicted in [4, 5] {
            assert_eq!(queue.add(source(6)).evicted, Some(evicted));
        }
    }

    #[test]
    fn ready_sockets_keep_their_order_and_only_the_heaviest_source_is_refused() {
        let (now, mut queue) = (Instant::now(), queue(1, 2));
        let [heavy, other] = [source(1), source(2)];
        for number in 1..=3 {
            assert_eq!(queue.add(heavy), added(number));
            assert_eq!(queue.first_byte(number, now), if number == 1 { RUNS } else { WAITS });
        }
        assert_eq!(queue.add(heavy), Change { result: None, evicted: None });
        assert_eq!(queue.add(other), Change { result: Some(4), evicted: Some(3) });
        assert_eq!(queue.leave(1, now), Some(2));
        assert_eq!((queue.leave(2, now), queue.leave(4, now), queue.len()), (None, None, 0));
    }

    #[test]
    fn a_lighter_source_evicts_the_oldest_handshake_of_the_heaviest() {
        let (now, mut queue) = (Instant::now(), queue(3, 9));
        let [heavy, other] = [source(1), source(2)];
        let enter = |queue: &mut Queue, source| {
            let number = queue.add(source).result.unwrap();
            (number, queue.first_byte(number, now))
        };
        for _ in 0..3 {
            assert_eq!(enter(&mut queue, heavy).1, RUNS);
        }
        assert_eq!(enter(&mut queue, other), (4, Change { result: true, evicted: Some(1) }));
        // Two of one source and one of the other: each has its share.
        assert_eq!(enter(&mut queue, other), (5, WAITS));
        assert_eq!(enter(&mut queue, heavy), (6, WAITS));
        assert_eq!(queue.leave(2, now), Some(5), "of two equal sources the one that came first");
        assert_eq!(queue.leave(4, now), Some(6));
        // It was evicted, and leaving changes nothing.
        assert_eq!(queue.leave(1, now), None);
    }

    #[test]
    fn an_overdue_handshake_is_evicted_once_others_wait() {
        let (now, mut queue) = (Instant::now(), queue(1, 9));
        let heavy = source(1);
        assert_eq!(queue.evict_overdue(now), Overdue::Until(now + MAX_RUN));
        for number in 1..=2 {
            queue.add(heavy);
            queue.first_byte(number, now);
        }
        assert_eq!(queue.evict_overdue(now), Overdue::Until(now + MAX_RUN));
        let later = now + MAX_RUN;
        assert_eq!(queue.evict_overdue(later), Overdue::Swap { evicted: 1, next: 2 });
        // The hook may take its time, and its slot is not free meanwhile.
        queue.add(heavy);
        queue.first_byte(3, later);
        queue.authenticate(2);
        let latest = later + MAX_RUN;
        assert_eq!(queue.evict_overdue(latest), Overdue::Until(latest + MAX_RUN));
        assert_eq!(queue.leave(2, later), Some(3));
    }

    #[test]
    fn a_delayed_handshake_starts_its_time_again() {
        let (now, mut queue) = (Instant::now(), queue(1, 9));
        for number in 1..=2 {
            queue.add(source(1));
            queue.first_byte(number, now);
        }
        let later = now + MAX_RUN;
        queue.restart(1, later);
        // A ready socket does not run by this.
        queue.restart(2, later);
        assert_eq!(queue.evict_overdue(later), Overdue::Until(later + MAX_RUN));
        assert_eq!(queue.evict_overdue(later + MAX_RUN), Overdue::Swap { evicted: 1, next: 2 });
    }

    #[test]
    fn a_refused_socket_may_be_evicted_after_the_hook() {
        let (now, mut queue) = (Instant::now(), queue(2, 9));
        let [heavy, other] = [source(1), source(2)];
        for number in 1..=2 {
            queue.add(heavy);
            assert_eq!(queue.first_byte(number, now), RUNS);
            queue.authenticate(number);
        }
        queue.add(other);
        assert_eq!(queue.first_byte(3, now), WAITS);
        assert_eq!(queue.evict_overdue(now), Overdue::Until(now + MAX_RUN));
        queue.refuse(1, now);
        assert_eq!(queue.evict_overdue(now + MAX_RUN), Overdue::Swap { evicted: 1, next: 3 });

        queue.refuse(2, now);
        queue.leave(3, now);
        queue.add(heavy);
        assert_eq!(queue.first_byte(4, now), RUNS);
        queue.add(other);
        assert_eq!(queue.first_byte(5, now), Change { result: true, evicted: Some(2) });
        // It was evicted already.
        queue.refuse(2, now);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn waiting_sockets_are_evicted_to_free_descriptors() {
        let (now, mut queue) = (Instant::now(), queue(1, 9));
        let [heavy, other] = [source(1), source(2)];
        for source in [heavy, other, heavy] {
            queue.add(source);
        }
        queue.first_byte(1, now);
        // 2 and 3 are of sources with one waiting socket each.
        let evicted: BTreeSet<_> = [queue.evict_waiting(), queue.evict_waiting()].into();
        assert_eq!(evicted, [Some(2), Some(3)].into());
        assert_eq!(queue.evict_waiting(), None);
        assert_eq!(queue.len(), 1);
    }
}
