//! Names of targets: how many are looked up at once, and by whom.
//!
//! The system's resolver blocks a thread for as long as it likes, and no look-up can be taken back.
//! So look-ups are counted by what really runs, dials of one name share one, and names of the hosts
//! file need none: a name that hangs takes nothing from the others, nor from the agent's own
//! look-ups, which run in what is left of the runtime's blocking threads.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::hosts::Hosts;

/// Look-ups that run at once: half of the runtime's blocking threads.
const LOOKUPS: usize = 256;

/// That of the process, whose threads it bounds.
static SYSTEM: LazyLock<Resolver> =
    LazyLock::new(|| Resolver::new(LOOKUPS, Hosts::default(), system));

/// What a look-up has found; `None` while it runs.
type Answer = Option<Result<Vec<IpAddr>, Failure>>;

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

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[derive(Debug)]
struct Resolver {
    permits: Arc<Semaphore>,
    hosts: Hosts,
    running: Arc<Mutex<BTreeMap<String, watch::Receiver<Answer>>>>,
    look_up: fn(&str) -> io::Result<Vec<IpAddr>>,
}

impl Resolver {
    fn new(lookups: usize, hosts: Hosts, look_up: fn(&str) -> io::Result<Vec<IpAddr>>) -> Self {
        Self { permits: Arc::new(Semaphore::new(lookups)), hosts, running: Arc::default(), look_up }
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.hosts.addresses(name);
        if !known.is_empty() {
            return Ok(known);
        }
        let mut answer = match self.running(name) {
            Some(answer) => answer,
            None => self.start(name).await?,
        };
        let answered = answer.wait_for(Option::is_some).await;
        match answered.ok().and_then(|answer| answer.clone()) {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(Failure { kind, text })) => Err(io::Error::new(kind, text)),
            None => Err(io::Error::other("the look-up was given up")),
        }
    }

    /// The running look-up of a name.
    fn running(&self, name: &str) -> Option<watch::Receiver<Answer>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).filter(|answer| answer.has_changed().is_ok()).cloned()
    }

    /// Looks a name up in a thread of its own, which has its permit until it is done.
    async fn start(&self, name: &str) -> io::Result<watch::Receiver<Answer>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have waited for less time.
        if let Some(answer) = running.get(name).filter(|answer| answer.has_changed().is_ok()) {
            return Ok(answer.clone());
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(name.to_string(), receiver.clone());
        drop(running);
        let (all, look_up, name) = (Arc::clone(&self.running), self.look_up, name.to_string());
        tokio::task::spawn_blocking(move || {
            let found = look_up(&name);
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            sender.send_replace(Some(
                found.map_err(|error| Failure { kind: error.kind(), text: error.to_string() }),
            ));
            drop(permit);
        });
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;

    /// Opens when the test is over.
    static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// Names that begin with `hang` have no answer before the gate opens.
    fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("hang") {
            let shut = GATE.1.wait_while(GATE.0.lock().unwrap(), |open| !*open);
            drop(shut);
        }
        if name == "nowhere" {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such name"));
        }
        Ok(vec![[10, 0, 0, 1].into()])
    }

    fn hosts() -> Hosts {
        Hosts::of_text("127.0.0.1 localhost\n")
    }

    async fn hangs(resolver: &Resolver, name: &str) -> bool {
        let looked_up = resolver.resolve(name);
        tokio::time::timeout(Duration::from_millis(1), looked_up).await.is_err()
    }

    #[tokio::test]
    async fn n5_names_that_hang_leave_the_others_alone() {
        let resolver = Arc::new(Resolver::new(4, hosts(), look_up));
        for _ in 0..20 {
            assert!(hangs(&resolver, "hang-1").await);
        }
        assert!(hangs(&resolver, "hang-2").await);
        assert_eq!(resolver.permits.available_permits(), 2, "one for each name");
        assert_eq!(resolver.resolve("web").await.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(resolver.resolve("nowhere").await.unwrap_err().to_string(), "no such name");
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
