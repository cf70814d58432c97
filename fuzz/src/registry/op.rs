//! The operations on a server's registry, as arbitrary input.

use arbitrary::{Arbitrary, Unstructured};
use watertight_core::registry::SessionKind;
use watertight_core::wire::Dialect;

use super::NAMES;

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
    /// A peer sends any bytes, in this dialect.
    Send(u8, Speaks, Vec<u8>),
    /// A peer dials anything.
    Dial(String),
}

/// The remote of a session.
#[derive(Clone, Copy, Debug)]
pub struct Kind(pub SessionKind);

/// The remote's dialect.
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
            6 => Self::Send(input.arbitrary()?, input.arbitrary()?, short(input)?.to_vec()),
            _ => Self::Dial(String::from_utf8_lossy(short(input)?).into_owned()),
        })
    }
}

/// A length, and so many bytes in one piece.
fn short<'a>(input: &mut Unstructured<'a>) -> arbitrary::Result<&'a [u8]> {
    let length = usize::from(input.arbitrary::<u8>()?);
    input.bytes(length.min(input.len()))
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
