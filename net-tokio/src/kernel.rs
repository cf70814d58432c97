//! What the kernel knows of a TCP connection, and the options that are set on it.

use std::any::Any;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};
use tracing::debug;

use crate::copy::SimulatedSocket;
use crate::transport::{BoxIo, Prefixed};

/// A TCP connection as its kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpState {
    /// Bytes that the remote's kernel has acknowledged since the beginning, and one for the handshake.
    pub acked: u64,
    /// Bytes that have arrived since the beginning, read or not.
    pub received: u64,
    /// Whether bytes, or the end of file, wait to be sent or acknowledged.
    pub unacked: bool,
    /// How long ago the remote's kernel last acknowledged anything, an unchanged window included.
    pub silent_for: Duration,
    /// How long ago bytes last arrived.
    pub received_ago: Duration,
}

impl TcpState {
    /// That of the TCP connection below a byte stream. `None` if there is none, or the kernel cannot be
    /// asked.
    pub(crate) fn below(io: &dyn Any) -> Option<Self> {
        if let Some(socket) = io.downcast_ref::<TcpStream>() {
            return Self::of(socket);
        }
        if let Some(boxed) = io.downcast_ref::<BoxIo>() {
            return Self::below((**boxed).as_any());
        }
        if let Some(simulated) = io.downcast_ref::<SimulatedSocket>() {
            return simulated.kernel().state();
        }
        if let Some(prefixed) = io.downcast_ref::<Prefixed<BoxIo>>() {
            return Self::below(prefixed.io());
        }
        if let Some(tls) = io.downcast_ref::<client::TlsStream<TcpStream>>() {
            return Self::of(tls.get_ref().0);
        }
        if let Some(tls) = io.downcast_ref::<client::TlsStream<BoxIo>>() {
            return Self::below(tls.get_ref().0);
        }
        let tls = io.downcast_ref::<server::TlsStream<BoxIo>>()?;
        Self::below(tls.get_ref().0)
    }

    /// `None` where the kernel cannot be asked. One system call.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn of(socket: &TcpStream) -> Option<Self> {
        linux::state(socket)
    }

    /// `None` where the kernel cannot be asked.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn of(_: &TcpStream) -> Option<Self> {
        None
    }
}

/// The pause before the second look at what is unacknowledged, and the longest one: there is no event.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(200)];

/// Waits until the remote has acknowledged all that was written, or nothing of it for `patience`.
///
/// A socket that is closed by a reset, or with unread input, drops what is unacknowledged. Returns at
/// once where the kernel cannot be asked. Cancel safe.
pub async fn acknowledged(mut state: impl FnMut() -> Option<TcpState>, patience: Duration) {
    let [mut pause, longest] = PAUSES;
    let (mut acked, mut waited) = (0, Duration::ZERO);
    while let Some(state) = state().filter(|state| state.unacked) {
        if state.acked > acked {
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
/// An idle connection is probed by TCP keepalive, which a machine that is there answers, whatever its
/// programs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive(Option<Duration>);

/// Probes that go unanswered before a connection is given up.
const PROBES: u32 = 6;

impl Default for Keepalive {
    /// Three minutes: longer than the usual restart of a router, short enough that what is left behind
    /// does not pile up.
    fn default() -> Self {
        Self::after(Duration::from_secs(180))
    }
}

impl Keepalive {
    /// Connections are never given up for the silence of a machine.
    pub const OFF: Self = Self(None);

    /// Gives a connection up when its machine has been silent for about `time`, which is 9 seconds at
    /// least: keepalive counts in seconds.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Some(time.max(Duration::from_secs(9))))
    }

    /// After which silence a connection is given up; `None` if it never is.
    #[must_use]
    pub const fn time(self) -> Option<Duration> {
        self.0
    }

    /// As [`apply`](Self::apply). A socket that was reset meanwhile takes no option; reading it says why.
    pub(crate) fn apply_or_log(self, socket: &TcpStream) {
        if let Err(error) = self.apply(socket) {
            debug!(%error, "no keepalive");
        }
    }

    /// Has the kernel probe the connection: after a third of the time, and then six times.
    ///
    /// # Errors
    /// The system refuses, which it does for a socket that is gone.
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

    /// Of a connection that was reset; what waited in it is gone, though it is still counted.
    const CLOSED: u8 = 7;

    /// The places of fields among the words.
    const UNACKED: usize = 4;
    const LAST_DATA_RECV: usize = 11;
    const LAST_ACK_RECV: usize = 12;

    #[derive(Clone, Copy, Debug)]
    struct TcpInfo;

    nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Head, GetStruct<Head>);

    /// Older kernels return less than [`Head`], which the library takes for a bug.
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
        let word = |place: usize| info.words.get(place).copied().unwrap_or(0);
        Some(TcpState {
            acked: info.bytes_acked,
            received: info.bytes_received,
            unacked: info.state != CLOSED && (word(UNACKED) > 0 || info.notsent_bytes > 0),
            silent_for: Duration::from_millis(word(LAST_ACK_RECV).into()),
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

    #[tokio::test]
    async fn what_the_other_end_has_not_taken_is_unacknowledged() {
        let (mut one, mut other) = pair().await;
        let before = TcpState::of(&one).unwrap();
        one.write_all(b"hello").await.unwrap();
        other.read_exact(&mut [0; 5]).await.unwrap();
        while TcpState::of(&one).unwrap().unacked {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(TcpState::of(&one).unwrap().acked - before.acked, 5);
        assert_eq!(TcpState::of(&other).unwrap().received, 5);
        while one.try_write(&[0; 64 << 10]).is_ok() {}
        assert!(TcpState::of(&one).unwrap().unacked);
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
    async fn what_is_unacknowledged_is_waited_for_while_some_of_it_is_taken() {
        let patience = Duration::from_secs(2);
        let state = |acked| TcpState {
            acked,
            received: 0,
            unacked: acked < 10,
            silent_for: Duration::ZERO,
            received_ago: Duration::ZERO,
        };
        let start = tokio::time::Instant::now();
        // A byte a second, all ten of them.
        acknowledged(|| Some(state(start.elapsed().as_secs())), patience).await;
        assert!(start.elapsed() >= Duration::from_secs(10));
        // None of them.
        let start = tokio::time::Instant::now();
        acknowledged(|| Some(state(1)), patience).await;
        let elapsed = start.elapsed();
        assert!(elapsed >= patience && elapsed < patience * 2, "{elapsed:?}");
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
