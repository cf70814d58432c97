//! Name resolution of targets: the system's resolver, and the hosts file, which needs no thread.

#![cfg_attr(
    not(feature = "simulation"),
    allow(unreachable_pub, reason = "only a simulation makes a resolver of its own")
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use std::{fmt, fs, io};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Look-ups that run at once: half of the runtime's blocking threads.
const LOOKUPS: usize = 256;

/// The resolver of the process. Its bound protects the process's blocking threads.
static SYSTEM: LazyLock<Resolver> =
    LazyLock::new(|| Resolver { hosts: Hosts::default(), ..Resolver::new(LOOKUPS, system) });

/// The result of a look-up; `None` while it runs.
type Answer = Option<Result<Vec<IpAddr>, Failure>>;

/// The running look-ups by their names.
type Running = Arc<Mutex<BTreeMap<String, watch::Receiver<Answer>>>>;

/// An error of the resolver, cloned for each caller.
#[derive(Clone, Debug)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

/// The addresses of a name. The caller sets the deadline. Cancel safe.
///
/// # Errors
///
/// The name has none, or the resolver failed.
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

/// Resolves the names of targets: with a bound of concurrent look-ups, and one look-up for all
/// callers with the same name. Simulations make their own; targets are resolved by the process's.
pub struct Resolver {
    permits: Arc<Semaphore>,
    hosts: Hosts,
    running: Running,
    start: Box<dyn Fn(Lookup) + Send + Sync>,
}

impl Resolver {
    /// A resolver with at most `lookups` look-ups at once. `start` starts each of them and does not
    /// wait. It does not read the hosts file.
    pub fn new(lookups: usize, start: impl Fn(Lookup) + Send + Sync + 'static) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(lookups)),
            hosts: Hosts::none(),
            running: Arc::default(),
            start: Box::new(start),
        }
    }

    /// The addresses of a name. The caller sets the deadline. Cancel safe: the look-up continues.
    ///
    /// # Errors
    ///
    /// The name has none, or the look-up failed.
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

    /// Starts a look-up, once a permit is free.
    async fn look_up(&self, name: &str) -> io::Result<watch::Receiver<Answer>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let mut running = lock(&self.running);
        // Another caller may have started it while this one waited for the permit.
        if let Some(answer) = running.get(name) {
            return Ok(answer.clone());
        }
        let (sender, receiver) = watch::channel(None);
        let before = running.insert(name.to_string(), receiver.clone());
        debug_assert!(before.is_none(), "a name has one look-up at a time");
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

/// A running look-up. It holds a permit until it is answered or dropped, even if no caller waits
/// any more.
#[derive(Debug)]
pub struct Lookup {
    name: String,
    sender: watch::Sender<Answer>,
    all: Running,
    _permit: OwnedSemaphorePermit,
}

impl Lookup {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends the result to all callers.
    pub fn answer(self, found: io::Result<Vec<IpAddr>>) {
        let failure = |error: io::Error| Failure { kind: error.kind(), text: error.to_string() };
        self.sender.send_replace(Some(found.map_err(failure)));
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        let removed = lock(&self.all).remove(&self.name);
        debug_assert!(removed.is_some(), "a look-up is listed until it ends");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the file that are read. Longer lists block advertisements, and are for the resolver.
const MOST: u64 = 1 << 20;

/// The names of the hosts file, read again after it has changed.
#[derive(Debug)]
pub(super) struct Hosts {
    path: PathBuf,
    read: Mutex<(Option<SystemTime>, Arc<str>)>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::at("/etc/hosts".into())
    }
}

impl Hosts {
    fn at(path: PathBuf) -> Self {
        Self { path, read: Mutex::new((None, Arc::from(""))) }
    }

    /// An empty file.
    pub(super) fn none() -> Self {
        Self::at(PathBuf::new())
    }

    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self { path: PathBuf::new(), read: Mutex::new((None, Arc::from(text))) }
    }

    /// The addresses of a name; none if the file does not have it, or cannot be read.
    pub(super) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let text = self.text();
        text.lines().filter_map(|line| address(line, name)).collect()
    }

    /// Read here: a local file of a few lines is read faster than a thread is scheduled.
    fn text(&self) -> Arc<str> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = fs::metadata(&self.path).ok();
        let metadata = metadata.filter(|file| file.is_file() && file.len() <= MOST);
        let modified = metadata.and_then(|metadata| metadata.modified().ok());
        if modified != read.0 {
            let is_there = modified.is_some();
            let text = is_there.then(|| fs::read_to_string(&self.path).unwrap_or_default());
            *read = (modified, text.unwrap_or_default().into());
        }
        Arc::clone(&read.1)
    }
}

/// The address of a line that has the name.
fn address(line: &str, name: &str) -> Option<IpAddr> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let address = words.next()?.parse().ok()?;
    words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name)).then_some(address)
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;

    /// Opens at the end of the test.
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

    #[test]
    fn names_are_found_by_line() {
        let hosts = Hosts::of_text(
            "127.0.0.1 localhost Me.example\n# 10.0.0.1 web\n10.0.0.2\tweb # not db\n::1 localhost\nx y\n",
        );
        let addresses = |name: &str| -> Vec<_> {
            hosts.addresses(name).iter().map(ToString::to_string).collect()
        };
        assert_eq!(addresses("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(addresses("me.example"), ["127.0.0.1"]);
        assert_eq!(addresses("web"), ["10.0.0.2"]);
        assert!(
            addresses("db").is_empty() && addresses("y").is_empty() && addresses("x").is_empty()
        );
    }

    #[test]
    fn the_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let hosts = Hosts::at(path.clone());
        assert!(hosts.addresses("web").is_empty());
        let write = |text: &str, seconds: u64| {
            fs::write(&path, text).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        write("10.0.0.1 web", 1);
        assert_eq!(hosts.addresses("web"), [IpAddr::from([10, 0, 0, 1])]);
        write("10.0.0.2 web", 2);
        assert_eq!(hosts.addresses("web"), [IpAddr::from([10, 0, 0, 2])]);
        fs::remove_file(&path).unwrap();
        assert!(hosts.addresses("web").is_empty());
    }
}
