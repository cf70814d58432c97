//! One end of a conversation: plays its script on a socket, and notes what it sees.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::watch;

use crate::conversation::{Leave, SMALL, Script, Side, Step};
use crate::outcome::{Observed, StreamEnd};
use crate::socket::Socket;

/// Bytes of one call.
const CHUNK: usize = 64 << 10;

/// How often the kernel is asked what has arrived.
const GLANCE: Duration = Duration::from_millis(1);

/// What an end has done so far, for the other one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// What had been done after each step.
    steps: Vec<Done>,
    /// The script has ended, though the socket may be open.
    has_ended: bool,
    /// The socket is closed.
    is_closed: bool,
}

/// What an end has done up to a step.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    written: u64,
    /// The write side is shut down, or the socket is closed.
    ends: bool,
}

impl Progress {
    pub(crate) const fn is_gone(&self) -> bool {
        self.is_closed
    }
}

/// One end of a conversation.
pub(crate) struct End<'a> {
    pub(crate) side: Side,
    pub(crate) script: &'a Script,
    pub(crate) own: &'a watch::Sender<Progress>,
    pub(crate) other: watch::Receiver<Progress>,
    /// How long the end hesitates before a step.
    pub(crate) delay: &'a (dyn Fn(Side, usize) -> Duration + Send + Sync),
    pub(crate) observed: &'a mut Observed,
}

impl End<'_> {
    /// Plays the script. Where it is dropped half through, the socket is closed.
    pub(crate) async fn play(mut self, mut socket: Socket) {
        let mut ends = false;
        for (index, step) in self.script.steps.iter().enumerate() {
            self.hesitate(index).await;
            self.observed.stuck = Some(index);
            self.take(&mut socket, *step).await;
            ends |= *step == Step::Finish;
            let done = Done { written: self.observed.written, ends };
            self.own.send_modify(|own| own.steps.push(done));
        }
        self.hesitate(self.script.steps.len()).await;
        self.observed.stuck = Some(self.script.steps.len());
        self.leave(socket, ends).await;
        self.observed.stuck = None;
    }

    async fn hesitate(&self, step: usize) {
        let delay = (self.delay)(self.side, step);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    async fn take(&mut self, socket: &mut Socket, step: Step) {
        match step {
            Step::Send(bytes) => self.send(socket, u64::from(bytes)).await,
            Step::Flood => self.send(socket, u64::MAX).await,
            Step::Read(bytes) => self.read(socket, u64::from(bytes)).await,
            Step::ReadToEnd => self.read(socket, u64::MAX).await,
            Step::Finish => socket.finish().await,
            Step::Wait(steps) => self.wait(socket, usize::from(steps)).await,
            Step::Pause(time) => tokio::time::sleep(Duration::from_millis(time.into())).await,
        }
    }

    async fn send(&mut self, socket: &mut Socket, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let length = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
            let piece = pattern(self.side, self.observed.written, length);
            match socket.write(piece).await {
                Ok(written) => {
                    self.observed.written += written as u64;
                    left -= written as u64;
                }
                Err(error) => {
                    self.observed.broken = true;
                    self.observed.reset_reported |= error.kind() == io::ErrorKind::ConnectionReset;
                    return;
                }
            }
        }
    }

    async fn read(&mut self, socket: &mut Socket, bytes: u64) {
        let mut chunk = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK))];
        let mut left = bytes;
        while left > 0 && self.observed.stream_end == StreamEnd::NotObserved {
            let most = chunk.len().min(usize::try_from(left).unwrap_or(CHUNK));
            match socket.read(&mut chunk[..most]).await {
                Ok(0) => self.observed.stream_end = StreamEnd::Eof,
                Ok(read) => {
                    self.check(&chunk[..read]);
                    left -= read as u64;
                }
                Err(_) => self.observed.stream_end = StreamEnd::Reset,
            }
        }
    }

    fn check(&mut self, data: &[u8]) {
        let expected = pattern(self.side.other(), self.observed.received, data.len());
        if data != expected {
            let at = data.iter().zip(expected).take_while(|(is, should)| is == should).count();
            self.observed.corrupt.get_or_insert(self.observed.received + at as u64);
        }
        self.observed.received += data.len() as u64;
    }

    /// Until the remote has taken its steps, and their effects have arrived.
    async fn wait(&mut self, socket: &Socket, steps: usize) {
        let reached =
            self.other.wait_for(|other| other.steps.len() >= steps || other.has_ended).await;
        // The remote may be further on: its later steps are not waited for.
        let done =
            |other: watch::Ref<'_, Progress>| other.steps.iter().take(steps).next_back().copied();
        let Some(done) = reached.ok().and_then(done) else { return };
        let unread = done.written.saturating_sub(self.observed.received).min(SMALL);
        while !socket.has_ended() && (done.ends || socket.unread() < unread) {
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn leave(&mut self, socket: Socket, ends: bool) {
        if self.script.leave != Leave::Keep {
            self.observed.acknowledged = socket.acknowledged();
        }
        let kept = match self.script.leave {
            Leave::Close => {
                drop(socket);
                None
            }
            Leave::Reset => {
                socket.reset();
                None
            }
            Leave::Keep => Some(socket),
        };
        let done = Done { written: self.observed.written, ends: ends || kept.is_none() };
        self.own.send_modify(|own| {
            own.steps.push(done);
            own.has_ended = true;
            own.is_closed = kept.is_none();
        });
        if kept.is_some() {
            self.other.wait_for(|other| other.has_ended).await.ok();
        }
    }
}

/// After so many bytes the pattern begins again. A prime: no shift by a round number goes unseen.
const PERIOD: usize = 65_521;

/// The bytes that `side` sends from `at` on, at most as many as one call takes. Another offset or
/// another side has other bytes.
fn pattern(side: Side, at: u64, length: usize) -> &'static [u8] {
    static PATTERNS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
        [0x9e37_79b1_u32, 0x85eb_ca6b].map(|factor| {
            let byte = |at: u32| (at + 1).wrapping_mul(factor).to_le_bytes()[2];
            let period: Vec<_> = (0..).map(byte).take(PERIOD).collect();
            period.iter().copied().cycle().take(PERIOD + CHUNK).collect()
        })
    });
    let start = usize::try_from(at % PERIOD as u64).unwrap();
    &PATTERNS[side as usize][start..start + length]
}
