//! The remote's messages, as arbitrary input: valid in form, arbitrary in content.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::draw::{Text, byte, magnitude, number, payload, size};

/// Which connection a message is about.
#[derive(Clone, Copy, Debug)]
pub enum Whom {
    /// The session itself.
    Session,
    /// One of those there have been, the newest ones first.
    Known(u8),
    /// The id that the peer takes next.
    Next,
    /// An id so far beyond the next one.
    Later(u8),
    /// Any id.
    Any(i64),
}

/// Ids in a list.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Which of the newest eight connections are listed: a bit for each.
    pub known: u8,
    /// Ids of any kind.
    pub others: Vec<i64>,
}

/// A message of the remote: every type, sizes and texts in few bytes, ids as they stand in the session.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the messages of the protocol")]
pub enum RemoteMessage {
    Data { length: u16 },
    Connect { deadline: i64, target: Text },
    Error { text: Text },
    AddClient { key: Text, session_key: i64 },
    RemoveClient { key: Text, session_key: i64 },
    Pause,
    Resume,
    SyncConnections(List),
    Settings { initial_window: u16, max_data: u16, max_connections: u8, silence: u8 },
    Opened,
    Finish,
    Reset { code: u64, text: Text },
    Credit { bytes: u64 },
    GoAway { last: Whom, code: u64, text: Text },
    Ping { opaque: u8 },
    Pong { opaque: u8 },
    Sync { newest: Whom, list: List },
    Unknown { kind: i64 },
}

impl<'a> Arbitrary<'a> for Whom {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let byte = byte(u)?;
        Ok(match byte {
            0..128 => Self::Known(byte),
            128..160 => Self::Next,
            160..176 => Self::Session,
            176..208 => Self::Later(byte),
            208.. => Self::Any(number(u)?),
        })
    }
}

impl<'a> Arbitrary<'a> for List {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (known, count) = (byte(u)?, byte(u)? % 4);
        let others = (0..count).map(|_| number(u)).collect::<Result<_>>()?;
        Ok(Self { known, others })
    }
}

impl<'a> Arbitrary<'a> for RemoteMessage {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match byte(u)? % 24 {
            0 => Self::Error { text: Text::arbitrary(u)? },
            1 => Self::AddClient { key: Text::arbitrary(u)?, session_key: number(u)? },
            2 => Self::RemoveClient { key: Text::arbitrary(u)?, session_key: number(u)? },
            3 => Self::SyncConnections(List::arbitrary(u)?),
            4 => {
                let (initial_window, max_data, both) = (size(u)?, size(u)?, byte(u)?);
                // One byte gives both, so that the corpora keep their meaning.
                Self::Settings {
                    initial_window,
                    max_data,
                    max_connections: both,
                    silence: both >> 5,
                }
            }
            5 => Self::Pause,
            6 => Self::Resume,
            7 => Self::Finish,
            8 => Self::Reset { code: size(u)?.into(), text: Text::arbitrary(u)? },
            9 => Self::Credit { bytes: magnitude(u)? },
            10 => Self::Credit { bytes: size(u)?.into() },
            11 => Self::GoAway {
                last: Whom::arbitrary(u)?,
                code: (byte(u)? % 8).into(),
                text: Text::arbitrary(u)?,
            },
            12 => Self::Ping { opaque: byte(u)? },
            13 => Self::Pong { opaque: byte(u)? },
            14 => Self::Sync { newest: Whom::arbitrary(u)?, list: List::arbitrary(u)? },
            15 => Self::Unknown { kind: number(u)? },
            16 => Self::Connect { deadline: number(u)?, target: Text::arbitrary(u)? },
            17 | 18 => Self::Opened,
            _ => Self::Data { length: payload(u)? },
        })
    }
}
