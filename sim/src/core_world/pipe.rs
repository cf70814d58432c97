//! One direction of a link: bytes in order, in any portions, late, cut or lost.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;
use watertight_core::Instant;

use super::frame::{FrameKind, Label};
use crate::schedule::LinkKnobs as Quality;

/// The network between an agent and its server, as the faults of the schedule leave it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    /// Whether messages of a direction are lost: from the agent, from the server.
    pub(super) lost: [bool; 2],
    pub(super) held: bool,
    /// The latency that a fault has set.
    pub(super) latency: Option<u32>,
    /// Whether the rate of the schedule's links holds for it.
    pub(super) crawls: bool,
}

/// What most pipes need at once.
const ROOM: usize = 512;
/// The most parts in which one message arrives, each at a time of its own.
const PARTS: usize = 4;
/// Bytes that a slow link carries in so many milliseconds arrive at once.
const TRICKLE: u32 = 10;

/// Who asks what has moved.
const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// Arrived bytes are read in no more portions than about this.
const CRUMBS: u64 = 64;

impl Path {
    /// Whether a fault lies on it.
    pub(super) fn is_faulty(&self) -> bool {
        self.held || self.latency.is_some() || self.lost != [false, false]
    }
}

/// The bytes in transit from one end to the other.
#[derive(Debug)]
pub(super) struct Pipe {
    wire: BytesMut,
    segments: VecDeque<Segment>,
    /// Arrived bytes that are no whole frame yet.
    pub(super) inbox: BytesMut,
    /// Nothing arrives before what was sent before it.
    newest: Instant,
    /// When the last of what was sent leaves the sender's queue.
    drained: Instant,
    /// It was full: the sender waits until a third of it is free, as a kernel lets it.
    full: bool,
    /// When the remote has taken bytes, for the sender and the receiver to ask once.
    moved: [Option<Instant>; 2],
    /// Bytes were lost: the remote waits for them forever.
    lost: bool,
    end: Option<Instant>,
    ended: bool,
    random: PipeRandom,
}

/// A part of a message that arrives at once.
#[derive(Clone, Copy, Debug)]
struct Segment {
    at: Instant,
    bytes: usize,
    label: Label,
}

/// What came out of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Nothing,
    Bytes,
    /// Nothing follows.
    End,
}

impl Pipe {
    pub(super) fn new(now: Instant, random: PipeRandom) -> Self {
        Self {
            wire: BytesMut::with_capacity(ROOM),
            segments: VecDeque::with_capacity(16),
            inbox: BytesMut::with_capacity(ROOM),
            newest: now,
            drained: now,
            full: false,
            moved: [None; 2],
            lost: false,
            end: None,
            ended: false,
            random,
        }
    }

    /// Bytes that the sockets hold.
    pub(super) fn len(&self) -> usize {
        self.wire.len()
    }

    /// Whether the sender may write.
    pub(super) fn has_room(&mut self, capacity: usize) -> bool {
        if self.full && !self.would_wake(capacity) {
            return false;
        }
        self.full = self.len() >= capacity;
        !self.full
    }

    /// Whether it has been full, and its sender waits.
    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    /// Whether a sender that waits for space is notified of it.
    pub(super) fn would_wake(&self, capacity: usize) -> bool {
        self.full && 3 * self.len() <= 2 * capacity
    }

    /// When the remote has taken bytes while more of them wait, if it has since the last call: the sender's
    /// kernel knows it by acknowledgements.
    pub(super) fn has_taken(&mut self) -> Option<Instant> {
        self.moved[SENDER].take().filter(|_| self.len() > 0)
    }

    /// When bytes have arrived, if some have since the last call.
    pub(super) fn has_delivered(&mut self) -> Option<Instant> {
        self.moved[RECEIVER].take()
    }

    /// Whether the sender can still send.
    pub(super) const fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether nothing more comes through, though the remote may not know it yet.
    pub(super) const fn is_dead(&self) -> bool {
        self.lost || self.end.is_some()
    }

    /// Whether bytes were lost in it: nothing comes through any more.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether nothing about a connection is in transit.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way().all(|label| label.connection == 0)
    }

    /// Sends a frame: its kind and then the parts of its payload.
    pub(super) fn send(
        &mut self,
        now: Instant,
        direction: PipeDirection<'_>,
        kind: FrameKind,
        label: Label,
        parts: [&[u8]; 2],
    ) {
        if !self.takes(direction.lost) {
            return;
        }
        let payload = parts.iter().map(|part| part.len()).sum();
        let before = self.wire.len();
        self.wire.extend_from_slice(&FrameKind::prefix(payload));
        self.wire.extend_from_slice(&[kind.to_byte()]);
        parts.iter().for_each(|part| self.wire.extend_from_slice(part));
        self.schedule_arrival(now, direction, label, self.wire.len() - before);
    }

    /// Sends bytes that are no frame.
    pub(super) fn send_raw(&mut self, now: Instant, direction: PipeDirection<'_>, bytes: &[u8]) {
        if self.takes(direction.lost) {
            self.wire.extend_from_slice(bytes);
            self.schedule_arrival(now, direction, Label::default(), bytes.len());
        }
    }

    fn takes(&mut self, lost: bool) -> bool {
        self.lost |= lost && self.is_open();
        !self.lost && self.is_open()
    }

    fn schedule_arrival(
        &mut self,
        now: Instant,
        direction: PipeDirection<'_>,
        label: Label,
        bytes: usize,
    ) {
        let mut rest = bytes;
        let part = direction.part(bytes);
        while rest > 0 {
            let bytes = rest.min(part);
            self.drained = self.drained.max(now) + direction.takes(bytes);
            let at = self.arrival(self.drained, direction);
            self.segments.push_back(Segment { at, bytes, label });
            rest -= bytes;
        }
    }

    fn arrival(&mut self, now: Instant, direction: PipeDirection<'_>) -> Instant {
        let (least, most) = direction.latency;
        let micros = self.random.between(u64::from(least) * 1000, u64::from(most) * 1000);
        self.newest = self.newest.max(now + Duration::from_micros(micros));
        self.newest
    }

    /// The sender closes: the remote learns it after what was sent.
    pub(super) fn close(&mut self, now: Instant, direction: PipeDirection<'_>) {
        if self.takes(direction.lost) {
            self.end = Some(self.arrival(self.drained.max(now), direction));
        }
        self.end.get_or_insert(now);
    }

    /// The link breaks: a part of the bytes in transit still arrives, to any byte. Returns whether the break
    /// is inside of a message.
    pub(super) fn cut(&mut self, now: Instant, direction: PipeDirection<'_>) -> bool {
        let kept = self.random.between(0, self.wire.len() as u64);
        let kept = usize::try_from(kept).unwrap_or(0);
        let inside = self.truncate(kept);
        self.lost = false;
        let at = self.arrival(now, direction);
        self.end = Some(self.end.map_or(at, |end| end.min(at)));
        inside
    }

    fn truncate(&mut self, kept: usize) -> bool {
        self.wire.truncate(kept);
        let mut rest = kept;
        let mut inside = false;
        for segment in &mut self.segments {
            inside |= rest > 0 && rest < segment.bytes;
            segment.bytes = segment.bytes.min(rest);
            rest -= segment.bytes;
        }
        self.segments.retain(|segment| segment.bytes > 0);
        inside
    }

    /// When something arrives next.
    pub(super) fn next(&self, held: bool) -> Option<Instant> {
        if held || self.ended {
            return None;
        }
        match self.segments.front() {
            Some(segment) => Some(segment.at),
            None if self.lost => None,
            None => self.end,
        }
    }

    /// Takes the next portion that has arrived into the inbox.
    pub(super) fn receive(&mut self, now: Instant, held: bool, portion: usize) -> Arrival {
        if self.next(held).is_none_or(|at| at > now) {
            return Arrival::Nothing;
        }
        if self.segments.is_empty() {
            self.ended = true;
            return Arrival::End;
        }
        // Much that has arrived is not taken in crumbs: that would show nothing more and take longer.
        let most = self.random.between(1, portion as u64).max(self.wire.len() as u64 / CRUMBS);
        let taken = self.take_segments(now, usize::try_from(most).unwrap_or(1));
        if let Some(bytes) = self.wire.get(..taken) {
            self.inbox.extend_from_slice(bytes);
        }
        self.wire.advance(taken);
        self.moved = [Some(now); 2];
        Arrival::Bytes
    }

    fn take_segments(&mut self, now: Instant, most: usize) -> usize {
        let mut taken = 0;
        while let Some(front) = self.segments.front_mut().filter(|front| front.at <= now) {
            let bytes = front.bytes.min(most - taken);
            front.bytes -= bytes;
            taken += bytes;
            if front.bytes > 0 {
                break;
            }
            self.segments.pop_front();
        }
        taken
    }

    /// Nobody is there to receive: what arrives is thrown away.
    pub(super) fn discard(&mut self) {
        self.wire = BytesMut::new();
        self.segments = VecDeque::new();
        self.inbox = BytesMut::new();
        self.ended = true;
    }

    /// Keeps no more memory than the bytes in transit take.
    pub(super) fn compact(&mut self) {
        self.wire = BytesMut::from(&self.wire[..]);
        self.inbox = BytesMut::from(&self.inbox[..]);
        self.segments.shrink_to_fit();
    }

    /// The messages in transit.
    pub(super) fn under_way(&self) -> impl Iterator<Item = Label> + '_ {
        self.segments.iter().map(|segment| segment.label)
    }
}

/// The state of one direction of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct PipeDirection<'a> {
    quality: &'a Quality,
    latency: (u32, u32),
    lost: bool,
    /// Bytes a millisecond, or any number.
    rate: Option<NonZeroU32>,
}

impl<'a> PipeDirection<'a> {
    pub(super) fn new(quality: &'a Quality, path: &Path, from: usize) -> Self {
        let latency =
            path.latency.map_or((quality.min_latency, quality.max_latency), |fixed| (fixed, fixed));
        let lost = path.lost.get(from).copied().unwrap_or_default();
        Self { quality, latency, lost, rate: NonZeroU32::new(quality.rate).filter(|_| path.crawls) }
    }

    /// The length of the parts in which so many bytes arrive.
    fn part(self, bytes: usize) -> usize {
        let part = (self.quality.portion as usize).max(1).max(bytes.div_ceil(PARTS));
        let trickle = |rate: NonZeroU32| part.min((rate.get() * TRICKLE) as usize);
        self.rate.map_or(part, trickle)
    }

    /// The time that they take.
    fn takes(self, bytes: usize) -> Duration {
        let micros = |rate: NonZeroU32| bytes as u64 * 1000 / u64::from(rate.get());
        Duration::from_micros(self.rate.map_or(0, micros))
    }
}

/// A stream of random numbers of one actor, which no other one reshuffles.
#[derive(Clone, Debug)]
pub(super) struct PipeRandom(SplitMix64);

impl PipeRandom {
    /// The stream of the actor with this number.
    pub(super) fn new(seed: u64, actor: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed ^ actor.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        if least >= most { least } else { self.0.random_range(least..=most) }
    }
}
