//! The hosts file, whose names need no resolver.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes of it that are read. Lists that block advertisements are longer, and are for the resolver.
const MOST: u64 = 1 << 20;

/// The names of the hosts file, read anew when that has changed.
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

    /// Without any.
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

    /// A local file of a few lines is read faster than a thread is found for it.
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
    use super::*;

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
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
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
