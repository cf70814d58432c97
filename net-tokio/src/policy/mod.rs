//! What may be dialled: nothing, unless told.

mod connect;
mod dial;
mod hosts;
mod pattern;
mod resolve;

use std::net::IpAddr;

pub(crate) use connect::connect_any;
pub(crate) use dial::Dialled;
pub use dial::TargetError;
pub use pattern::{InvalidPattern, Pattern};
pub use resolve::{Lookup, Resolver};

use crate::target::{Host, Target};

/// What an end lets the other one dial. The default allows nothing.
///
/// A pattern of addresses also allows names that resolve to one of them, and only that address is
/// then dialled: a name cannot smuggle in an address that the patterns do not allow. A pattern of
/// names trusts the resolver for these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    patterns: Vec<Pattern>,
}

impl FromIterator<Pattern> for Policy {
    fn from_iter<T: IntoIterator<Item = Pattern>>(patterns: T) -> Self {
        Self { patterns: patterns.into_iter().collect() }
    }
}

impl Policy {
    /// Whether nothing is allowed at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the target could be dialled. For a name that only a pattern of addresses can
    /// allow, that depends on what it resolves to.
    #[must_use]
    pub fn may_allow(&self, target: &Target) -> bool {
        match target {
            Target::Unix(path) => self.patterns.iter().any(|pattern| pattern.allows_path(path)),
            Target::Tcp { host: Host::Ip(ip), port } => self.allows_address(*ip, *port),
            Target::Tcp { host: Host::Name(name), port } => {
                self.allows_name(name, *port)
                    || self.patterns.iter().any(|pattern| pattern.is_of_addresses(*port))
            }
        }
    }

    /// Whether this address, to which the target's host resolved, may be dialled.
    #[must_use]
    pub fn allows_resolved(&self, target: &Target, ip: IpAddr) -> bool {
        match target {
            Target::Unix(_) => false,
            Target::Tcp { host: Host::Ip(_), port } => self.allows_address(ip, *port),
            Target::Tcp { host: Host::Name(name), port } => {
                self.allows_name(name, *port) || self.allows_address(ip, *port)
            }
        }
    }

    fn allows_name(&self, name: &str, port: u16) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows_name(name, port))
    }

    fn allows_address(&self, ip: IpAddr, port: u16) -> bool {
        // An IPv4 address in IPv6 clothes is the same host.
        let ip = ip.to_canonical();
        self.patterns.iter().any(|pattern| pattern.allows_address(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(patterns: &[&str]) -> Policy {
        patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()
    }

    fn allows(patterns: &[&str], target: &str) -> bool {
        let target: Target = target.parse().unwrap();
        let Target::Tcp { host: Host::Ip(ip), .. } = &target else {
            return policy(patterns).may_allow(&target);
        };
        let (may, does) =
            (policy(patterns).may_allow(&target), policy(patterns).allows_resolved(&target, *ip));
        assert_eq!(may, does, "{target}");
        may
    }

    #[test]
    fn nothing_is_allowed_unless_told() {
        for target in ["tcp/127.0.0.1:80", "tcp/localhost:80", "unix//run/x"] {
            assert!(!allows(&[], target), "{target}");
        }
    }

    #[test]
    fn each_pattern_allows_its_own() {
        for (pattern, allowed, denied) in [
            ("tcp/127.0.0.1:80", "tcp/127.0.0.1:80", "tcp/127.0.0.1:81"),
            ("tcp/127.0.0.1:80", "tcp/[::ffff:127.0.0.1]:80", "tcp/127.0.0.2:80"),
            ("tcp/10.0.0.0/8:443", "tcp/10.255.0.1:443", "tcp/11.0.0.1:443"),
            ("tcp/[fd00::/8]:*", "tcp/[fd12::1]:1", "tcp/[fe80::1]:1"),
            ("tcp/web:8000-8999", "tcp/WEB.:8500", "tcp/web:9000"),
            ("tcp/*.example.com:*", "tcp/a.b.example.com:1", "tcp/example.com:1"),
            ("tcp/*.example.com:*", "tcp/a.example.com:1", "tcp/badexample.com:1"),
            ("tcp/*:443", "tcp/anything:443", "tcp/anything:80"),
            ("tcp/*:443", "tcp/1.2.3.4:443", "unix//run/x"),
            ("unix//run/x", "unix//run/x", "unix//run/y"),
            ("unix//run/app/*", "unix//run/app/a/b", "unix//run/app2/a"),
            ("unix//run/app/*", "unix//run/app/a", "unix//run/app"),
            ("unix//*", "unix//run/x", "tcp/1.2.3.4:443"),
        ] {
            assert!(allows(&[pattern], allowed), "{pattern} should allow {allowed}");
            assert!(!allows(&[pattern], denied), "{pattern} should deny {denied}");
        }
    }

    #[test]
    fn a_name_cannot_smuggle_in_an_address() {
        let policy = policy(&["tcp/10.0.0.0/8:80"]);
        let target: Target = "tcp/evil.example:80".parse().unwrap();
        assert!(policy.may_allow(&target), "its addresses decide");
        assert!(policy.allows_resolved(&target, "10.1.2.3".parse().unwrap()));
        assert!(!policy.allows_resolved(&target, "127.0.0.1".parse().unwrap()));
        assert!(!policy.may_allow(&"tcp/evil.example:81".parse().unwrap()));
    }
}
