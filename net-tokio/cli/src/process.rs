//! The process: its signals, and the limit of its open files.

use std::future::Future;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::failure::{Failure, exit_code};
use crate::stdio;

/// How long a drain may take by default.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// SIGTERM and Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Handles the signals from here on: they do not end the process by themselves.
    pub(crate) fn install() -> Result<Self, Failure> {
        let handle = |kind| {
            signal(kind)
                .map_err(|error| Failure::start(format_args!("cannot handle signals: {error}")))
        };
        let terminate = handle(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: handle(SignalKind::interrupt())? })
    }

    /// Waits for one of them. Cancel safe.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }

    /// Runs `drain` to its end. A signal cuts it short in favour of `close`, another one ends the
    /// process.
    pub(crate) async fn drain_or_close<T>(
        &mut self,
        drain: impl Future<Output = T>,
        close: impl Future<Output = T>,
    ) -> T {
        info!("draining: no new connections; signal again to cut open ones");
        tokio::select! {
            biased;
            done = drain => return done,
            _ = self.next() => warn!("another signal: closing what is open"),
        }
        tokio::select! {
            biased;
            done = close => done,
            third = self.next() => exit_at_once(third),
        }
    }
}

fn exit_at_once(signal: SignalKind) -> ! {
    stdio::error("stopped at once, without a ledger");
    stdio::flush();
    let number = u8::try_from(signal.as_raw_value()).unwrap_or(0);
    std::process::exit(i32::from(exit_code::SIGNAL.saturating_add(number)))
}

/// Raises the limit to what the system lets this process have. The usual one, 1024, is for programs
/// that cannot count further; here each connection takes a descriptor.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(%error, ?current, "cannot raise the limit on open files");
    }
}

/// How many there may be.
pub(crate) fn limit() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
