//! A session's configuration and the steps that it is put through, as arbitrary input.

use arbitrary::{Arbitrary, Result, Unstructured};
use watertight_core::Role;
use watertight_core::wire::Dialect;

use super::draw::{Text, byte, millis, raw, size};
use super::limits::Size;
use super::message::{RemoteMessage, Whom};

/// A session and everything that happens to it.
#[derive(Arbitrary, Clone, Debug)]
pub struct Scenario {
    /// The session's end of the tunnel.
    #[arbitrary(with = role)]
    pub role: Role,
    /// The dialect.
    #[arbitrary(with = dialect)]
    pub dialect: Dialect,
    /// Whether the peer has sent its Settings, as it must where there are some.
    pub settled: bool,
    /// The session's limits.
    pub size: Size,
    /// What happens, one after the other.
    #[arbitrary(with = steps)]
    pub steps: Vec<Step>,
}

fn role(u: &mut Unstructured<'_>) -> Result<Role> {
    Ok(if byte(u)? % 2 == 0 { Role::Acceptor } else { Role::Connector })
}

fn dialect(u: &mut Unstructured<'_>) -> Result<Dialect> {
    Ok(if byte(u)? % 2 == 0 { Dialect::Base } else { Dialect::Extended })
}

/// As many as there are bytes for: a length in front would make every insertion two changes.
fn steps(u: &mut Unstructured<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    while !u.is_empty() {
        steps.push(Step::arbitrary(u)?);
    }
    Ok(steps)
}

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    /// The remote sends a message that is allowed for one of the connections, by the rules that are easily
    /// kept.
    Keeps(u8, RemoteMessage),
    /// The remote sends a message, allowed or not.
    Sends(Whom, RemoteMessage),
    /// The remote sends the same so many times: for one connection, or for one after the other.
    Floods(u8, Whom, RemoteMessage),
    /// The peer sends bytes.
    Raw(Vec<u8>),
    /// The remote sends a message with some bits of one byte changed.
    Mangled(Whom, RemoteMessage, u8, u8),
    /// The transport has its own ping for us.
    TransportPing,
    /// The transport has an answer to our own ping.
    TransportPong(Vec<u8>),
    /// The transport's queue has moved, and some of a message has arrived.
    TransportMoves,
    /// The transport delivers what is no message.
    TransportInvalid(Text),
    /// The transport ends.
    TransportEnds(Text),
    /// The application wants something, of one of the connections where it is about one.
    App(u8, Command),
    /// The application writes so many times as much as the session takes, and the transport takes it.
    Streams(u8, u8),
    /// So many times the peer sends Data, the application reads it, and the transport takes what that
    /// brings about.
    Fetches(u8, u8),
    /// The transport takes so many messages.
    Takes(u8),
    /// So many milliseconds pass.
    Passes(u32, Pace),
    /// Time passes until something is due.
    Due,
    /// The clock goes back so many milliseconds.
    Back(u32),
}

/// How time passes.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Timers are on time, and the transport takes nothing.
    Stalled,
    /// Timers are on time, and the transport takes what there is.
    Taking,
    /// The process does not run meanwhile.
    Asleep,
}

/// The five lower bits of the first byte choose the step, the others the connection.
impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let first = byte(u)?;
        let which = first >> 5;
        Ok(match first & 31 {
            0..6 => Self::Keeps(which, RemoteMessage::arbitrary(u)?),
            6..9 => Self::Sends(Whom::Next, dial()),
            9 => Self::Sends(Whom::Known(which), RemoteMessage::arbitrary(u)?),
            10 => Self::Sends(Whom::arbitrary(u)?, RemoteMessage::arbitrary(u)?),
            11 => Self::Floods(8 * which + 8, Whom::Next, RemoteMessage::arbitrary(u)?),
            12 => Self::Raw(raw(u)?),
            13 => {
                Self::Mangled(Whom::Known(which), RemoteMessage::arbitrary(u)?, byte(u)?, byte(u)?)
            }
            14 => transport(which, u)?,
            15 => Self::Takes(which),
            16 => Self::Takes(u8::MAX),
            17 => Self::Passes(millis(u)?, pace(which)),
            18 => Self::Due,
            19 => Self::Back(millis(u)?),
            20 => Self::App(which, Command::Accept),
            21 => Self::App(which, Command::Read { most: u16::MAX }),
            22 => Self::App(which, Command::Write { length: 100 }),
            23 => Self::App(which, Command::Open { within: None, target: Text::TARGET }),
            24 => Self::App(which, Command::Release),
            25 => Self::App(which, Command::Finish),
            26 => Self::Floods(8 * which + 8, Whom::Known(0), RemoteMessage::arbitrary(u)?),
            27 => Self::Streams(which, byte(u)? % 64),
            28 => Self::Fetches(which, byte(u)? % 16),
            _ => Self::App(which, Command::arbitrary(u)?),
        })
    }
}

fn dial() -> RemoteMessage {
    RemoteMessage::Connect { deadline: 0, target: Text::TARGET }
}

fn transport(which: u8, u: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match which {
        0..2 => Step::TransportPing,
        2 => Step::TransportMoves,
        3..6 => Step::TransportPong(raw(u)?),
        6 => Step::TransportInvalid(Text::arbitrary(u)?),
        _ => Step::TransportEnds(Text::arbitrary(u)?),
    })
}

const fn pace(which: u8) -> Pace {
    match which % 3 {
        0 => Pace::Taking,
        1 => Pace::Stalled,
        _ => Pace::Asleep,
    }
}

/// A call of the application, on one of its connections or on the session.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the commands of a session")]
pub enum Command {
    Open { within: Option<u32>, target: Text },
    Accept,
    Refuse { code: u64, text: Text },
    Write { length: u16 },
    Writable,
    Read { most: u16 },
    Finish,
    Reset { code: u64, text: Text },
    Release,
    Announce { key: u8, reachable: bool },
    TrustRoutes,
    Drain { within: u32, text: Text },
    Close { code: u64, text: Text },
    ForceClose,
}

impl Command {
    /// Its text for the remote, or its target.
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

/// Calls that only end everything are rare.
impl<'a> Arbitrary<'a> for Command {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match byte(u)? % 32 {
            0..4 => Self::Open { within: None, target: Text::TARGET },
            4..6 => Self::Open { within: Some(millis(u)?), target: Text::arbitrary(u)? },
            6..12 => Self::Accept,
            12 => Self::Refuse { code: byte(u)?.into(), text: Text::arbitrary(u)? },
            13..17 => Self::Write { length: size(u)? },
            17 => Self::Writable,
            18..22 => Self::Read { most: size(u)?.max(1) },
            22 | 23 => Self::Finish,
            24 => Self::Reset { code: byte(u)?.into(), text: Text::arbitrary(u)? },
            25 | 26 => Self::Release,
            27 => Self::Announce { key: byte(u)?, reachable: bool::arbitrary(u)? },
            28 => Self::TrustRoutes,
            29 => Self::Drain { within: millis(u)?, text: Text::arbitrary(u)? },
            30 => Self::Close { code: byte(u)?.into(), text: Text::arbitrary(u)? },
            _ => Self::ForceClose,
        })
    }
}
