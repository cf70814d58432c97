//! Sockets by their source, so that no source excludes the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The source of a socket. An IPv6 network of 64 bits is one source: its owner has all of its
/// addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Source {
    /// A Unix socket, or a byte stream whose remote has no address.
    Local,
    V4(Ipv4Addr),
    V6([u8; 8]),
}

impl Source {
    pub(in crate::server) fn of(remote: Option<SocketAddr>) -> Self {
        match remote.map(|remote| remote.ip().to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::V6(network)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("a Unix socket"),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(network) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(network);
                write!(f, "{}/64", Ipv6Addr::from(octets))
            }
        }
    }
}

/// Sockets, by number: a later one has a higher number.
#[derive(Debug, Default)]
pub(super) struct Shares {
    by_source: BTreeMap<Source, BTreeSet<u64>>,
    by_weight: BTreeSet<(Weight, Source)>,
    len: usize,
}

/// The number of a source's sockets. Of two sources with as many, the one with the oldest socket
/// weighs more: if each has one, the newest stays.
type Weight = (usize, Reverse<Option<u64>>);

fn weight(sockets: &BTreeSet<u64>) -> Weight {
    (sockets.len(), Reverse(sockets.first().copied()))
}

impl Shares {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn of(&self, source: Source) -> usize {
        self.by_source.get(&source).map_or(0, BTreeSet::len)
    }

    pub(super) fn insert(&mut self, source: Source, number: u64) {
        let sockets = self.by_source.entry(source).or_default();
        let is_listed = self.by_weight.remove(&(weight(sockets), source));
        debug_assert_eq!(is_listed, !sockets.is_empty(), "a source with sockets has a weight");
        let is_new = sockets.insert(number);
        debug_assert!(is_new, "a socket is inserted once");
        self.by_weight.insert((weight(sockets), source));
        self.len += 1;
        debug_assert_eq!(self.by_weight.len(), self.by_source.len(), "a source has one weight");
    }

    /// Returns whether it was present.
    pub(super) fn remove(&mut self, source: Source, number: u64) -> bool {
        let Some(sockets) = self.by_source.get_mut(&source) else { return false };
        let before = weight(sockets);
        if !sockets.remove(&number) {
            return false;
        }
        let is_listed = self.by_weight.remove(&(before, source));
        debug_assert!(is_listed, "the weight of a source is up to date");
        if sockets.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.by_weight.insert((weight(sockets), source));
        }
        self.len -= 1;
        debug_assert_eq!(self.by_weight.len(), self.by_source.len(), "a source has one weight");
        true
    }

    /// The source with the most sockets, and their number.
    pub(super) fn heaviest(&self) -> Option<(Source, usize)> {
        debug_assert_eq!(self.len == 0, self.by_weight.is_empty(), "sockets have a source");
        self.by_weight.last().map(|((size, _), source)| (*source, *size))
    }

    /// The source with the fewest sockets; of several, the one whose oldest is the newest.
    pub(super) fn lightest(&self) -> Option<Source> {
        self.by_weight.first().map(|(_, source)| *source)
    }

    pub(super) fn oldest(&self, source: Source) -> Option<u64> {
        self.by_source.get(&source)?.first().copied()
    }

    pub(super) fn newest(&self, source: Source) -> Option<u64> {
        self.by_source.get(&source)?.last().copied()
    }

    /// The oldest socket of each source.
    pub(super) fn first_of_each(&self) -> impl Iterator<Item = (Source, u64)> {
        self.by_source.iter().filter_map(|(source, sockets)| Some((*source, *sockets.first()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::of(Some(address.parse().unwrap()))
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_an_address_of_ipv4_another() {
        assert_eq!(source("[2001:db8::1]:1"), source("[2001:db8:0:0:ffff::1]:2"));
        assert_ne!(source("[2001:db8::1]:1"), source("[2001:db8:0:1::1]:1"));
        assert_eq!(source("192.0.2.1:1"), source("192.0.2.1:2"));
        assert_eq!(source("192.0.2.1:1"), source("[::ffff:192.0.2.1]:1"));
        assert_ne!(source("192.0.2.1:1"), source("192.0.2.2:1"));
        assert_eq!(Source::of(None), Source::Local);
        let shown = ["192.0.2.1:1", "[2001:db8::1]:1"].map(|address| source(address).to_string());
        assert_eq!(shown, ["192.0.2.1", "2001:db8::/64"]);
    }

    #[test]
    fn the_heaviest_source_is_known_as_sockets_come_and_go() {
        let [a, b] = ["192.0.2.1:1", "192.0.2.2:1"].map(source);
        let mut shares = Shares::default();
        assert_eq!(shares.heaviest(), None);
        for (source, number) in [(a, 1), (b, 2), (a, 3)] {
            shares.insert(source, number);
        }
        assert_eq!((shares.len(), shares.of(a), shares.of(b)), (3, 2, 1));
        assert_eq!(shares.heaviest(), Some((a, 2)));
        assert_eq!((shares.oldest(a), shares.newest(a)), (Some(1), Some(3)));
        assert_eq!(shares.first_of_each().collect::<Vec<_>>(), [(a, 1), (b, 2)]);
        shares.insert(b, 4);
        assert_eq!(shares.heaviest(), Some((a, 2)), "its first one is older");
        shares.remove(b, 4);

        assert!(shares.remove(a, 1) && !shares.remove(a, 1) && !shares.remove(b, 3));
        assert!(shares.remove(a, 3));
        assert_eq!((shares.len(), shares.heaviest()), (1, Some((b, 1))));
        assert!(shares.remove(b, 2));
        assert_eq!((shares.len(), shares.heaviest(), shares.oldest(b)), (0, None, None));
        assert!(shares.by_source.is_empty() && shares.by_weight.is_empty());
    }
}
