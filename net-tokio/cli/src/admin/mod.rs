//! The admin server: health, metrics, clients, and the HTTP proxy into the agents' networks.
//!
//! It asks nobody for a password and is as powerful as the policies of the agents together. That
//! is why it listens on loopback or a Unix socket only, and does not answer what other pages in a
//! browser ask for.

mod accept;
mod answer;
mod client;
mod guard;
mod proxy;
mod routes;
mod slots;
mod socket;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use watertight::tls::{ClientTls, TlsError};
use watertight::{Keepalive, Listener, Server};

use crate::cli::ForwardedRule;
use crate::failure::Failure;
use crate::tasks::Tasks;

use routes::{Metrics, keep_up};
use slots::Slots;

/// How long requests may continue after the tunnels have ended. Nothing is left by then that could
/// take long, but the last answer may not be written yet.
const GRACE: Duration = Duration::from_secs(1);

/// Lines of a head that are taken, as many as a request or an answer through a proxy may have.
const HEADER_LINES: usize = 1000;

/// The running admin server.
#[derive(Debug)]
pub(crate) struct Admin {
    state: Arc<State>,
}

/// How requests are passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProxyOptions {
    pub(crate) forwarded: ForwardedRule,
    /// Whether each target has a host name of its own, for browsers.
    pub(crate) pages: bool,
}

/// What its tasks share.
#[derive(Debug)]
struct State {
    server: Server,
    keepalive: Keepalive,
    metrics: Metrics,
    /// For `https` targets behind the agents. A machine without trusted roots can do without.
    tls: Result<ClientTls, TlsError>,
    /// Which headers about the origin of a request a target gets.
    forwarded: ForwardedRule,
    /// Whether each target has a host name of its own, for browsers.
    pages: bool,
    draining: AtomicBool,
    /// Whether browsers can reach it, so that requests are checked for it.
    guarded: bool,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Admin {
    /// Serves `server`'s state on `listeners`.
    pub(crate) fn start(
        listeners: Vec<Listener>,
        server: Server,
        keepalive: Keepalive,
        proxy: ProxyOptions,
    ) -> Result<Self, Failure> {
        let state = Arc::new(State {
            server,
            keepalive,
            metrics: Metrics::install()?,
            tls: ClientTls::system(),
            forwarded: proxy.forwarded,
            pages: proxy.pages,
            draining: AtomicBool::new(false),
            guarded: listeners.iter().any(|listener| matches!(listener, Listener::Tcp(_))),
            stop: CancellationToken::new(),
            tasks: Tasks::default(),
        });
        state.tasks.spawn(keep_up(state.metrics.clone(), state.stop.clone()));
        let slots = Arc::<Slots>::default();
        for listener in listeners {
            state.tasks.spawn(accept::accept(Arc::clone(&state), listener, Arc::clone(&slots)));
        }
        Ok(Self { state })
    }

    /// From here on `/healthz` reports that the server drains.
    pub(crate) fn set_draining(&self) {
        self.state.draining.store(true, Ordering::Relaxed);
    }

    /// Ends every task. Returns how many are left, which is none.
    pub(crate) async fn stop(self) -> usize {
        self.state.stop.cancel();
        self.state.tasks.wind_down(GRACE).await
    }
}
