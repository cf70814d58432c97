//! Policies of patterns and targets as texts.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use watertight::{Pattern, Policy, Target};

fn policy(pattern: &str) -> Policy {
    [pattern.parse::<Pattern>().unwrap()].into_iter().collect()
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-z0-9_]([a-z0-9-]{0,8}[a-z0-9_])?", 1..4)
        .prop_map(|labels| labels.join("."))
        .prop_filter("what ends in a number is no name", |name| {
            let last = name.rsplit('.').next().unwrap_or_default();
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            !last.bytes().all(|byte| byte.is_ascii_digit())
                && !last.strip_prefix("0x").is_some_and(digits)
        })
}

fn v4() -> impl Strategy<Value = String> {
    (any::<Ipv4Addr>(), 0..=31u8).prop_flat_map(|(ip, bits)| {
        let network = u32::from(ip) & u32::MAX.checked_shl(u32::from(32 - bits)).unwrap_or(0);
        let network = Ipv4Addr::from(network);
        prop_oneof![Just(ip.to_string()), Just(format!("{network}/{bits}"))]
    })
}

fn v6() -> impl Strategy<Value = String> {
    // An IPv4-mapped IPv6 address is displayed as IPv4.
    let plain = any::<Ipv6Addr>().prop_filter("mapped", |ip| ip.to_ipv4_mapped().is_none());
    (plain, 0..=127u8).prop_flat_map(|(ip, bits)| {
        let mask = u128::MAX.checked_shl(u32::from(128 - bits)).unwrap_or(0);
        let network = Ipv6Addr::from(u128::from(ip) & mask);
        prop_oneof![Just(format!("[{ip}]")), Just(format!("[{network}/{bits}]"))]
    })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_string()),
        name(),
        name().prop_map(|name| format!("*.{name}")),
        v4(),
        v6()
    ]
}

fn ports() -> impl Strategy<Value = String> {
    let range = (1..u16::MAX - 1).prop_flat_map(|first| (Just(first), first + 1..u16::MAX));
    prop_oneof![
        Just("*".to_string()),
        (1..=u16::MAX).prop_map(|port| port.to_string()),
        range.prop_map(|(first, last)| format!("{first}-{last}"))
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-z0-9_-]{1,8}", 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        (host(), ports()).prop_map(|(host, ports)| format!("tcp/{host}:{ports}")),
        path().prop_map(|path| format!("unix/{path}")),
        path().prop_map(|path| format!("unix/{path}/*"))
    ]
}

proptest! {
    #[test]
    fn a_pattern_is_shown_as_it_is_written(text in pattern()) {
        let parsed: Pattern = text.parse().unwrap();
        prop_assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn a_parsed_pattern_is_displayed_as_it_parses(text in "(tcp|unix)/[a-z0-9.:*/\\[\\]-]{0,20}") {
        if let Ok(parsed) = text.parse::<Pattern>() {
            prop_assert_eq!(parsed.to_string().parse::<Pattern>(), Ok(parsed));
        }
    }

    #[test]
    fn a_parsed_target_is_displayed_as_it_parses(text in "(tcp|unix)/[a-z0-9.:/\\[\\]-]{0,20}") {
        if let Ok(parsed) = text.parse::<Target>() {
            prop_assert_eq!(parsed.to_string().parse::<Target>(), Ok(parsed));
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        text.parse::<Pattern>().ok();
        text.parse::<Target>().ok();
    }

    #[test]
    fn an_exact_pattern_allows_its_target_and_no_other_port(
        ip: IpAddr, port in 1..u16::MAX, name in name(),
    ) {
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        for host in [host, name] {
            let policy = policy(&format!("tcp/{host}:{port}"));
            let target = |port: u16| format!("tcp/{host}:{port}").parse::<Target>().unwrap();
            prop_assert!(policy.may_allow(&target(port)));
            prop_assert!(!policy.may_allow(&target(port + 1)));
        }
    }

    #[test]
    fn a_network_decides_about_what_a_name_resolves_to(ip: Ipv4Addr, bits in 0..=32u8) {
        prop_assume!(!ip.is_link_local());
        let policy = policy(&format!("tcp/10.1.2.3/{bits}:80"));
        let target: Target = "tcp/name:80".parse().unwrap();
        let differing = (u32::from(ip) ^ u32::from(Ipv4Addr::new(10, 1, 2, 3))).leading_zeros();
        let inside = differing >= u32::from(bits);
        prop_assert_eq!(policy.allows_resolved(&target, ip.into()), inside);
        prop_assert_eq!(policy.allows_resolved(&target, ip.to_ipv6_mapped().into()), inside);
    }
}

#[test]
fn a_path_cannot_lead_out_of_its_folder() {
    let policy = policy("unix//run/app/*");
    for inside in ["unix//run/app/a", "unix//run/app/./a", "unix//run//app/a"] {
        assert!(policy.may_allow(&inside.parse().unwrap()), "{inside}");
    }
    assert!(!policy.may_allow(&"unix//run/app".parse().unwrap()));
    assert!("unix//run/app/../docker.sock".parse::<Target>().is_err());
}
