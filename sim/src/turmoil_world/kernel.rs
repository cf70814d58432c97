//! The kernel's end of an agent's connection to a target.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use watertight::simulation::TcpState;

use crate::Player;
use crate::player::Desire;
use crate::schedule::StreamId;

/// The agent's end of a connection to a target, as its kernel keeps it: the target's writes go into a bounded
/// receive queue with or without a reader, and the bytes in it outlive a reset.
///
/// Like Linux it reports an error once, to the first call that asks: a write, or a read behind the
/// queue. After that a read is at the end of the file and a write has a broken pipe.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Bytes that the receive queue holds.
    capacity: u64,
    /// Bytes of the target's that have left the queue.
    taken: u64,
    /// How the target resets.
    fatal: io::ErrorKind,
    /// The error that no call has returned.
    error: Option<io::ErrorKind>,
    was_reset: bool,
    /// The coming close is a reset.
    aborts: bool,
    /// Whether the target's answers come a moment after what they answer.
    is_late: bool,
    /// An answer is in transit: it arrives ahead of the next write, or after a while.
    answers: bool,
    /// Where the target would reset or let go, its machine vanishes without a word.
    is_silent: bool,
    /// When it does.
    vanished: Option<Instant>,
    /// The timeout of its silence, where the connection is probed.
    keepalive: Option<Duration>,
    /// Bytes were written to a machine that was not there any more.
    unacked: usize,
}

/// How long a machine may still acknowledge what its target, which has let go, does not read.
const LINGERS: Duration = Duration::from_millis(400);

/// Bytes that the send queue takes for a machine that has vanished.
const SEND_QUEUE: usize = 1000;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many bytes, from this offset of the target's bytes.
    Bytes(u64, usize),
    Error(io::ErrorKind),
    End,
    Nothing,
}

impl Kernel {
    pub(super) const fn new(capacity: u64, fatal: io::ErrorKind) -> Self {
        Self {
            capacity,
            taken: 0,
            fatal,
            error: None,
            was_reset: false,
            aborts: false,
            is_late: false,
            answers: false,
            is_silent: false,
            vanished: None,
            keepalive: None,
            unacked: 0,
        }
    }

    /// The kernel for a stream's target. Queues are short and long, and the machine of every other target
    /// that resets has vanished: half of those are reported, as by a router that knows of it.
    pub(super) fn of(stream: StreamId) -> Self {
        let capacity = match stream.0 % 3 {
            0 => 256,
            1 => 4 << 10,
            _ => 64 << 10,
        };
        let fatal = match stream.reset_code(true) {
            watertight::ResetCode::VANISHED => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionReset,
        };
        let is_silent = Self::is_silent(stream);
        Self { is_late: stream.0 % 4 != 3, is_silent, ..Self::new(capacity, fatal) }
    }

    /// Whether the machine of a stream's target vanishes without a word.
    pub(super) const fn is_silent(stream: StreamId) -> bool {
        stream.0 % 4 == 1
    }

    /// The target has read something.
    pub(super) fn was_written(&mut self, target: &mut Player) {
        if self.is_late {
            self.answers = true;
        } else {
            self.run(target);
        }
    }

    /// Whether an answer is in transit.
    pub(super) const fn awaits_answer(&self) -> bool {
        self.answers
    }

    /// Lets the target do what it can without anybody's reading. Whether it did something.
    pub(super) fn run(&mut self, target: &mut Player) -> bool {
        let state = |target: &Player| (target.end().written, target.end().finished);
        let (before, was_reset) = (state(target), self.was_reset);
        self.answers = false;
        loop {
            let writable = self.capacity.saturating_sub(self.queued(target));
            match target.desire() {
                Desire::Write(_) if writable == 0 => break,
                Desire::Write(bytes) => target.wrote(bytes.min(writable)),
                Desire::Finish => target.finished(),
                end @ (Desire::Reset | Desire::Drop) => {
                    // As a server that answers and closes without reading the rest.
                    target.wrote(target.unwritten().min(writable));
                    // A target that only lets go does so as others do.
                    if self.is_silent && target.reads_to_its_reset() == 0 {
                        let later = if end == Desire::Drop { LINGERS } else { Duration::ZERO };
                        self.vanished = Some(Instant::now() + later);
                    } else {
                        self.reset(target.end().finished);
                    }
                    target.disconnected();
                }
                Desire::Nothing => break,
            }
        }
        before != state(target) || was_reset != self.was_reset
    }

    /// The connection is probed.
    pub(super) const fn probe(&mut self, silence: Duration) {
        self.keepalive = Some(silence);
    }

    /// When the probes have gone unanswered for long enough. There are none while bytes wait to be
    /// acknowledged.
    pub(super) fn gives_up(&self) -> Option<Instant> {
        let vanished = self.vanished.filter(|_| self.unacked == 0 && !self.was_reset)?;
        self.keepalive.map(|silence| vanished + silence)
    }

    /// The probes have gone unanswered.
    pub(super) fn give_up(&mut self) {
        self.reset(false);
    }

    /// How many of so many bytes it takes for a machine that vanishes; `None` if it does not.
    pub(super) fn sends_in_vain(&mut self, bytes: usize) -> Option<usize> {
        let vanished = self.vanished.filter(|_| !self.was_reset)?;
        if Instant::now() < vanished {
            return Some(bytes);
        }
        let taken = bytes.min(SEND_QUEUE - self.unacked);
        self.unacked += taken;
        Some(taken)
    }

    /// The kernel's state of the connection.
    pub(super) fn state(&self, target: &Player) -> TcpState {
        TcpState {
            acked: target.end().read,
            received: target.end().written,
            unacked: self.unacked > 0,
            owes_answer: true,
            silent_for: self.vanished.map_or(Duration::ZERO, |at| at.elapsed()),
            received_ago: Duration::ZERO,
        }
    }

    fn reset(&mut self, has_finished: bool) {
        self.was_reset = true;
        // Linux: in CLOSE_WAIT a reset is a broken pipe.
        self.error = Some(if has_finished { io::ErrorKind::BrokenPipe } else { self.fatal });
    }

    /// Bytes in the queue.
    pub(super) const fn queued(&self, target: &Player) -> u64 {
        target.end().written.saturating_sub(self.taken)
    }

    /// Takes at most so many bytes out of the queue.
    pub(super) fn read(&mut self, target: &Player, most: usize) -> Found {
        let (offset, queued) = (self.taken, self.queued(target));
        if queued > 0 {
            let length = usize::try_from(queued).unwrap_or(usize::MAX).min(most);
            self.taken += length as u64;
            return Found::Bytes(offset, length);
        }
        if target.end().finished {
            return Found::End;
        }
        match self.error.take() {
            Some(error) => Found::Error(error),
            None if self.was_reset => Found::End,
            None => Found::Nothing,
        }
    }

    /// The error of a write that cannot succeed.
    pub(super) fn write(&mut self, target: &mut Player) -> Option<io::ErrorKind> {
        if self.answers {
            self.run(target);
        }
        let broken = self.was_reset.then_some(io::ErrorKind::BrokenPipe);
        self.error.take().or(broken)
    }

    /// The error that waits, once.
    pub(super) fn failure(&mut self, target: &mut Player) -> Option<io::ErrorKind> {
        self.run(target);
        self.error.take()
    }

    pub(super) const fn was_reset(&self) -> bool {
        self.was_reset
    }

    pub(super) const fn abort(&mut self) {
        self.aborts = true;
    }

    /// Whether a close is a reset for the target: after an abort, and where bytes are unread.
    pub(super) const fn closes_with_reset(&self, target: &Player) -> bool {
        self.aborts || self.queued(target) > 0
    }

    /// The queue is thrown away. For seeded bugs.
    pub(super) const fn lose_queue(&mut self, target: &Player) {
        self.taken = target.end().written;
    }

    /// The error is forgotten. For seeded bugs.
    pub(super) const fn forget_error(&mut self) {
        self.error = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Answer, TargetEnd, TargetPlan, TargetReads, TargetWrites};

    fn target(writes: TargetWrites, end: TargetEnd) -> Player {
        let (answer, reads) = (Answer::Accept, TargetReads::All);
        Player::target(&TargetPlan { answer, reads, writes, end })
    }

    const RESET: io::ErrorKind = io::ErrorKind::ConnectionReset;

    #[test]
    fn the_queue_outlives_a_reset_whose_error_comes_once() {
        for write_first in [false, true] {
            let mut target = target(TargetWrites::Pour(12), TargetEnd::Reset(1));
            let mut kernel = Kernel::new(100, RESET);
            assert!(kernel.run(&mut target) && !kernel.was_reset());
            target.read(1);
            assert!(kernel.run(&mut target) && kernel.was_reset() && target.end().let_go);
            if write_first {
                assert_eq!(kernel.write(&mut target), Some(RESET));
            }
            assert_eq!(kernel.read(&target, 5), Found::Bytes(0, 5));
            assert_eq!(kernel.read(&target, 50), Found::Bytes(5, 7));
            if !write_first {
                assert_eq!(kernel.read(&target, 1), Found::Error(RESET));
            }
            assert_eq!(kernel.read(&target, 1), Found::End);
            assert_eq!(kernel.write(&mut target), Some(io::ErrorKind::BrokenPipe));
            assert_eq!(kernel.failure(&mut target), None);
        }
    }

    #[test]
    fn an_answer_may_come_after_a_read_and_before_a_write() {
        let mut target = target(TargetWrites::Echo, TargetEnd::Reset(3));
        let mut kernel = Kernel { is_late: true, ..Kernel::new(100, RESET) };
        target.read(3);
        kernel.was_written(&mut target);
        assert!(kernel.awaits_answer());
        assert_eq!(kernel.read(&target, 9), Found::Nothing);
        assert_eq!(kernel.write(&mut target), Some(RESET));
        assert!(!kernel.awaits_answer());
        assert_eq!(kernel.read(&target, 9), Found::Bytes(0, 3));
        assert_eq!(kernel.read(&target, 9), Found::End);
    }

    #[test]
    fn a_full_queue_holds_the_target_up_but_not_its_reset() {
        let mut target = target(TargetWrites::Pour(12), TargetEnd::Never);
        let mut kernel = Kernel::new(8, io::ErrorKind::TimedOut);
        assert!(kernel.run(&mut target) && !kernel.run(&mut target));
        assert_eq!((target.end().written, kernel.queued(&target)), (8, 8));
        assert_eq!(kernel.read(&target, 3), Found::Bytes(0, 3));
        target.let_go();
        assert!(kernel.run(&mut target));
        assert_eq!((target.end().written, kernel.queued(&target)), (11, 8));
        assert_eq!(kernel.failure(&mut target), Some(io::ErrorKind::TimedOut));
        assert!(kernel.closes_with_reset(&target), "bytes are unread");
    }

    #[test]
    fn a_target_that_has_finished_is_read_to_its_end_whatever_it_does_then() {
        let mut target = target(TargetWrites::Pour(2), TargetEnd::AfterWriting);
        let mut kernel = Kernel::new(8, RESET);
        kernel.run(&mut target);
        target.let_go();
        kernel.run(&mut target);
        assert_eq!(kernel.read(&target, 8), Found::Bytes(0, 2));
        assert_eq!(kernel.read(&target, 8), Found::End);
        assert_eq!(kernel.write(&mut target), Some(io::ErrorKind::BrokenPipe));
        assert!(!kernel.closes_with_reset(&target));
        kernel.abort();
        assert!(kernel.closes_with_reset(&target));
    }
}
