//! The state that threads share, explored in many interleavings.
//!
//! The simulation runs on one thread. Here [shuttle] runs the real driver, handles, task groups and
//! accounts as threads whose every lock, atomic and wake-up is a choice of the scheduler. Each
//! scenario is explored depth first up to a number of schedules, then at random by probabilistic
//! concurrency testing, which finds a bug of three ordered steps with a known probability. A lost
//! wake-up or a deadlock leaves every thread blocked, which shuttle reports with the schedule.
//!
//! shuttle and not loom: a scenario has hundreds of steps, too many for a search that must end. loom's
//! model of weak memory is not needed: the shared state is behind locks, counters apart.
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle --cfg tokio_unstable" CARGO_TARGET_DIR=target/shuttle \
//!     cargo test -p watertight --no-default-features --lib interleavings
//! ```
//!
//! [shuttle]: https://docs.rs/shuttle

mod link;
mod remote;
mod scenarios;

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::scheduler::{DfsScheduler, PctScheduler, Scheduler};
use shuttle::{Config, Runner};
use tracing::Span;
use watertight_core::wire::Dialect;
use watertight_core::{Event, Role, SessionConfig};

use super::{Buffers, RunOptions, SessionEvents, Shared, prepare};
use crate::tasks::Tasks;
use link::{Link, link};
use remote::Remote;

/// Schedules of each scenario that are explored depth first, and at random.
const DEPTH_FIRST: usize = 20_000;
const RANDOM: usize = 5_000;

/// The number of ordered steps of a bug that the random schedules search for.
const BUG_DEPTH: usize = 3;

/// Explores a scenario.
pub(crate) fn explore(scenario: fn()) {
    run(DfsScheduler::new(Some(DEPTH_FIRST), false), scenario);
    run(PctScheduler::new(BUG_DEPTH, RANDOM), scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    Runner::new(scheduler, config).run(move || {
        crate::sync::reset_time();
        scenario();
    });
}

/// An owner that refuses dials and ignores events.
struct Silent;

impl SessionEvents for Silent {
    fn on_event(&mut self, _: &Arc<Shared>, _: Event) {}
}

/// A session with its driver as a thread, and the remote that the test drives.
struct Session {
    shared: Arc<Shared>,
    tasks: Tasks,
    remote: Remote,
}

impl Session {
    fn with(config: SessionConfig, buffers: &Buffers) -> Self {
        let (near, far) = link();
        let tasks = Tasks::new();
        let options = RunOptions {
            role: Role::Connector,
            dialect: Dialect::Extended,
            config: config.clone(),
            span: Span::none(),
            peer: false,
            limits: Arc::default(),
            buffers: buffers.clone(),
        };
        let (shared, task) = prepare(&tasks, near, options, |_| Silent);
        tasks.spawn(task);
        Self { shared, tasks, remote: Remote::new(far, config) }
    }

    /// The remote disconnects, the driver ends, and nothing is held any more.
    fn end(self) {
        let Self { shared, tasks, remote } = self;
        drop(remote);
        block_on(tasks.wind_down(Duration::from_secs(1)));
        assert_eq!(tasks.live(), 0, "a task is left");
        let ledger = shared.ledger();
        assert!(ledger.is_settled(), "{ledger}");
        assert_eq!(shared.lock().handles(), 0, "a handle is left");
    }
}
