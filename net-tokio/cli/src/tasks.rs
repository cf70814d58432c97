//! Tasks of the admin server: counted, and all ended when it has stopped.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A group of tasks that end together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    kill: CancellationToken,
}

/// A task that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Tied(DropGuard);

impl Tied {
    /// Lets the task end by itself.
    pub(crate) fn release(self) {
        self.0.disarm();
    }
}

impl Tasks {
    /// Runs `task` until it ends or the group is killed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tracker.spawn(until_killed(kill, task));
    }

    /// The same, and kills the task when the returned guard is dropped.
    pub(crate) fn spawn_tied(&self, task: impl Future<Output = ()> + Send + 'static) -> Tied {
        let kill = self.kill.child_token();
        self.tracker.spawn(until_killed(kill.clone(), task));
        Tied(kill.drop_guard())
    }

    /// Lets the tasks end by themselves for `grace`, then kills them. Returns how many are left,
    /// which is none.
    pub(crate) async fn wind_down(&self, grace: Duration) -> usize {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_err() {
            self.kill.cancel();
            self.tracker.wait().await;
        }
        self.tracker.len()
    }
}

async fn until_killed(kill: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = kill.cancelled() => {}
        () = task => {}
    }
}
