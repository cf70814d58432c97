//! The rules of the registry, each by an example. Random histories against a naive model are in the fuzz
//! crate.

use watertight_core::registry::{
    Candidate, Registry, RegistryError, RegistryLimits, RouteChange, SessionKey, SessionKind,
};
use watertight_core::wire::{ClientRoute, Dialect};

const LIMITS: RegistryLimits =
    RegistryLimits { agents: 3, peers: 2, routes_per_peer: 3, routes: 5, key: 8 };

fn registry() -> Registry {
    Registry::new(LIMITS)
}

fn agent(registry: &mut Registry, key: &str) -> SessionKey {
    registry.insert_agent(key).unwrap().session
}

fn incoming(registry: &mut Registry, id: &str) -> SessionKey {
    registry.insert_incoming_peer(id, Dialect::Base).unwrap().session
}

fn route(client_key: &str, session_key: i64) -> ClientRoute {
    ClientRoute { client_key: client_key.into(), session_key }
}

fn sessions(registry: &Registry, key: &str) -> Vec<SessionKey> {
    registry.lookup(key).map(Candidate::session).collect()
}

#[test]
fn the_newest_session_wins_and_the_older_one_is_to_be_closed() {
    let mut registry = registry();
    let old = agent(&mut registry, "edge");
    let inserted = registry.insert_agent("edge").unwrap();
    assert_eq!(inserted.replaced, Some(old));
    assert_eq!(sessions(&registry, "edge"), [inserted.session]);
}

#[test]
fn the_end_of_a_replaced_session_does_not_harm_its_successor() {
    let mut registry = registry();
    let old = agent(&mut registry, "edge");
    let new = agent(&mut registry, "edge");
    assert_eq!(registry.remove(old), None);
    assert_eq!(sessions(&registry, "edge"), [new]);
    assert_eq!(registry.remove(new).unwrap().entry.name, "edge");
    assert_eq!(registry.remove(new), None);
    assert!(registry.ledger().is_empty());
}

#[test]
fn s9_agents_win_over_peers_and_older_announcements_over_newer_ones() {
    let mut registry = registry();
    let (a, b) = (incoming(&mut registry, "a"), incoming(&mut registry, "b"));
    registry.peer_added_client(a, route("edge", 1)).unwrap();
    registry.peer_added_client(b, route("edge", 2)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [a, b]);
    registry.peer_added_client(b, route("edge", 3)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [a, b]);
    registry.peer_removed_client(a, &route("edge", 1)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [b]);
    registry.peer_added_client(a, route("edge", 4)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [a, b]);
    let local = agent(&mut registry, "edge");
    assert_eq!(sessions(&registry, "edge"), [local, a, b]);
}

#[test]
fn a_peer_that_announced_a_client_twice_is_tried_once() {
    let mut registry = registry();
    let peer = incoming(&mut registry, "a");
    registry.peer_added_client(peer, route("edge", 1)).unwrap();
    registry.peer_added_client(peer, route("edge", 2)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [peer]);
    registry.peer_removed_client(peer, &route("edge", 1)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [peer]);
    registry.peer_removed_client(peer, &route("edge", 2)).unwrap();
    assert!(sessions(&registry, "edge").is_empty());
}

/// P6.2.
#[test]
fn a_stale_route_is_not_tried_again_until_it_is_announced_anew() {
    let mut registry = registry();
    let peer = incoming(&mut registry, "a");
    registry.peer_added_client(peer, route("edge", 1)).unwrap();
    registry.peer_added_client(peer, route("edge", -2)).unwrap();
    registry.peer_added_client(peer, route("edges", 3)).unwrap();
    registry.forget_stale(peer, "edge");
    assert!(sessions(&registry, "edge").is_empty());
    assert_eq!(sessions(&registry, "edges"), [peer]);
    registry.peer_removed_client(peer, &route("edge", 1)).unwrap();
    registry.peer_added_client(peer, route("edge", 4)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [peer]);
}

/// P6.2.
#[test]
fn a_dial_for_a_peer_ends_here() {
    let mut registry = registry();
    let peer = incoming(&mut registry, "a");
    registry.peer_added_client(peer, route("far", 1)).unwrap();
    let near = agent(&mut registry, "near");
    assert_eq!(registry.lookup_local("near"), Some(near));
    assert_eq!(registry.lookup_local("far"), None);
}

/// P6.2.
#[test]
fn what_a_peer_announced_is_announced_to_nobody() {
    let mut registry = registry();
    let from = incoming(&mut registry, "a");
    registry.peer_added_client(from, route("far", 1)).unwrap();
    let to = registry.insert_outgoing_peer("b", Dialect::Extended).unwrap();
    assert!(to.announce.is_empty());
    assert_eq!(registry.announcements(to.session, None).count(), 0);
}

/// P6.2.
#[test]
fn only_incoming_peers_announce() {
    let mut registry = registry();
    let agent = agent(&mut registry, "edge");
    let outgoing = registry.insert_outgoing_peer("a", Dialect::Base).unwrap().session;
    for session in [agent, outgoing] {
        let refused = registry.peer_added_client(session, route("x", 1));
        assert_eq!(refused, Err(RegistryError::NotAPeer));
        let refused = registry.peer_removed_client(session, &route("x", 1));
        assert_eq!(refused, Err(RegistryError::NotAPeer));
    }
    registry.remove(agent).unwrap();
    let late = registry.peer_added_client(agent, route("x", 1));
    assert_eq!(late, Err(RegistryError::NotRegistered));
    assert!(sessions(&registry, "x").is_empty());
}

#[test]
fn a_removed_peer_takes_its_sessions_and_routes_with_it() {
    let mut registry = registry();
    let peer = incoming(&mut registry, "a");
    let outgoing = registry.insert_outgoing_peer("a", Dialect::Base).unwrap().session;
    registry.peer_added_client(peer, route("edge", 1)).unwrap();
    let client_of_the_same_name = agent(&mut registry, "a");
    let removed: Vec<_> = registry.remove_peer("a").map(|removed| removed.session).collect();
    assert_eq!(removed, [peer, outgoing]);
    assert!(sessions(&registry, "edge").is_empty());
    assert_eq!(sessions(&registry, "a"), [client_of_the_same_name]);
    assert_eq!(registry.remove_peer("a").count(), 0);
}

/// P6.2.
#[test]
fn a_peer_that_comes_back_starts_without_routes() {
    let mut registry = registry();
    let old = incoming(&mut registry, "a");
    registry.peer_added_client(old, route("edge", 1)).unwrap();
    let inserted = registry.insert_incoming_peer("a", Dialect::Base).unwrap();
    assert_eq!(inserted.replaced, Some(old));
    assert!(sessions(&registry, "edge").is_empty());
}

/// P6.1.
#[test]
fn peers_hear_of_the_new_session_before_they_lose_the_old_one() {
    let mut registry = registry();
    let peer = registry.insert_outgoing_peer("a", Dialect::Base).unwrap().session;
    let old = registry.insert_agent("edge").unwrap();
    let new = registry.insert_agent("edge").unwrap();
    let of = |key: SessionKey| route("edge", i64::try_from(key.get()).unwrap());
    let reported: Vec<_> =
        new.announce.into_iter().map(|reported| (reported.peer, reported.change)).collect();
    let added = RouteChange::Added(of(new.session));
    let removed = RouteChange::Removed(of(old.session));
    assert_eq!(reported, [(peer, added), (peer, removed)]);
}

/// A peer takes a second announcement for another one, and the end of the client takes one back.
#[test]
fn what_was_announced_as_it_came_is_not_announced_again() {
    let mut registry = registry();
    let [a, c] = ["a", "c"].map(|key| agent(&mut registry, key));
    let peer = registry.insert_outgoing_peer("peer", Dialect::Base).unwrap().session;
    let added = |key: &str, session: SessionKey| {
        RouteChange::Added(route(key, i64::try_from(session.get()).unwrap()))
    };
    let first = registry.announcements(peer, None).next();
    assert_eq!(first, Some(added("a", a)));
    let inserted = registry.insert_agent("b").unwrap();
    assert_eq!(inserted.announce[0].change, added("b", inserted.session));
    let rest: Vec<_> = registry.announcements(peer, Some("a")).collect();
    assert_eq!(rest, [added("c", c)]);
    registry.insert_agent("c").unwrap();
    assert_eq!(registry.announcements(peer, Some("a")).count(), 0);
}

#[test]
fn announcements_go_on_after_a_pause() {
    let mut registry = registry();
    for key in ["a", "b", "c"] {
        agent(&mut registry, key);
    }
    let peer = registry.insert_outgoing_peer("a", Dialect::Base).unwrap().session;
    let all: Vec<_> = registry.announcements(peer, None).collect();
    let rest: Vec<_> = registry.announcements(peer, Some("a")).collect();
    assert_eq!((all.len(), &all[1..]), (3, &rest[..]));
    assert_eq!(registry.announcements(peer, Some("c")).count(), 0);
}

/// P6.3.
#[test]
fn a_base_peer_does_not_hear_of_keys_that_it_would_misread() {
    let mut registry = Registry::new(RegistryLimits { key: 200, ..LIMITS });
    registry.insert_outgoing_peer("base", Dialect::Base).unwrap();
    let ours = registry.insert_outgoing_peer("ours", Dialect::Extended).unwrap().session;
    for key in ["a/b", "a::b", &"k".repeat(99)] {
        let inserted = registry.insert_agent(key).unwrap();
        let reported: Vec<_> = inserted.announce.iter().map(|reported| reported.peer).collect();
        assert_eq!(reported, [ours], "{key}");
    }
    let base = registry.insert_outgoing_peer("base", Dialect::Base).unwrap().session;
    let ours = registry.insert_outgoing_peer("ours", Dialect::Extended).unwrap().session;
    assert_eq!(registry.announcements(base, None).count(), 0);
    assert_eq!(registry.announcements(ours, None).count(), 3);
}

#[test]
fn a_full_server_takes_only_those_that_come_back() {
    let mut registry = registry();
    for key in ["a", "b", "c"] {
        agent(&mut registry, key);
    }
    let refused = registry.insert_agent("d").unwrap_err();
    assert_eq!(refused, RegistryError::TooManyAgents { limit: 3 });
    agent(&mut registry, "a");
    incoming(&mut registry, "a");
    incoming(&mut registry, "b");
    let refused = registry.insert_incoming_peer("c", Dialect::Base).unwrap_err();
    assert_eq!(refused, RegistryError::TooManyPeers { limit: 2 });
    registry.insert_outgoing_peer("c", Dialect::Base).unwrap();
}

/// P6.2.
#[test]
fn planted_routes_have_an_end() {
    let mut registry = registry();
    let (a, b) = (incoming(&mut registry, "a"), incoming(&mut registry, "b"));
    for number in 0..3 {
        registry.peer_added_client(a, route("x", number)).unwrap();
    }
    let refused = registry.peer_added_client(a, route("y", 3));
    assert_eq!(refused, Err(RegistryError::TooManyRoutesOfPeer { limit: 3 }));
    registry.peer_added_client(a, route("x", 2)).unwrap();
    registry.peer_added_client(b, route("x", 0)).unwrap();
    registry.peer_added_client(b, route("x", 1)).unwrap();
    let refused = registry.peer_added_client(b, route("y", 2));
    assert_eq!(refused, Err(RegistryError::TooManyRoutes { limit: 5 }));
    assert_eq!(sessions(&registry, "x"), [a, b]);
}

#[test]
fn a_client_that_comes_back_is_found_at_a_full_peer() {
    let mut registry = registry();
    let (a, b) = (incoming(&mut registry, "a"), incoming(&mut registry, "b"));
    for (peer, key) in [(a, "x"), (a, "y"), (a, "z"), (b, "x"), (b, "y")] {
        registry.peer_added_client(peer, route(key, 1)).unwrap();
    }
    // One is full, and the other one would be the sixth of five.
    for peer in [a, b] {
        let before = registry.routes_of(peer);
        registry.peer_added_client(peer, route("x", 2)).unwrap();
        assert_eq!(registry.routes_of(peer), before);
        registry.peer_removed_client(peer, &route("x", 1)).unwrap();
        assert_eq!(registry.routes_of(peer), before);
    }
    assert_eq!(sessions(&registry, "x"), [a, b]);
    registry.peer_removed_client(a, &route("x", 2)).unwrap();
    assert_eq!(sessions(&registry, "x"), [b]);
}

#[test]
fn a_peer_may_announce_as_many_clients_as_a_server_takes() {
    for agents in [5, 100_000, 300_000, usize::MAX] {
        let limits = RegistryLimits::of_agents(agents);
        let default = RegistryLimits::default();
        assert_eq!(limits.agents, agents);
        assert_eq!(limits.routes_per_peer, agents.max(default.agents));
        assert!(limits.routes >= default.routes && limits.routes >= limits.routes_per_peer);
    }
    assert_eq!(RegistryLimits::of_agents(100_000), RegistryLimits::default());
}

#[test]
fn keys_have_a_length() {
    let mut registry = registry();
    let too_long = RegistryError::KeyTooLong { length: 9, limit: 8 };
    assert_eq!(registry.insert_agent("123456789"), Err(too_long));
    assert_eq!(registry.insert_agent(""), Err(RegistryError::EmptyKey));
    agent(&mut registry, "12345678");
    let peer = incoming(&mut registry, "a");
    assert_eq!(registry.peer_added_client(peer, route("123456789", 1)), Err(too_long));
}

#[test]
fn what_is_registered_is_found_by_its_kind_its_name_and_its_key() {
    let mut registry = registry();
    let client = agent(&mut registry, "a");
    let peer = incoming(&mut registry, "a");
    assert_eq!(registry.peer(SessionKind::IncomingPeer, "a"), Some(peer));
    assert_eq!(registry.peer(SessionKind::OutgoingPeer, "a"), None);
    assert_eq!(registry.peer(SessionKind::IncomingPeer, "b"), None);
    // A client of any name is no peer.
    assert_eq!(registry.peer(SessionKind::Agent, "a"), None);
    assert_eq!(registry.get(client).map(|entry| entry.kind), Some(SessionKind::Agent));
    assert_eq!(registry.get(peer).map(|entry| entry.kind), Some(SessionKind::IncomingPeer));
    registry.remove(peer);
    assert!(registry.get(peer).is_none());
}

#[test]
fn routes_are_counted_for_each_peer() {
    let mut registry = registry();
    let (a, b) = (incoming(&mut registry, "a"), incoming(&mut registry, "b"));
    registry.peer_added_client(a, route("edge", 1)).unwrap();
    registry.peer_added_client(a, route("core", 2)).unwrap();
    registry.peer_added_client(b, route("edge", 3)).unwrap();
    assert_eq!((registry.routes_of(a), registry.routes_of(b)), (2, 1));
    registry.peer_removed_client(a, &route("edge", 1)).unwrap();
    assert_eq!((registry.routes_of(a), registry.routes_of(b)), (1, 1));
    registry.remove(a);
    assert_eq!((registry.routes_of(a), registry.routes_of(b)), (0, 1));
}

/// P6.1, P6.3.
#[test]
fn a_candidate_knows_how_to_ask_for_a_target() {
    let mut registry = registry();
    let peer = incoming(&mut registry, "a");
    registry.peer_added_client(peer, route("edge", 1)).unwrap();
    agent(&mut registry, "edge");
    let asked: Vec<_> = registry
        .lookup("edge")
        .map(|candidate| candidate.target("edge", "tcp/h:1").unwrap().into_owned())
        .collect();
    assert_eq!(asked, ["tcp/h:1", "edge::tcp/h:1"]);
}
