//! Targets that are never dialled for others: sockets of this program, and addresses that only this
//! machine may reach.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses of one link, where clouds serve each machine its credentials.
const LINK_LOCAL: [IpNet; 12] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    // By their numbers these are shared, public and reserved addresses: Alibaba's, Azure's and Oracle's.
    address_v4(Ipv4Addr::new(100, 100, 100, 200)),
    address_v4(Ipv4Addr::new(168, 63, 129, 16)),
    address_v4(Ipv4Addr::new(192, 0, 0, 192)),
    // By their numbers these are unique local addresses: Amazon's and that of its Kubernetes, Google's,
    // Oracle's, Akamai's, Scaleway's and Alibaba's.
    address([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
    address([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]),
    address([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
    address([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]),
    address([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1]),
    address([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]),
    address([0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200]),
];

const fn address_v4(ip: Ipv4Addr) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(ip, 32))
}

const fn address([a, b, c, d, e, f, g, h]: [u16; 8]) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), 128))
}

/// Whether an address is of such a kind.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    let is_listed = |ip: IpAddr| LINK_LOCAL.iter().any(|network| network.contains(&ip));
    is_listed(ip) || embedded(ip).is_some_and(|ip| is_listed(IpAddr::V4(ip)))
}

/// The IPv4 address that a translator on the path makes of an IPv6 one: NAT64 (RFC 6052, RFC 8215),
/// 6to4 (RFC 3056) and their predecessor (RFC 4291, 2.5.5.1).
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0, 0, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

/// Whether a network has such addresses alone: a pattern names it explicitly.
pub(super) fn is_of_link_local(network: &IpNet) -> bool {
    let is_one = network.prefix_len() == network.max_prefix_len();
    LINK_LOCAL.iter().any(|all| all.contains(network)) || (is_one && is_link_local(network.addr()))
}

/// Sockets that this program listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listeners {
    tcp: Vec<SocketAddr>,
    /// Device and inode: a socket may have several paths.
    pub(super) unix: Vec<(u64, u64)>,
}

impl Listeners {
    pub(super) fn add_address(&mut self, at: SocketAddr) {
        self.tcp.push(at);
    }

    /// Whether a connection to this address reaches one of them.
    pub(super) fn has_address(&self, to: SocketAddr) -> bool {
        self.tcp.iter().any(|listener| is_reached(*listener, to))
    }
}

fn is_reached(listener: SocketAddr, to: SocketAddr) -> bool {
    if listener.port() != to.port() {
        return false;
    }
    let to = match to.ip().to_canonical() {
        // The kernel treats the unspecified address as loopback.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        to => to,
    };
    match listener.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => to.is_ipv4() && is_of_this_machine(to),
        // It may take IPv4 as well.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => is_of_this_machine(to),
        own => own == to,
    }
}

/// Only addresses of this machine can be bound to. If binding fails for another reason, such as
/// lack of a descriptor, the address counts as one.
fn is_of_this_machine(ip: IpAddr) -> bool {
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_reached(listener: &str, to: &str) -> bool {
        super::is_reached(listener.parse().unwrap(), to.parse().unwrap())
    }

    #[test]
    fn a_listener_is_reached_by_many_addresses() {
        for (listener, to) in [
            ("127.0.0.1:90", "127.0.0.1:90"),
            ("127.0.0.1:90", "0.0.0.0:90"),
            ("127.0.0.1:90", "[::ffff:127.0.0.1]:90"),
            ("0.0.0.0:90", "127.0.0.1:90"),
            ("0.0.0.0:90", "127.8.8.8:90"),
            ("[::]:90", "127.0.0.1:90"),
            ("[::]:90", "[::1]:90"),
            ("[::1]:90", "[::]:90"),
        ] {
            assert!(is_reached(listener, to), "{listener} {to}");
        }
        for (listener, to) in [
            ("127.0.0.1:90", "127.0.0.1:91"),
            ("127.0.0.1:90", "127.0.0.2:90"),
            // Documentation addresses (RFC 5737, RFC 3849).
            ("0.0.0.0:90", "192.0.2.1:90"),
            ("[::]:90", "[2001:db8::1]:90"),
            ("0.0.0.0:90", "[::1]:90"),
        ] {
            assert!(!is_reached(listener, to), "{listener} {to}");
        }
    }

    #[test]
    fn a_network_that_only_includes_them_does_not_mean_them() {
        for network in [
            "169.254.169.254/32",
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::254/128",
            "64:ff9b::a9fe:a9fe/128",
        ] {
            assert!(is_of_link_local(&network.parse().unwrap()), "{network}");
        }
        for network in ["0.0.0.0/0", "169.0.0.0/8", "::/0", "fd00::/8", "10.0.0.0/8"] {
            assert!(!is_of_link_local(&network.parse().unwrap()), "{network}");
        }
    }
}
