//! Peers that announce anything, in any order: routes and sessions are those of a naive model at any time, and
//! when everybody is gone, nothing is left.

mod model;
mod targets;

use arbitrary::{Arbitrary, Unstructured};
use watertight_core::ConnectionId;
use watertight_core::registry::{
    Registry, RegistryLimits, RouteChange, SessionKey, SessionKind, no_such_client,
    says_no_such_client,
};
use watertight_core::wire::{Body, ClientRoute, DecodeLimits, Dialect, Message};

use crate::heap;
use model::{Model, Session};

/// So little that it is met.
pub const LIMITS: RegistryLimits =
    RegistryLimits { agents: 3, peers: 2, routes_per_peer: 3, routes: 5, key: 8 };

/// Keys that mean something to somebody, and those that nobody may have.
pub const NAMES: [&str; 10] = ["a", "b", "c", "a/b", "a::b", "a:", "%2F", "", "a long one", "é"];

/// Something that happens to a server's registry. A `place` is one of the sessions that there have been, live
/// or not.
#[derive(Clone, Debug)]
pub enum Op {
    /// A session is established.
    Insert(Kind, Name, Speaks),
    /// A session ends.
    Remove(u8),
    /// A peer server is no longer one.
    RemovePeer(Name),
    /// A peer announces a client, with this session key.
    AddRoute(u8, Name, u8),
    /// A peer takes an announcement back.
    RemoveRoute(u8, Name, u8),
    /// A peer turned out not to have a client.
    Forget(u8, Name),
    /// A peer says anything, in this dialect.
    Say(u8, Speaks, Vec<u8>),
    /// A peer dials anything.
    Dial(String),
}

/// Who is at the other end of a session.
#[derive(Clone, Copy, Debug)]
pub struct Kind(pub SessionKind);

/// What the other end speaks.
#[derive(Clone, Copy, Debug)]
pub struct Speaks(pub Dialect);

/// One of [`NAMES`].
#[derive(Clone, Copy, Debug)]
pub struct Name(pub &'static str);

/// Every kind of session.
pub const KINDS: [SessionKind; 3] =
    [SessionKind::Agent, SessionKind::IncomingPeer, SessionKind::OutgoingPeer];

/// Both dialects.
pub const DIALECTS: [Dialect; 2] = [Dialect::Base, Dialect::Extended];

/// As few bytes for each as it takes, so that a change of one changes one thing.
impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match input.int_in_range(0..=7)? {
            0 => Self::Insert(input.arbitrary()?, input.arbitrary()?, input.arbitrary()?),
            1 => Self::Remove(input.arbitrary()?),
            2 => Self::RemovePeer(input.arbitrary()?),
            3 => Self::AddRoute(input.arbitrary()?, input.arbitrary()?, input.arbitrary()?),
            4 => Self::RemoveRoute(input.arbitrary()?, input.arbitrary()?, input.arbitrary()?),
            5 => Self::Forget(input.arbitrary()?, input.arbitrary()?),
            6 => Self::Say(input.arbitrary()?, input.arbitrary()?, short(input)?.to_vec()),
            _ => Self::Dial(String::from_utf8_lossy(short(input)?).into_owned()),
        })
    }
}

/// A length, and so many bytes in one piece.
fn short<'a>(input: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(input.arbitrary::<u8>()?);
    input.bytes(length.min(input.len()))
}

/// The history of the bytes.
fn history(input: &[u8]) -> Vec<Op> {
    let mut input = Unstructured::new(input);
    let mut ops = Vec::new();
    while !input.is_empty() {
        ops.extend(input.arbitrary::<Op>());
    }
    ops
}

impl<'a> Arbitrary<'a> for Kind {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        input.choose(&KINDS).copied().map(Self)
    }
}

impl<'a> Arbitrary<'a> for Speaks {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        input.choose(&DIALECTS).copied().map(Self)
    }
}

impl<'a> Arbitrary<'a> for Name {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        input.choose(&NAMES).map(|name| Self(name))
    }
}

/// Takes a history from the bytes and lets it happen.
pub fn run(input: &[u8]) {
    check(|| history(input));
}

/// The history of the bytes.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    format!("{:?}", history(input))
}

/// Lets a history happen, from its making to its end.
///
/// # Panics
/// Something does not hold, or bytes of heap are left.
pub fn check(history: impl FnOnce() -> Vec<Op>) {
    assert_eq!(heap::kept(|| play(history())), 0, "bytes of heap are left");
}

/// Lets a history happen, compares the registry with the model after each of its steps, and lets everybody
/// leave in the end.
///
/// # Panics
/// They differ, or something is left.
fn play(ops: Vec<Op>) {
    let mut world = World { registry: Registry::new(LIMITS), model: Model::default() };
    for op in ops {
        world.apply(op);
        world.model.compare(&world.registry);
    }
    for session in world.model.history.clone() {
        world.remove(session);
    }
    world.model.compare(&world.registry);
    assert!(world.registry.ledger().is_empty(), "{:?}", world.registry);
}

struct World {
    registry: Registry,
    model: Model,
}

impl World {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(Kind(kind), Name(name), Speaks(dialect)) => self.insert(kind, name, dialect),
            Op::Remove(place) => {
                self.model.place(place).into_iter().for_each(|session| self.remove(session));
            }
            Op::RemovePeer(Name(id)) => self.remove_peer(id),
            Op::AddRoute(place, Name(key), number) => {
                self.announce(place, Body::AddClient(route(key, number)));
            }
            Op::RemoveRoute(place, Name(key), number) => {
                self.announce(place, Body::RemoveClient(route(key, number)));
            }
            Op::Forget(place, Name(key)) => {
                let Some(peer) = self.model.place(place) else { return };
                self.registry.forget_stale(peer, key);
                self.model.forget(peer, key);
            }
            Op::Say(place, Speaks(dialect), bytes) => self.say(place, dialect, bytes),
            Op::Dial(text) => targets::check(&text),
        }
    }

    fn insert(&mut self, kind: SessionKind, name: &'static str, dialect: Dialect) {
        let (registry, model) = (&mut self.registry, &mut self.model);
        let inserted = match kind {
            SessionKind::Agent => registry.insert_agent(name),
            SessionKind::IncomingPeer => registry.insert_incoming_peer(name, dialect),
            SessionKind::OutgoingPeer => registry.insert_outgoing_peer(name, dialect),
        };
        assert_eq!(inserted.as_ref().err(), model.refuses(kind, name).as_ref());
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

    fn remove(&mut self, session: SessionKey) {
        let removed = self.registry.remove(session);
        let kind = removed.as_ref().map(|removed| removed.entry.kind);
        assert_eq!(kind, self.model.kind(session));
        for told in removed.into_iter().flat_map(|removed| removed.announce) {
            self.model.hear(told.peer, told.change);
        }
        self.model.drop_session(session);
    }

    fn remove_peer(&mut self, id: &str) {
        let removed: Vec<_> =
            self.registry.remove_peer(id).map(|removed| removed.session).collect();
        let kinds = [SessionKind::IncomingPeer, SessionKind::OutgoingPeer];
        let expected: Vec<_> = kinds.iter().filter_map(|kind| self.model.find(*kind, id)).collect();
        assert_eq!(removed, expected);
        removed.into_iter().for_each(|session| self.model.drop_session(session));
    }

    /// An announcement travels as a message, and comes out of it as it went in.
    fn announce(&mut self, place: u8, body: Body) {
        let message = Message::new(ConnectionId::SESSION, body);
        let bytes = message.encode().to_bytes();
        for dialect in DIALECTS {
            let decoded = Message::decode(bytes.clone(), dialect, &DecodeLimits::default());
            let (Body::AddClient(route) | Body::RemoveClient(route)) = &message.body else {
                return;
            };
            let speakable = RouteChange::Added(route.clone()).check(dialect).is_ok();
            assert!(!speakable || decoded.as_ref() == Ok(&message), "{message:?} is {decoded:?}");
        }
        self.take(place, message.body);
    }

    fn say(&mut self, place: u8, dialect: Dialect, bytes: Vec<u8>) {
        let decoded = Message::decode(bytes.into(), dialect, &DecodeLimits::default());
        if let Ok(message) = decoded {
            self.take(place, message.body);
        }
    }

    /// A peer's message as far as it concerns the registry.
    fn take(&mut self, place: u8, body: Body) {
        let Some(peer) = self.model.place(place) else { return };
        match body {
            Body::AddClient(route) => {
                let expected = self.model.add_route(peer, &route);
                assert_eq!(self.registry.peer_added_client(peer, route), expected);
            }
            Body::RemoveClient(route) => {
                let expected = self.model.remove_route(peer, &route);
                assert_eq!(self.registry.peer_removed_client(peer, &route), expected);
            }
            Body::Error { text } => {
                let known = NAMES.iter().filter(|name| says_no_such_client(&text, name));
                known.for_each(|name| assert!(no_such_client(name).starts_with(&text)));
            }
            _ => {}
        }
    }
}

fn route(client_key: &str, number: u8) -> ClientRoute {
    ClientRoute { client_key: client_key.into(), session_key: i64::from(number % 3) }
}
