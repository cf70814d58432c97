//! Which unauthenticated socket runs its handshake, which waits, and which has to go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::shares::{Shares, Source};

/// How long a handshake runs before it has to go while others wait. On a path with a round trip of
/// 600 ms TLS and the upgrade take 1.2 s, and a lost packet another second.
const PRESSED: Duration = Duration::from_secs(3);

/// How many sockets there may be in each stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Handshakes that run: they have buffers, and cost time.
    pub(super) running: usize,
    /// Sockets that wait: for their first byte, or for a handshake to end.
    pub(super) waiting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not one byte has arrived.
    Silent,
    /// Its first byte has arrived, and it waits for its turn.
    Ready,
    Running(Instant),
    /// The authentication hook is asked. How long that takes is not the socket's fault.
    Authenticating,
}

/// What became of a socket that came, or whose first byte did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved<T> {
    pub(super) result: T,
    /// Who has to go for it.
    pub(super) evicted: Option<u64>,
}

/// What a socket that waits is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    /// One has to go, and the other one runs.
    Swap { evicted: u64, next: u64 },
    /// Nobody has to go before then.
    Until(Instant),
}

/// All of them, by their numbers.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    last: u64,
    sockets: BTreeMap<u64, (Source, Stage)>,
    silent: Shares,
    ready: Shares,
    /// The two above.
    waiting: Shares,
    running: Shares,
    authenticating: Shares,
    by_start: BTreeSet<(Instant, u64)>,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
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

    /// The source with the most sockets that wait, or run, and how many.
    pub(super) fn heaviest(&self) -> Option<(Source, usize)> {
        let heaviest = [&self.waiting, &self.running].map(Shares::heaviest);
        heaviest.into_iter().flatten().max_by_key(|(_, size)| *size)
    }

    /// A socket comes. Its number; `None` if it is of the source that has the most sockets, and none of
    /// these can go for it.
    pub(super) fn enter(&mut self, source: Source) -> Moved<Option<u64>> {
        let full = self.waiting.len() >= self.limits.waiting;
        let evicted = if full { self.superfluous() } else { None };
        match evicted {
            Some((of, Stage::Ready, _)) if of == source => {
                return Moved { result: None, evicted: None };
            }
            None if full => return Moved { result: None, evicted: None },
            _ => {}
        }
        let evicted = evicted.map(|(_, _, number)| number);
        evicted.into_iter().for_each(|number| self.take_out(number));
        self.last += 1;
        self.put(self.last, source, Stage::Silent);
        Moved { result: Some(self.last), evicted }
    }

    /// The first byte of a socket has arrived. Whether its handshake runs.
    pub(super) fn speak(&mut self, number: u64, now: Instant) -> Moved<bool> {
        let Some((source, _)) = self.sockets.get(&number).copied() else {
            return Moved { result: false, evicted: None };
        };
        self.take_out(number);
        let evicted = if self.has_room() { None } else { self.lighter_than(source) };
        let runs = evicted.is_some() || self.has_room();
        evicted.into_iter().for_each(|number| self.take_out(number));
        self.put(number, source, if runs { Stage::Running(now) } else { Stage::Ready });
        Moved { result: runs, evicted }
    }

    /// The remote has said who it is.
    pub(super) fn authenticate(&mut self, number: u64) {
        if let Some((source, _)) = self.sockets.get(&number).copied() {
            self.take_out(number);
            self.put(number, source, Stage::Authenticating);
        }
    }

    /// A handshake has waited for our own sake: its time begins anew.
    pub(super) fn restart(&mut self, number: u64, now: Instant) {
        if let Some((source, Stage::Running(_))) = self.sockets.get(&number).copied() {
            self.take_out(number);
            self.put(number, source, Stage::Running(now));
        }
    }

    /// The remote is refused. What is still to do is for its sake, and it may have to go again.
    pub(super) fn refuse(&mut self, number: u64, now: Instant) {
        if let Some((source, Stage::Authenticating)) = self.sockets.get(&number).copied() {
            self.take_out(number);
            self.put(number, source, Stage::Running(now));
        }
    }

    /// A socket goes. Who runs instead.
    pub(super) fn leave(&mut self, number: u64, now: Instant) -> Option<u64> {
        self.take_out(number);
        self.run_next(now)
    }

    /// Somebody waits.
    pub(super) fn press(&mut self, now: Instant) -> Press {
        let Some((start, evicted)) = self.by_start.first().copied() else {
            return Press::Until(now + PRESSED);
        };
        if now < start + PRESSED {
            return Press::Until(start + PRESSED);
        }
        self.take_out(evicted);
        match self.run_next(now) {
            Some(next) => Press::Swap { evicted, next },
            None => Press::Until(now + PRESSED),
        }
    }

    /// A waiting socket goes, to give its descriptor back.
    pub(super) fn relieve(&mut self) -> Option<u64> {
        let (_, _, number) = self.superfluous()?;
        self.take_out(number);
        Some(number)
    }

    /// The one that goes for a new: of the source with the most waiting ones the oldest silent
    /// one; the last one in its queue if all have spoken. Where each source has one, all are looked at.
    fn superfluous(&self) -> Option<(Source, Stage, u64)> {
        let (mut source, sockets) = self.waiting.heaviest()?;
        if sockets == 1 {
            let silent = self.silent.heaviest().map(|(source, _)| source);
            source = silent.or_else(|| self.ready.lightest())?;
        }
        let silent = self.silent.oldest(source).map(|number| (source, Stage::Silent, number));
        silent.or_else(|| Some((source, Stage::Ready, self.ready.newest(source)?)))
    }

    /// The oldest handshake of the heaviest source, if that has at least two more than `source`.
    fn lighter_than(&self, source: Source) -> Option<u64> {
        let (heaviest, size) = self.running.heaviest()?;
        let is_lighter = self.load(source) + 1 < size;
        self.running.oldest(heaviest).filter(|_| is_lighter)
    }

    fn load(&self, source: Source) -> usize {
        self.running.of(source) + self.authenticating.of(source)
    }

    fn has_room(&self) -> bool {
        self.running.len() + self.authenticating.len() < self.limits.running
    }

    /// Runs the first in the queue of the lightest source, if there is room.
    fn run_next(&mut self, now: Instant) -> Option<u64> {
        if !self.has_room() {
            return None;
        }
        let first = self.ready.first_of_each();
        let (source, number) =
            first.min_by_key(|(source, number)| (self.load(*source), *number))?;
        self.take_out(number);
        self.put(number, source, Stage::Running(now));
        Some(number)
    }

    fn put(&mut self, number: u64, source: Source, stage: Stage) {
        self.sockets.insert(number, (source, stage));
        match stage {
            Stage::Silent => self.silent.insert(source, number),
            Stage::Ready => self.ready.insert(source, number),
            Stage::Running(since) => {
                self.by_start.insert((since, number));
                self.running.insert(source, number);
            }
            Stage::Authenticating => self.authenticating.insert(source, number),
        }
        if matches!(stage, Stage::Silent | Stage::Ready) {
            self.waiting.insert(source, number);
        }
    }

    /// Nothing happens if it has gone already.
    fn take_out(&mut self, number: u64) {
        let Some((source, stage)) = self.sockets.remove(&number) else { return };
        let stage_of = match stage {
            Stage::Silent => &mut self.silent,
            Stage::Ready => &mut self.ready,
            Stage::Running(since) => {
                self.by_start.remove(&(since, number));
                &mut self.running
            }
            Stage::Authenticating => &mut self.authenticating,
        };
        stage_of.remove(source, number);
        if matches!(stage, Stage::Silent | Stage::Ready) {
            self.waiting.remove(source, number);
        }
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
        Queue::new(Limits { running, waiting })
    }

    fn came(number: u64) -> Moved<Option<u64>> {
        Moved { result: Some(number), evicted: None }
    }

    const RUNS: Moved<bool> = Moved { result: true, evicted: None };
    const WAITS: Moved<bool> = Moved { result: false, evicted: None };

    #[test]
    fn the_oldest_silent_socket_of_the_heaviest_source_goes_for_a_new_one() {
        let mut queue = queue(1, 3);
        let [crowd, other] = [source(1), source(2)];
        assert_eq!(queue.enter(other), came(1));
        assert_eq!(queue.enter(crowd), came(2));
        assert_eq!(queue.enter(crowd), came(3));
        assert_eq!(queue.enter(other), Moved { result: Some(4), evicted: Some(2) });
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.enter(crowd), Moved { result: Some(5), evicted: Some(1) });
    }

    #[test]
    fn of_many_sources_with_one_socket_each_the_oldest_goes() {
        let mut queue = queue(1, 3);
        for number in [9, 5, 7] {
            queue.enter(source(number));
        }
        let entered = [1, 8].map(|number| queue.enter(source(number)));
        assert_eq!(entered.map(|moved| moved.evicted), [Some(1), Some(2)]);
    }

    #[test]
    fn of_many_sources_with_one_socket_each_those_that_wait_in_line_stay_there() {
        let (now, mut queue) = (Instant::now(), queue(1, 3));
        let mut enter = |number| queue.enter(source(number));
        let numbers = [1, 2, 3, 4].map(|number| enter(number).result.unwrap());
        for number in [numbers[1], numbers[2]] {
            queue.speak(number, now);
        }
        // The first one runs, the second one waits in line, and the third one is silent.
        assert_eq!(queue.enter(source(5)), came(5));
        for evicted in [4, 5] {
            assert_eq!(queue.enter(source(6)).evicted, Some(evicted));
        }
    }

    #[test]
    fn who_has_spoken_waits_in_line_and_only_those_of_the_crowd_are_refused() {
        let (now, mut queue) = (Instant::now(), queue(1, 2));
        let [crowd, other] = [source(1), source(2)];
        for number in 1..=3 {
            assert_eq!(queue.enter(crowd), came(number));
            assert_eq!(queue.speak(number, now), if number == 1 { RUNS } else { WAITS });
        }
        assert_eq!(queue.enter(crowd), Moved { result: None, evicted: None });
        assert_eq!(queue.enter(other), Moved { result: Some(4), evicted: Some(3) });
        assert_eq!(queue.leave(1, now), Some(2));
        assert_eq!((queue.leave(2, now), queue.leave(4, now), queue.len()), (None, None, 0));
    }

    #[test]
    fn a_lighter_source_takes_the_place_of_the_oldest_handshake_of_the_heaviest() {
        let (now, mut queue) = (Instant::now(), queue(3, 9));
        let [crowd, other] = [source(1), source(2)];
        let enter = |queue: &mut Queue, source| {
            let number = queue.enter(source).result.unwrap();
            (number, queue.speak(number, now))
        };
        for _ in 0..3 {
            assert_eq!(enter(&mut queue, crowd).1, RUNS);
        }
        assert_eq!(enter(&mut queue, other), (4, Moved { result: true, evicted: Some(1) }));
        // Two of one source and one of the other: each has its share.
        assert_eq!(enter(&mut queue, other), (5, WAITS));
        assert_eq!(enter(&mut queue, crowd), (6, WAITS));
        assert_eq!(queue.leave(2, now), Some(5), "of two equal sources the one that came first");
        assert_eq!(queue.leave(4, now), Some(6));
        // Its turn has passed, and its going changes nothing.
        assert_eq!(queue.leave(1, now), None);
    }

    #[test]
    fn a_handshake_that_takes_long_goes_once_others_wait() {
        let (now, mut queue) = (Instant::now(), queue(1, 9));
        let crowd = source(1);
        assert_eq!(queue.press(now), Press::Until(now + PRESSED));
        for number in 1..=2 {
            queue.enter(crowd);
            queue.speak(number, now);
        }
        assert_eq!(queue.press(now), Press::Until(now + PRESSED));
        let later = now + PRESSED;
        assert_eq!(queue.press(later), Press::Swap { evicted: 1, next: 2 });
        // The hook may take its time, and its place is not free meanwhile.
        queue.enter(crowd);
        queue.speak(3, later);
        queue.authenticate(2);
        let latest = later + PRESSED;
        assert_eq!(queue.press(latest), Press::Until(latest + PRESSED));
        assert_eq!(queue.leave(2, later), Some(3));
    }

    #[test]
    fn a_handshake_that_was_made_to_wait_has_its_time_again() {
        let (now, mut queue) = (Instant::now(), queue(1, 9));
        for number in 1..=2 {
            queue.enter(source(1));
            queue.speak(number, now);
        }
        let later = now + PRESSED;
        queue.restart(1, later);
        // One that waits in line is not run by this.
        queue.restart(2, later);
        assert_eq!(queue.press(later), Press::Until(later + PRESSED));
        assert_eq!(queue.press(later + PRESSED), Press::Swap { evicted: 1, next: 2 });
    }

    #[test]
    fn who_was_refused_goes_for_others_though_the_hook_was_asked() {
        let (now, mut queue) = (Instant::now(), queue(2, 9));
        let [crowd, other] = [source(1), source(2)];
        for number in 1..=2 {
            queue.enter(crowd);
            assert_eq!(queue.speak(number, now), RUNS);
            queue.authenticate(number);
        }
        queue.enter(other);
        assert_eq!(queue.speak(3, now), WAITS);
        assert_eq!(queue.press(now), Press::Until(now + PRESSED));
        queue.refuse(1, now);
        assert_eq!(queue.press(now + PRESSED), Press::Swap { evicted: 1, next: 3 });

        queue.refuse(2, now);
        queue.leave(3, now);
        queue.enter(crowd);
        assert_eq!(queue.speak(4, now), RUNS);
        queue.enter(other);
        assert_eq!(queue.speak(5, now), Moved { result: true, evicted: Some(2) });
        // It has gone already.
        queue.refuse(2, now);
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn descriptors_are_given_back_by_those_who_wait() {
        let (now, mut queue) = (Instant::now(), queue(1, 9));
        let [crowd, other] = [source(1), source(2)];
        for source in [crowd, other, crowd] {
            queue.enter(source);
        }
        queue.speak(1, now);
        // 2 and 3 are of sources with one waiting socket each.
        let gone: BTreeSet<_> = [queue.relieve(), queue.relieve()].into();
        assert_eq!(gone, [Some(2), Some(3)].into());
        assert_eq!(queue.relieve(), None);
        assert_eq!(queue.len(), 1);
    }
}
