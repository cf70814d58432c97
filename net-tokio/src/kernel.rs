//! The kernel's state of a TCP connection, and the options that are set on it.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tracing::debug;

/// A TCP connection as its kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpState {
    /// Bytes that the remote's kernel has acknowledged since the beginning, and one for the handshake.
    pub acked: u64,
    /// Bytes that have arrived since the beginning, read or not.
    pub received: u64,
    /// Whether bytes, or the end of file, are still to be sent or acknowledged.
    pub unacked: bool,
    /// How long ago the remote's kernel last acknowledged anything, an unchanged window included.
    pub silent_for: Duration,
    /// Whether it owes an answer: bytes are in flight, or it has left probes of its closed window
    /// unanswered. While a reader pauses, the probes are minutes apart.
    pub owes_answer: bool,
    /// How long ago bytes last arrived.
    pub received_ago: Duration,
}

impl TcpState {
    /// Whether the remote's machine has vanished: it owes an answer for so long.
    #[must_use]
    pub fn has_vanished(&self, after: Duration) -> bool {
        self.unacked && self.owes_answer && self.silent_for >= after
    }

    /// `None` where the kernel has no such state. One system call.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn of(socket: &TcpStream) -> Option<Self> {
        linux::state(socket)
    }

    /// `None` where the kernel has no such state.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn of(_: &TcpStream) -> Option<Self> {
        None
    }
}

/// Acknowledged bytes that count as progress: single bytes would hold a connection for days.
const SOME: u64 = 64;

/// The first and the longest pause between two checks of the unacknowledged bytes: the kernel has
/// no event for them.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(200)];
const _: () = assert!(PAUSES[0].as_millis() < PAUSES[1].as_millis(), "a pause gets longer");

/// Waits until the remote has acknowledged all that was written, or acknowledges less than 64 bytes
/// within `patience`: single bytes would hold the connection for days.
///
/// The kernel discards unacknowledged bytes when it closes a socket by a reset, or with unread
/// input. Returns at once where the kernel has no such state. Cancel safe.
pub async fn acknowledged(mut state: impl FnMut() -> Option<TcpState>, patience: Duration) {
    let [mut pause, longest] = PAUSES;
    let (mut acked, mut waited) = (0, Duration::ZERO);
    while let Some(state) = state().filter(|state| state.unacked) {
        if state.acked >= acked + SOME {
            (acked, waited) = (state.acked, Duration::ZERO);
        } else if waited >= patience {
            return;
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(longest);
    }
}

/// How long a user's or target's machine may be silent before it counts as vanished.
///
/// TCP keepalive probes an idle connection. The machine's kernel answers, independently of its
/// programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive(Option<Duration>);

/// Unanswered probes after which a connection is reset.
const PROBES: u32 = 6;

impl Default for Keepalive {
    /// Three minutes: longer than the usual restart of a router, short enough that dead connections
    /// do not accumulate.
    fn default() -> Self {
        Self::after(Duration::from_secs(180))
    }
}

impl Keepalive {
    /// Connections are never reset for the silence of a machine.
    pub const OFF: Self = Self(None);

    /// Resets a connection when its machine has been silent for about `time`, which is 9 seconds at
    /// least: keepalive counts in seconds.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Some(time.max(Duration::from_secs(9))))
    }

    /// The silence after which a connection is reset; `None` if it never is.
    #[must_use]
    pub const fn time(self) -> Option<Duration> {
        self.0
    }

    /// As [`apply`](Self::apply). A socket that was reset refuses options; reading it reports the
    /// error.
    pub(crate) fn apply_or_log(self, socket: &TcpStream) {
        if let Err(error) = self.apply(socket) {
            debug!(%error, "no keepalive");
        }
    }

    /// Enables keepalive: the first probe after a third of the time, then six.
    ///
    /// # Errors
    ///
    /// The system refuses, as it does for a socket that was reset.
    pub fn apply(self, socket: &TcpStream) -> io::Result<()> {
        let Some(time) = self.0 else { return Ok(()) };
        let (idle, interval) = (time / 3, time * 2 / 3 / PROBES);
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(interval.max(Duration::from_secs(1)))
            .with_retries(PROBES);
        SockRef::from(socket).set_tcp_keepalive(&keepalive)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::LazyLock;
    use std::time::Duration;

    use nix::libc;
    use nix::sys::socket::getsockopt;
    use nix::sys::socket::sockopt::GetStruct;
    use nix::sys::utsname::uname;
    use tokio::net::TcpStream;

    use super::TcpState;

    /// The beginning of the kernel's `struct tcp_info`, up to the last field that is used.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Head {
        state: u8,
        bytes: [u8; 7],
        /// From `tcpi_rto` to `tcpi_total_retrans`.
        words: [u32; 24],
        pacing: [u64; 2],
        bytes_acked: u64,
        bytes_received: u64,
        segments: [u32; 2],
        notsent_bytes: u32,
        min_rtt: u32,
    }

    /// The state of a connection that was reset. Its queue is discarded, though still counted.
    const CLOSED: u8 = 7;

    /// The index of `tcpi_probes` in the bytes.
    const PROBES: usize = 2;

    /// Unanswered probes of a closed window after which a machine has vanished: one may be lost,
    /// and the newest may still be in flight.
    const UNANSWERED: u8 = 3;

    /// The indices of fields in the words.
    const UNACKED: usize = 4;
    const LAST_DATA_RECV: usize = 11;
    const LAST_ACK_RECV: usize = 12;

    #[derive(Clone, Copy, Debug)]
    struct TcpInfo;

    nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Head, GetStruct<Head>);

    /// Older kernels return less than [`Head`], which `nix` treats as a bug.
    static RETURNS_ALL: LazyLock<bool> = LazyLock::new(|| {
        let release = uname().ok().map(|name| name.release().to_string_lossy().into_owned());
        release.is_some_and(|release| is_recent(&release))
    });

    /// Since 4.6.
    fn is_recent(release: &str) -> bool {
        let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (4, 6)
    }

    pub(super) fn state(socket: &TcpStream) -> Option<TcpState> {
        if !*RETURNS_ALL {
            return None;
        }
        let info = getsockopt(socket, TcpInfo).ok()?;
        let word = |index: usize| info.words.get(index).copied().unwrap_or(0);
        Some(TcpState {
            acked: info.bytes_acked,
            received: info.bytes_received,
            unacked: info.state != CLOSED && (word(UNACKED) > 0 || info.notsent_bytes > 0),
            silent_for: Duration::from_millis(word(LAST_ACK_RECV).into()),
            owes_answer: word(UNACKED) > 0 || info.bytes.get(PROBES) >= Some(&UNANSWERED),
            received_ago: Duration::from_millis(word(LAST_DATA_RECV).into()),
        })
    }

    #[cfg(test)]
    mod tests {
        use std::mem::size_of;

        use super::*;

        #[test]
        fn releases_are_compared_by_number() {
            for (release, recent) in [
                ("4.6.0", true),
                ("4.10.17-x", true),
                ("6.18", true),
                ("4.4.0", false),
                ("x", false),
            ] {
                assert_eq!(is_recent(release), recent, "{release}");
            }
        }

        #[test]
        fn the_head_is_laid_out_as_the_kernels() {
            assert_eq!(size_of::<Head>(), 152);
            assert!(size_of::<Head>() <= size_of::<libc::tcp_info>());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (socket, listener.accept().await.unwrap().0)
    }

    /// Waits for a state of the kernel.
    async fn until(socket: &TcpStream, is_so: impl Fn(&TcpState) -> bool) -> TcpState {
        let waiting = async {
            loop {
                match TcpState::of(socket).unwrap() {
                    state if is_so(&state) => return state,
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap()
    }

    #[tokio::test]
    async fn bytes_that_the_remote_has_not_received_are_unacknowledged() {
        let (mut one, mut other) = pair().await;
        let before = TcpState::of(&one).unwrap();
        one.write_all(b"hello").await.unwrap();
        other.read_exact(&mut [0; 5]).await.unwrap();
        let state = until(&one, |state| !state.unacked).await;
        assert_eq!(state.acked - before.acked, 5);
        assert_eq!(TcpState::of(&other).unwrap().received, 5);
        while one.try_write(&[0; 64 << 10]).is_ok() {}
        assert!(TcpState::of(&one).unwrap().unacked);
    }

    #[tokio::test]
    async fn n2_a_machine_whose_reader_pauses_owes_nothing() {
        let (one, _other) = pair().await;
        while one.try_write(&[0; 64 << 10]).is_ok() {}
        // The rest is not sent before the window opens again, except for probes, which are
        // answered.
        let state = until(&one, |state| !state.owes_answer).await;
        assert!(state.unacked && !state.has_vanished(Duration::ZERO), "{state:?}");
    }

    #[tokio::test]
    async fn a_socket_that_was_reset_waits_for_nothing() {
        let (one, other) = pair().await;
        while one.try_write(&[0; 64 << 10]).is_ok() {}
        other.set_zero_linger().unwrap();
        drop(other);
        one.ready(tokio::io::Interest::ERROR).await.unwrap();
        assert!(!TcpState::of(&one).unwrap().unacked);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_acknowledgements_lasts_while_some_arrive() {
        let patience = Duration::from_secs(2);
        let state = |acked| TcpState {
            acked,
            received: 0,
            unacked: acked < 1000,
            silent_for: Duration::ZERO,
            owes_answer: true,
            received_ago: Duration::ZERO,
        };
        let start = tokio::time::Instant::now();
        // A hundred bytes a second, all thousand of them.
        acknowledged(|| Some(state(100 * start.elapsed().as_secs())), patience).await;
        assert!(start.elapsed() >= Duration::from_secs(10));
        // None of them, then single ones.
        for a_second in [0, 30] {
            let start = tokio::time::Instant::now();
            acknowledged(|| Some(state(1 + a_second * start.elapsed().as_secs())), patience).await;
            let elapsed = start.elapsed();
            assert!(elapsed >= patience && elapsed < patience * 2, "{a_second}: {elapsed:?}");
        }
        acknowledged(|| None, patience).await;
    }

    #[tokio::test]
    async fn a_socket_is_probed_by_its_time() {
        let (socket, _other) = pair().await;
        Keepalive::OFF.apply(&socket).unwrap();
        assert!(!SockRef::from(&socket).keepalive().unwrap());
        Keepalive::default().apply(&socket).unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        let times =
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!(times, (Duration::from_secs(60), Duration::from_secs(20)));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 6);
    }
}
