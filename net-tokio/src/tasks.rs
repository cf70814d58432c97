//! Groups of tasks: every task has an owner that ends it and can wait for its end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::sync::{AtomicUsize, now, sleep_until, spawn};

/// A group of tasks that end together. Groups nest: killing one kills its descendants.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// The trackers of the groups above this one: they wait for its tasks, too.
    above: Vec<TaskTracker>,
    kill: CancellationToken,
    /// Tasks alive in this group and all groups of the same tree.
    live: Arc<AtomicUsize>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            above: Vec::new(),
            kill: CancellationToken::new(),
            live: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// A group whose tasks are killed with this one's, or before.
    pub(crate) fn child(&self) -> Self {
        let mut above = self.above.clone();
        above.push(self.tracker.clone());
        Self {
            tracker: TaskTracker::new(),
            above,
            kill: self.kill.child_token(),
            live: Arc::clone(&self.live),
        }
    }

    /// Runs `task` until it ends or the group is killed, whichever is first.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed: a future that selects over another one has space for it twice.
        let task = Box::pin(task);
        let kill = self.kill.clone();
        let awaited: Vec<_> = self.above.iter().map(TaskTracker::token).collect();
        let alive = Alive::new(&self.live);
        spawn(self.tracker.track_future(async move {
            // Dropped in the reverse order: a waiter for the task finds it no longer counted.
            let _awaited = awaited;
            let _alive = alive;
            tokio::select! {
                biased;
                () = kill.cancelled() => {}
                () = task => {}
            }
        }));
    }

    /// Lets the tasks end by themselves for at most `grace`, then kills them; returns when none is
    /// left. Cancel safe: calling it again continues.
    pub(crate) async fn wind_down(&self, grace: Duration) {
        self.tracker.close();
        if !ends_within(grace, self.tracker.wait()).await {
            self.kill();
            self.tracker.wait().await;
        }
    }

    /// Kills the group.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
    }

    /// Kills the group when the guard is dropped.
    pub(crate) fn kill_on_drop(&self) -> DropGuard {
        self.kill.clone().drop_guard()
    }

    /// Tasks alive in the whole tree of groups.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

/// Whether `future` ends within `timeout`.
async fn ends_within(timeout: Duration, future: impl Future<Output = ()>) -> bool {
    // A time that the clock cannot express is without a limit.
    let Some(at) = now().checked_add(timeout) else {
        future.await;
        return true;
    };
    tokio::select! {
        biased;
        () = future => true,
        () = sleep_until(at) => false,
    }
}

/// Counts a task from its birth until its future has been dropped.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(live))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a task is counted until its future is dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn killing_a_group_kills_those_below_it_and_waits_for_them() {
        let tasks = Tasks::new();
        let child = tasks.child();
        tasks.spawn(std::future::pending());
        child.spawn(std::future::pending());
        assert_eq!(tasks.live(), 2);
        // A task that only its own group waits for has also ended by then.
        tasks.wind_down(Duration::from_secs(1)).await;
        assert_eq!(tasks.live(), 0);
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_not_killed() {
        let tasks = Tasks::new();
        let (done, wait) = tokio::sync::oneshot::channel();
        tasks.spawn(async move { done.send(()).unwrap() });
        tasks.wind_down(Duration::from_secs(10)).await;
        wait.await.unwrap();
        assert_eq!(tasks.live(), 0);
    }

    #[tokio::test]
    async fn dropping_the_guard_kills() {
        let tasks = Tasks::new();
        tasks.spawn(std::future::pending());
        drop(tasks.kill_on_drop());
        tasks.wind_down(Duration::from_secs(600)).await;
        assert_eq!(tasks.live(), 0);
    }
}
