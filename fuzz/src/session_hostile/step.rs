//! One step of a scenario: a message, raw bytes, a timeout, a transport event or an application's call.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::draw::{byte, millis, raw};
use super::{Command, Say, Text, Whom};

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    /// The peer says something that it may say of one of the connections, by the rules that are easily
    /// kept.
    Keeps(u8, Say),
    /// The peer says something, whether or not it may.
    Says(Whom, Say),
    /// The peer says the same so many times: of one connection, or of one after the other.
    Floods(u8, Whom, Say),
    /// The peer sends bytes.
    Raw(Vec<u8>),
    /// The peer sends a message of which the byte at a place has some bits changed.
    Mangled(Whom, Say, u8, u8),
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
    /// The application writes so many times as much as there is room for, and the transport takes it.
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

/// The five lower bits of the first byte say what happens, the others to which connection.
impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let first = byte(u)?;
        let which = first >> 5;
        Ok(match first & 31 {
            0..6 => Self::Keeps(which, Say::arbitrary(u)?),
            6..9 => Self::Says(Whom::Next, dial()),
            9 => Self::Says(Whom::Known(which), Say::arbitrary(u)?),
            10 => Self::Says(Whom::arbitrary(u)?, Say::arbitrary(u)?),
            11 => Self::Floods(8 * which + 8, Whom::Next, Say::arbitrary(u)?),
            12 => Self::Raw(raw(u)?),
            13 => Self::Mangled(Whom::Known(which), Say::arbitrary(u)?, byte(u)?, byte(u)?),
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
            26 => Self::Floods(8 * which + 8, Whom::Known(0), Say::arbitrary(u)?),
            27 => Self::Streams(which, byte(u)? % 64),
            28 => Self::Fetches(which, byte(u)? % 16),
            _ => Self::App(which, Command::arbitrary(u)?),
        })
    }
}

fn dial() -> Say {
    Say::Connect { deadline: 0, target: Text::TARGET }
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
