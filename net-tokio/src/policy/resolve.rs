//! Names of targets: how many are looked up at once, and by whom.
//!
//! The system's resolver blocks a thread for as long as it likes, and no look-up can be taken back.
//! So look-ups are counted by what really runs, dials of one name share one, and names of the hosts
//! file need none: a name that hangs takes nothing from the others, nor from the agent's own
//! look-ups, which run in what is left of the runtime's blocking threads.

#![cfg_attr(
    not(feature = "simulation"),
    allow(unreachable_pub, reason = "only a simulation makes a resolver of its own")
)]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::hosts::Hosts;

/// Look-ups that run at once: half of the runtime's blocking threads.
const LOOKUPS: usize = 256;

/// That of the process, whose threads it bounds.
static SYSTEM: LazyLock<Resolver> =
    LazyLock::new(|| Resolver { hosts: Hosts::default(), ..Resolver::new(LOOKUPS, system) });

/// What a look-up has found; `None` while it runs.
type Answer = Option<Result<Vec<IpAddr>, Failure>>;

/// The running look-ups by their names.
type Running = Arc<Mutex<BTreeMap<String, watch::Receiver<Answer>>>>;

/// An error of the resolver, for each of those who wait.
#[derive(Clone, Debug)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

/// The addresses of a name. The caller sets the deadline. Cancel safe.
///
/// # Errors
/// The name has none, or the resolver says why not.
pub(super) async fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    SYSTEM.resolve(name).await
}

/// Looks a name up in a thread of its own.
fn system(lookup: Lookup) {
    tokio::task::spawn_blocking(move || {
        let found = (lookup.name(), 0).to_socket_addrs();
        lookup.answer(found.map(|found| found.map(|address| address.ip()).collect()));
    });
}

/// Looks up the names of targets: not more at once than a bound, and each name once for all who wait
/// for it. Simulations make their own; targets are looked up by that of the process.
pub struct Resolver {
    permits: Arc<Semaphore>,
    hosts: Hosts,
    running: Running,
    start: Box<dyn Fn(Lookup) + Send + Sync>,
}

impl Resolver {
    /// One that runs so many look-ups at once, each of which `start` starts and does not wait for. It
    /// does not know the hosts file.
    pub fn new(lookups: usize, start: impl Fn(Lookup) + Send + Sync + 'static) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(lookups)),
            hosts: Hosts::none(),
            running: Arc::default(),
            start: Box::new(start),
        }
    }

    /// The addresses of a name. The caller sets the deadline. Cancel safe: the look-up goes on.
    ///
    /// # Errors
    /// The name has none, or the look-up says why not.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.hosts.addresses(name);
        if !known.is_empty() {
            return Ok(known);
        }
        let running = lock(&self.running).get(name).cloned();
        let mut answer = match running {
            Some(answer) => answer,
            None => self.look_up(name).await?,
        };
        let answered = answer.wait_for(Option::is_some).await;
        match answered.ok().and_then(|answer| answer.clone()) {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(Failure { kind, text })) => Err(io::Error::new(kind, text)),
            None => Err(io::Error::other("the look-up was given up")),
        }
    }

    /// Starts to look a name up, once there may be one more.
    async fn look_up(&self, name: &str) -> io::Result<watch::Receiver<Answer>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let mut running = lock(&self.running);
        // Somebody else may have waited for less time.
        if let Some(answer) = running.get(name) {
            return Ok(answer.clone());
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(name.to_string(), receiver.clone());
        drop(running);
        let all = Arc::clone(&self.running);
        (self.start)(Lookup { name: name.to_string(), sender, all, _permit: permit });
        Ok(receiver)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// A look-up that runs: one of the bound until it is answered or dropped, whoever waits for it.
#[derive(Debug)]
pub struct Lookup {
    name: String,
    sender: watch::Sender<Answer>,
    all: Running,
    _permit: OwnedSemaphorePermit,
}

impl Lookup {
    /// What is looked up.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells all who wait.
    pub fn answer(self, found: io::Result<Vec<IpAddr>>) {
        let failure = |error: io::Error| Failure { kind: error.kind(), text: error.to_string() };
        self.sender.send_replace(Some(found.map_err(failure)));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;

    /// Opens when the test is over.
    static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// Names that begin with `hang` have no answer before the gate opens.
    fn look_up(lookup: Lookup) {
        tokio::task::spawn_blocking(move || {
            if lookup.name().starts_with("hang") {
                let shut = GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open);
                drop(shut);
            }
            assert_ne!(lookup.name(), "panics");
            let found = match lookup.name() {
                "nowhere" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                _ => Ok(vec![[10, 0, 0, 1].into()]),
            };
            lookup.answer(found);
        });
    }

    fn resolver() -> Resolver {
        Resolver { hosts: Hosts::of_text("127.0.0.1 localhost\n"), ..Resolver::new(4, look_up) }
    }

    async fn hangs(resolver: &Resolver, name: &str) -> bool {
        let looked_up = resolver.resolve(name);
        tokio::time::timeout(Duration::from_millis(1), looked_up).await.is_err()
    }

    #[tokio::test]
    async fn n5_names_that_hang_leave_the_others_alone() {
        let resolver = Arc::new(resolver());
        for _ in 0..20 {
            assert!(hangs(&resolver, "hang-1").await);
        }
        assert!(hangs(&resolver, "hang-2").await);
        assert_eq!(resolver.permits.available_permits(), 2, "one for each name");
        assert_eq!(resolver.resolve("web").await.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(resolver.resolve("nowhere").await.unwrap_err().to_string(), "no such name");
        let given_up = resolver.resolve("panics").await.unwrap_err();
        assert_eq!(given_up.to_string(), "the look-up was given up");
        for name in ["hang-3", "hang-4", "hang-5"] {
            assert!(hangs(&resolver, name).await);
        }
        assert_eq!(resolver.permits.available_permits(), 0, "dials that are gone count on");
        assert_eq!(resolver.resolve("localhost").await.unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        let shared = Arc::clone(&resolver);
        let late = tokio::spawn(async move { shared.resolve("hang-1").await });
        *GATE.0.lock().unwrap() = true;
        GATE.1.notify_all();
        assert_eq!(late.await.unwrap().unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(resolver.resolve("web").await.unwrap().len(), 1);
        while resolver.permits.available_permits() < 4 {
            tokio::task::yield_now().await;
        }
        assert!(resolver.running.lock().unwrap().is_empty(), "nothing is left of them");
    }
}
