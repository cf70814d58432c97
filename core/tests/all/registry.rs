//! The rules of the registry, each by an example, then random histories against a naive model.

use proptest::prelude::*;
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
fn agents_win_over_peers_and_newer_routes_over_older_ones() {
    let mut registry = registry();
    let (a, b) = (incoming(&mut registry, "a"), incoming(&mut registry, "b"));
    registry.peer_added_client(a, route("edge", 1)).unwrap();
    registry.peer_added_client(b, route("edge", 2)).unwrap();
    assert_eq!(sessions(&registry, "edge"), [b, a]);
    registry.peer_added_client(a, route("edge", 1)).unwrap();
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

#[test]
fn a_dial_for_a_peer_ends_here() {
    let mut registry = registry();
    let peer = incoming(&mut registry, "a");
    registry.peer_added_client(peer, route("far", 1)).unwrap();
    let near = agent(&mut registry, "near");
    assert_eq!(registry.lookup_local("near"), Some(near));
    assert_eq!(registry.lookup_local("far"), None);
}

#[test]
fn what_a_peer_announced_is_announced_to_nobody() {
    let mut registry = registry();
    let from = incoming(&mut registry, "a");
    registry.peer_added_client(from, route("far", 1)).unwrap();
    let to = registry.insert_outgoing_peer("b", Dialect::Extended).unwrap();
    assert!(to.announce.is_empty());
    assert_eq!(registry.announcements(to.session, None).count(), 0);
}

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
    assert_eq!(late, Err(RegistryError::Gone));
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

#[test]
fn a_peer_that_comes_back_starts_without_routes() {
    let mut registry = registry();
    let old = incoming(&mut registry, "a");
    registry.peer_added_client(old, route("edge", 1)).unwrap();
    let inserted = registry.insert_incoming_peer("a", Dialect::Base).unwrap();
    assert_eq!(inserted.replaced, Some(old));
    assert!(sessions(&registry, "edge").is_empty());
}

#[test]
fn peers_hear_of_the_new_session_before_they_lose_the_old_one() {
    let mut registry = registry();
    let peer = registry.insert_outgoing_peer("a", Dialect::Base).unwrap().session;
    let old = registry.insert_agent("edge").unwrap();
    let new = registry.insert_agent("edge").unwrap();
    let of = |key: SessionKey| route("edge", i64::try_from(key.get()).unwrap());
    let told: Vec<_> = new.announce.into_iter().map(|told| (told.peer, told.change)).collect();
    let added = RouteChange::Added(of(new.session));
    let removed = RouteChange::Removed(of(old.session));
    assert_eq!(told, [(peer, added), (peer, removed)]);
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

#[test]
fn a_base_peer_does_not_hear_of_keys_that_it_would_misread() {
    let mut registry = Registry::new(RegistryLimits { key: 200, ..LIMITS });
    registry.insert_outgoing_peer("base", Dialect::Base).unwrap();
    let ours = registry.insert_outgoing_peer("ours", Dialect::Extended).unwrap().session;
    for key in ["a/b", "a::b", &"k".repeat(99)] {
        let inserted = registry.insert_agent(key).unwrap();
        let told: Vec<_> = inserted.announce.iter().map(|told| told.peer).collect();
        assert_eq!(told, [ours], "{key}");
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
    assert_eq!(sessions(&registry, "x"), [b, a]);
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
    assert_eq!(sessions(&registry, "x"), [b, a]);
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
    // A client is no peer, whatever its name.
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

// Random histories.

const NAMES: [&str; 4] = ["a", "b", "c", "a/b"];

#[derive(Clone, Debug)]
enum Op {
    Insert(SessionKind, &'static str, Dialect),
    /// The session that was inserted at that place in history, live or not.
    Remove(usize),
    RemovePeer(&'static str),
    AddRoute(usize, ClientRoute),
    RemoveRoute(usize, ClientRoute),
    Forget(usize, &'static str),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || prop::sample::select(&NAMES[..]);
    let kinds = [SessionKind::Agent, SessionKind::IncomingPeer, SessionKind::OutgoingPeer];
    let dialect = prop::sample::select(vec![Dialect::Base, Dialect::Extended]);
    let any_route = || (name(), 0..3_i64).prop_map(|(key, session)| route(key, session));
    let place = || 0..40_usize;
    prop_oneof![
        4 => (prop::sample::select(kinds.to_vec()), name(), dialect)
            .prop_map(|(kind, name, dialect)| Op::Insert(kind, name, dialect)),
        2 => place().prop_map(Op::Remove),
        1 => name().prop_map(Op::RemovePeer),
        6 => (place(), any_route()).prop_map(|(place, route)| Op::AddRoute(place, route)),
        3 => (place(), any_route()).prop_map(|(place, route)| Op::RemoveRoute(place, route)),
        1 => (place(), name()).prop_map(|(place, name)| Op::Forget(place, name)),
    ]
}

#[derive(Clone)]
struct Session {
    key: SessionKey,
    kind: SessionKind,
    name: &'static str,
    dialect: Dialect,
}

/// The same rules in lists that are searched from end to end, and what the peers were told.
#[derive(Default)]
struct Model {
    history: Vec<SessionKey>,
    live: Vec<Session>,
    routes: Vec<(SessionKey, ClientRoute)>,
    told: Vec<(SessionKey, ClientRoute)>,
}

impl Model {
    fn place(&self, place: usize) -> Option<SessionKey> {
        let index = place.checked_rem(self.history.len())?;
        self.history.get(index).copied()
    }

    fn kind(&self, key: SessionKey) -> Option<SessionKind> {
        self.live.iter().find(|session| session.key == key).map(|session| session.kind)
    }

    fn count(&self, kind: SessionKind) -> usize {
        self.live.iter().filter(|session| session.kind == kind).count()
    }

    fn find(&self, kind: SessionKind, name: &str) -> Option<SessionKey> {
        let found = self.live.iter().find(|session| session.kind == kind && session.name == name);
        found.map(|session| session.key)
    }

    fn has_room(&self, kind: SessionKind, name: &str) -> bool {
        let limit = if kind == SessionKind::Agent { LIMITS.agents } else { LIMITS.peers };
        self.find(kind, name).is_some() || self.count(kind) < limit
    }

    fn drop_session(&mut self, key: SessionKey) {
        self.live.retain(|session| session.key != key);
        self.routes.retain(|(peer, _)| *peer != key);
        self.told.retain(|(peer, _)| *peer != key);
    }

    fn hear(&mut self, peer: SessionKey, change: RouteChange) {
        match change {
            RouteChange::Added(route) => self.told.push((peer, route)),
            RouteChange::Removed(route) => {
                let known = self.told.iter().position(|told| *told == (peer, route.clone()));
                self.told.remove(known.expect("a removal of what was never announced"));
            }
        }
    }

    fn add_route(&mut self, peer: SessionKey, route: &ClientRoute) -> Result<(), RegistryError> {
        let known = self.routes.contains(&(peer, route.clone()));
        let of_peer = self.routes.iter().filter(|(owner, _)| *owner == peer).count();
        match self.kind(peer) {
            None => return Err(RegistryError::Gone),
            Some(SessionKind::IncomingPeer) => {}
            Some(_) => return Err(RegistryError::NotAPeer),
        }
        let full = if of_peer == LIMITS.routes_per_peer {
            Some(RegistryError::TooManyRoutesOfPeer { limit: of_peer })
        } else if self.routes.len() == LIMITS.routes {
            Some(RegistryError::TooManyRoutes { limit: LIMITS.routes })
        } else {
            None
        };
        if let (false, Some(full)) = (known, full) {
            let is_other = |(owner, other): &&(SessionKey, ClientRoute)| {
                *owner == peer && other.client_key == route.client_key
            };
            let other = self.routes.iter().filter(is_other).min().cloned().ok_or(full)?;
            self.routes.retain(|route| *route != other);
        }
        self.routes.retain(|other| *other != (peer, route.clone()));
        self.routes.push((peer, route.clone()));
        Ok(())
    }

    fn lookup(&self, client_key: &str) -> Vec<SessionKey> {
        let local = self.find(SessionKind::Agent, client_key);
        let newest_first = self.routes.iter().rev();
        let peers = newest_first.filter(|(_, route)| route.client_key == client_key);
        let mut found: Vec<_> = local.into_iter().collect();
        for (peer, _) in peers {
            if !found.contains(peer) {
                found.push(*peer);
            }
        }
        found
    }

    /// What an outgoing peer should know, by what is there now.
    fn known_to(&self, peer: &Session) -> Vec<ClientRoute> {
        let agents = self.live.iter().filter(|session| session.kind == SessionKind::Agent);
        let understood =
            agents.filter(|agent| peer.dialect == Dialect::Extended || !agent.name.contains('/'));
        let number = |key: SessionKey| i64::try_from(key.get()).unwrap();
        let mut routes: Vec<_> =
            understood.map(|agent| route(agent.name, number(agent.key))).collect();
        routes.sort();
        routes
    }
}

fn insert(
    registry: &mut Registry,
    model: &mut Model,
    (kind, name, dialect): (SessionKind, &'static str, Dialect),
) {
    let inserted = match kind {
        SessionKind::Agent => registry.insert_agent(name),
        SessionKind::IncomingPeer => registry.insert_incoming_peer(name, dialect),
        SessionKind::OutgoingPeer => registry.insert_outgoing_peer(name, dialect),
    };
    assert_eq!(inserted.is_ok(), model.has_room(kind, name));
    let Ok(inserted) = inserted else { return };
    let replaced = model.find(kind, name);
    assert_eq!(inserted.replaced, replaced);
    replaced.into_iter().for_each(|old| model.drop_session(old));
    model.history.push(inserted.session);
    model.live.push(Session { key: inserted.session, kind, name, dialect });
    inserted.announce.into_iter().for_each(|told| model.hear(told.peer, told.change));
    for change in registry.announcements(inserted.session, None) {
        model.hear(inserted.session, change);
    }
}

fn remove(registry: &mut Registry, model: &mut Model, key: SessionKey) {
    let removed = registry.remove(key);
    let kind = removed.as_ref().map(|removed| removed.entry.kind);
    assert_eq!(kind, model.kind(key));
    for told in removed.into_iter().flat_map(|removed| removed.announce) {
        model.hear(told.peer, told.change);
    }
    model.drop_session(key);
}

fn apply(registry: &mut Registry, model: &mut Model, op: Op) {
    match op {
        Op::Insert(kind, name, dialect) => insert(registry, model, (kind, name, dialect)),
        Op::Remove(place) => {
            model.place(place).into_iter().for_each(|key| remove(registry, model, key));
        }
        Op::RemovePeer(id) => {
            let removed: Vec<_> = registry.remove_peer(id).map(|removed| removed.session).collect();
            let kinds = [SessionKind::IncomingPeer, SessionKind::OutgoingPeer];
            let expected: Vec<_> = kinds.iter().filter_map(|kind| model.find(*kind, id)).collect();
            assert_eq!(removed, expected);
            removed.into_iter().for_each(|key| model.drop_session(key));
        }
        Op::AddRoute(place, route) => {
            let Some(peer) = model.place(place) else { return };
            let expected = model.add_route(peer, &route);
            assert_eq!(registry.peer_added_client(peer, route), expected);
        }
        Op::RemoveRoute(place, route) => {
            let Some(peer) = model.place(place) else { return };
            let accepted = registry.peer_removed_client(peer, &route).is_ok();
            assert_eq!(accepted, model.kind(peer) == Some(SessionKind::IncomingPeer));
            model.routes.retain(|known| *known != (peer, route.clone()));
        }
        Op::Forget(place, name) => {
            let Some(peer) = model.place(place) else { return };
            registry.forget_stale(peer, name);
            model.routes.retain(|(owner, route)| *owner != peer || route.client_key != name);
        }
    }
}

fn compare(registry: &Registry, model: &Model) {
    for name in NAMES {
        assert_eq!(sessions(registry, name), model.lookup(name));
        assert_eq!(registry.lookup_local(name), model.find(SessionKind::Agent, name));
    }
    for peer in model.live.iter().filter(|session| session.kind == SessionKind::OutgoingPeer) {
        let told = model.told.iter().filter(|(to, _)| *to == peer.key);
        let mut told: Vec<_> = told.map(|(_, route)| route.clone()).collect();
        told.sort();
        assert_eq!(told, model.known_to(peer), "what a peer was told is not what is there");
    }
    let ledger = registry.ledger();
    assert!(ledger.is_even());
    assert_eq!(ledger.agents.live, model.count(SessionKind::Agent) as u64);
    assert_eq!(ledger.agents.live + ledger.peers.live, model.live.len() as u64);
    assert_eq!(ledger.routes.live, model.routes.len() as u64);
}

proptest! {
    #[test]
    fn random_histories_end_as_in_the_model(ops in prop::collection::vec(op(), 1..80)) {
        let (mut registry, mut model) = (registry(), Model::default());
        for op in ops {
            apply(&mut registry, &mut model, op);
            compare(&registry, &model);
        }
        for key in model.history.clone() {
            remove(&mut registry, &mut model, key);
        }
        compare(&registry, &model);
        prop_assert!(registry.ledger().is_empty());
    }
}
