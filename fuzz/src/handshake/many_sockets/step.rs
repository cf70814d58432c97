//! What happens in one case, from its bytes.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use watertight_core::wire::Hello;

use crate::handshake::TOKEN;

/// Addresses of unauthenticated remotes.
const SOURCES: u8 = 4;

/// A step of unauthenticated remotes and agents. A socket is one of the open ones, by a number modulo their
/// count.
#[derive(Debug)]
pub(super) enum SocketStep<'a> {
    /// An unauthenticated remote opens a socket.
    Open { source: u8 },
    /// Sends bytes on a socket.
    Send { socket: u8, bytes: &'a [u8] },
    /// Sends so many bytes of a greeting on a socket; 255 is all of it.
    Greet { socket: u8, greeting: Greeting, bytes: u8 },
    /// Sends nothing more on a socket, and continues to read.
    Finish { socket: u8 },
    /// Closes a socket.
    Close { socket: u8 },
    /// Milliseconds pass.
    Wait { millis: u16 },
    /// An agent connects that must have a session, and stays or goes again.
    Agent { stays: bool },
}

/// Greetings that chance finds late.
#[derive(Clone, Copy, Debug)]
pub(super) enum Greeting {
    /// An upgrade with a right token.
    Upgrade,
    /// An upgrade with a wrong token.
    WrongUpgrade,
    /// A preface with a right token.
    Preface,
    /// A preface with a wrong token.
    WrongPreface,
}

impl<'a> Arbitrary<'a> for SocketStep<'a> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match input.int_in_range(0..=9)? {
            0 | 1 => Self::Open { source: input.int_in_range(0..=SOURCES - 1)? },
            2 | 3 => {
                let (socket, length) = (input.arbitrary()?, input.arbitrary::<u8>()?);
                Self::Send { socket, bytes: input.bytes(input.len().min(length.into()))? }
            }
            4 | 5 => Self::Greet {
                socket: input.arbitrary()?,
                greeting: *input.choose(&Greeting::ALL)?,
                bytes: input.arbitrary()?,
            },
            6 => Self::Finish { socket: input.arbitrary()? },
            7 => Self::Close { socket: input.arbitrary()? },
            8 => Self::Wait { millis: input.arbitrary()? },
            _ => Self::Agent { stays: input.arbitrary()? },
        })
    }
}

impl<'a> SocketStep<'a> {
    /// All steps of the bytes.
    pub(super) fn all(bytes: &'a [u8]) -> Vec<Self> {
        let mut input = Unstructured::new(bytes);
        let next = || if input.is_empty() { None } else { Self::arbitrary(&mut input).ok() };
        std::iter::from_fn(next).collect()
    }

    /// How long it waits.
    pub(super) fn wait(&self) -> Duration {
        let Self::Wait { millis } = *self else { return Duration::ZERO };
        Duration::from_millis(millis.into())
    }
}

impl Greeting {
    const ALL: [Self; 4] = [Self::Upgrade, Self::WrongUpgrade, Self::Preface, Self::WrongPreface];

    /// The first bytes of it.
    pub(super) fn part(self, bytes: u8) -> Vec<u8> {
        let mut whole = match self {
            Self::Upgrade => upgrade(TOKEN),
            Self::WrongUpgrade => upgrade("shut"),
            Self::Preface => preface(TOKEN),
            Self::WrongPreface => preface("shut"),
        };
        if bytes < u8::MAX {
            whole.truncate(bytes.into());
        }
        whole
    }
}

fn upgrade(token: &str) -> Vec<u8> {
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         X-Tunnel-ID: edge\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    request.into_bytes()
}

fn preface(token: &str) -> Vec<u8> {
    let hello = Hello { version: 1, client_key: "edge".into(), token: token.into() };
    hello.encode().to_vec()
}
