//! Names that have no answer, and the threads that look them up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use watertight::simulation::{Lookup, Resolver};

use super::plan::Deviation;

/// Threads of a process that look names up, its own and its targets'.
const THREADS: usize = 2;

/// How names begin that have no answer before the world is quiet.
const HANGS: &str = "hangs-";

/// The resolvers of a process: the library's for its targets, and the threads themselves for its own
/// look-ups.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) of_targets: Resolver,
    threads: Threads,
}

impl Names {
    /// As in the product, targets have half of the threads.
    pub(super) fn new(deviation: Deviation) -> Self {
        let threads = Threads::default();
        let of_targets = threads.clone();
        let most = if deviation == Deviation::LooksUpAll { usize::MAX >> 3 } else { THREADS / 2 };
        let start = move |lookup: Lookup| {
            let hangs = lookup.name().starts_with(HANGS);
            of_targets.run(hangs, move || lookup.answer(Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])));
        };
        Self { of_targets: Resolver::new(most, start), threads }
    }

    /// Looks up the name of a server, which has an answer.
    pub(super) fn of_server(&self) -> oneshot::Receiver<()> {
        let (found, waits) = oneshot::channel();
        // Who waits may have given up.
        self.threads.run(false, move || _ = found.send(()));
        waits
    }

    /// What hung has its answer now.
    pub(super) fn answer(&self) {
        self.threads.answer();
    }

    /// How many names hang in a thread.
    pub(super) fn hanging(&self) -> usize {
        self.threads.lock().hanging.len()
    }
}

/// The name of a target that hangs.
pub(super) fn hanging(target: &str) -> String {
    format!("{HANGS}{target}")
}

/// Threads that block, as a runtime has them: a look-up without a free one waits for it.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Results of the look-ups that block a thread.
    hanging: Vec<Piece>,
    /// Results of look-ups that wait for a thread.
    waiting: Vec<Piece>,
    /// Nothing hangs any more.
    answers: bool,
}

type Piece = Box<dyn FnOnce() + Send>;

impl Threads {
    /// Runs the result of a look-up in a thread, which it blocks until it has its answer if it hangs.
    fn run(&self, hangs: bool, piece: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        let is_free = state.hanging.len() < THREADS;
        if state.answers || is_free && !hangs {
            drop(state);
            piece();
        } else if is_free {
            state.hanging.push(Box::new(piece));
        } else {
            state.waiting.push(Box::new(piece));
        }
    }

    fn answer(&self) {
        let mut state = self.lock();
        state.answers = true;
        let hanging = std::mem::take(&mut state.hanging);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        hanging.into_iter().chain(waiting).for_each(|piece| piece());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn waits<T>(piece: impl Future<Output = T>) -> bool {
        timeout(Duration::from_millis(1), piece).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_hang_leave_a_thread_for_the_server() {
        let names = Names::new(Deviation::None);
        for target in ["a", "b", "a", "c"] {
            assert!(waits(names.of_targets.resolve(&hanging(target))).await);
        }
        assert_eq!(names.hanging(), 1);
        assert!(names.of_server().await.is_ok());
        names.answer();
        assert_eq!(names.hanging(), 0);
        assert!(names.of_targets.resolve(&hanging("b")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_the_server_waits_for_them() {
        let names = Names::new(Deviation::LooksUpAll);
        for target in ["a", "b", "c"] {
            assert!(waits(names.of_targets.resolve(&hanging(target))).await);
        }
        assert_eq!(names.hanging(), THREADS);
        let found = names.of_server();
        names.answer();
        assert!(found.await.is_ok());
    }
}
