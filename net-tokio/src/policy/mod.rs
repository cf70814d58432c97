//! The policy of dials: it allows nothing by default.

mod dial;
mod excluded;
mod pattern;
mod resolve;
#[cfg(unix)]
mod unix;

use std::net::{IpAddr, SocketAddr};

pub use dial::TargetError;
pub(crate) use dial::{Dialled, connect_any};
pub use pattern::{InvalidPattern, Pattern};
#[cfg(feature = "simulation")]
pub use resolve::{Lookup, Resolver};

use crate::target::{Host, Target};
use excluded::{Listeners, is_link_local};

/// The targets that an end lets its remote dial. The default allows nothing.
///
/// A pattern of addresses also allows names that resolve to one of them, and only that address is
/// then dialled: a name cannot smuggle in an address that the patterns do not allow. A pattern of
/// names trusts the resolver for these names.
///
/// Link-local addresses, and others at which clouds serve each machine its credentials, are allowed
/// only by a pattern of such addresses alone, such as `tcp/169.254.169.254:80`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    patterns: Vec<Pattern>,
    excluded: Listeners,
    names_by_patterns_alone: bool,
}

impl FromIterator<Pattern> for Policy {
    fn from_iter<T: IntoIterator<Item = Pattern>>(patterns: T) -> Self {
        Self { patterns: patterns.into_iter().collect(), ..Self::default() }
    }
}

impl Policy {
    /// Whether nothing is allowed at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Allows names only by patterns of names. Otherwise a pattern of addresses has every requested
    /// name resolved: the remote learns which names exist, and who resolves them.
    #[must_use]
    pub fn names_by_patterns_alone(mut self) -> Self {
        self.names_by_patterns_alone = true;
        self
    }

    /// Never dials a listener of this program at this address, regardless of the patterns, and by
    /// any address of this machine: through it, the remote could exceed its rights.
    pub fn exclude_address(&mut self, at: SocketAddr) {
        self.excluded.add_address(at);
    }

    /// Whether the target could be dialled. For a name that only a pattern of addresses can
    /// allow, that depends on what it resolves to.
    #[must_use]
    pub fn may_allow(&self, target: &Target) -> bool {
        match target {
            Target::Unix(path) => self.patterns.iter().any(|pattern| pattern.allows_path(path)),
            Target::Tcp { host: Host::Ip(ip), port } => self.allows_address(*ip, *port),
            Target::Tcp { host: Host::Name(name), port } => {
                let by_address = || self.patterns.iter().any(|it| it.is_of_addresses(*port));
                self.allows_name(name, *port) || (!self.names_by_patterns_alone && by_address())
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
                let by_name = self.allows_name(name, *port) && !is_link_local(ip.to_canonical());
                by_name || self.allows_address(ip, *port)
            }
        }
    }

    fn allows_name(&self, name: &str, port: u16) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows_name(name, port))
    }

    fn allows_address(&self, ip: IpAddr, port: u16) -> bool {
        // An IPv4-mapped IPv6 address is the same host.
        let ip = ip.to_canonical();
        self.patterns.iter().any(|pattern| {
            let allows = pattern.allows_address(ip, port);
            allows && (!is_link_local(ip) || pattern.is_of_link_local())
        })
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
    fn nothing_is_allowed_by_default() {
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
    fn link_local_addresses_are_allowed_only_by_themselves() {
        let metadata = "tcp/169.254.169.254:80";
        for pattern in ["tcp/*:*", "tcp/0.0.0.0/0:80", "tcp/169.0.0.0/8:80"] {
            assert!(!allows(&[pattern], metadata), "{pattern}");
            assert!(!allows(&[pattern], "tcp/[::ffff:169.254.169.254]:80"), "{pattern}");
        }
        assert!(
            !allows(&["tcp/*:*"], "tcp/[fe80::1]:80")
                && !allows(&["tcp/*:*"], "tcp/[fd00:ec2::254]:80")
                && !allows(&["tcp/*:*"], "tcp/[64:ff9b::a9fe:a9fe]:80")
                && !allows(&["tcp/*:*"], "tcp/[2002:a9fe:a9fe::1]:80")
                && allows(&["tcp/*:*"], "tcp/[64:ff9b::a00:1]:80")
        );
        for pattern in ["tcp/169.254.169.254:80", "tcp/169.254.0.0/16:*"] {
            assert!(allows(&["tcp/*:*", pattern], metadata), "{pattern}");
        }
        // Neither does a name lead there.
        let (ip, target) =
            ("169.254.169.254".parse().unwrap(), "tcp/a.example:80".parse().unwrap());
        for pattern in ["tcp/*:*", "tcp/a.example:80", "tcp/*.example:*"] {
            assert!(!policy(&[pattern]).allows_resolved(&target, ip), "{pattern}");
        }
        assert!(policy(&["tcp/*.example:*", metadata]).allows_resolved(&target, ip));
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

    #[test]
    fn names_may_need_a_pattern_of_their_own() {
        let policy = policy(&["tcp/10.0.0.0/8:80", "tcp/db:80"]).names_by_patterns_alone();
        for (target, allowed) in
            [("tcp/x:80", false), ("tcp/db:80", true), ("tcp/10.0.0.1:80", true)]
        {
            assert_eq!(policy.may_allow(&target.parse().unwrap()), allowed, "{target}");
        }
        assert!(policy.allows_resolved(&"tcp/db:80".parse().unwrap(), [192, 0, 2, 1].into()));
    }
}
