//! The application's calls on a session, as arbitrary input.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::Text;
use super::draw::{byte, millis, size};

/// What the application wants: of one of its connections, or of the session.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the commands of a session")]
pub enum Command {
    Open { within: Option<u32>, target: Text },
    Accept,
    Refuse { code: u64, text: Text },
    Write { length: u16 },
    Room,
    Read { most: u16 },
    Finish,
    Reset { code: u64, text: Text },
    Release,
    Announce { key: u8, reachable: bool },
    TrustRoutes,
    Drain { within: u32, text: Text },
    Close { code: u64, text: Text },
    Abandon,
}

impl Command {
    /// What it says to the remote, or whom it dials.
    pub(super) fn text(self) -> String {
        match self {
            Self::Open { target, .. } => target.string(),
            Self::Refuse { text, .. }
            | Self::Reset { text, .. }
            | Self::Drain { text, .. }
            | Self::Close { text, .. } => text.words(),
            _ => String::new(),
        }
    }
}

/// Those that only end everything are rare.
impl<'a> Arbitrary<'a> for Command {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match byte(u)? % 32 {
            0..4 => Self::Open { within: None, target: Text::TARGET },
            4..6 => Self::Open { within: Some(millis(u)?), target: Text::arbitrary(u)? },
            6..12 => Self::Accept,
            12 => Self::Refuse { code: byte(u)?.into(), text: Text::arbitrary(u)? },
            13..17 => Self::Write { length: size(u)? },
            17 => Self::Room,
            18..22 => Self::Read { most: size(u)?.max(1) },
            22 | 23 => Self::Finish,
            24 => Self::Reset { code: byte(u)?.into(), text: Text::arbitrary(u)? },
            25 | 26 => Self::Release,
            27 => Self::Announce { key: byte(u)?, reachable: bool::arbitrary(u)? },
            28 => Self::TrustRoutes,
            29 => Self::Drain { within: millis(u)?, text: Text::arbitrary(u)? },
            30 => Self::Close { code: byte(u)?.into(), text: Text::arbitrary(u)? },
            _ => Self::Abandon,
        })
    }
}
