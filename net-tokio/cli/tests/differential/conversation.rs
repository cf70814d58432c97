//! Conversations: a script for each end of a connection, as data and as text.
//!
//! The text form is `client: send 2, end, close | target: read 1, send 12, close`. A failure prints
//! it, and a replay reads it.

use std::fmt;
use std::str::FromStr;

/// Bytes that the kernel holds for a receiver that does not read. A direction that carries no more
/// than this is delivered whole in any case, and is compared to the byte. The
/// initial receive window of a socket on loopback is 65,483 bytes.
pub(crate) const SMALL: u64 = 60_000;

/// One action of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Writes this many bytes.
    Send(u32),
    /// Reads this many bytes, or up to the end of the stream.
    Read(u32),
    /// Reads to the end of the stream.
    ReadToEnd,
    /// Shuts down the write side.
    Finish,
    /// Writes until a write fails.
    Flood,
    /// Waits until the remote has taken this many steps, and their effects have arrived in the
    /// kernel of this end: the bytes, the FIN, the reset.
    ///
    /// The arrival is part of it because a signal outside of the connection would otherwise overtake
    /// the connection. That cannot be distinguished from a fault, and no program can do it.
    Wait(u8),
    /// Does nothing for this many milliseconds.
    Pause(u8),
}

/// How an end leaves, after its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Leave {
    /// Closes the socket. The kernel sends a reset instead of a FIN where bytes are unread.
    Close,
    /// Closes the socket with `SO_LINGER` 0: a reset.
    Reset,
    /// Keeps the socket open until the remote has left or keeps its own.
    Keep,
}

/// What one end does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) leave: Leave,
}

/// What both ends do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Conversation {
    /// Whether the client begins before the target has accepted the connection.
    pub(crate) early: bool,
    pub(crate) client: Script,
    pub(crate) target: Script,
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    Target,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Target];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Target,
            Self::Target => Self::Client,
        }
    }
}

impl Script {
    /// Steps, the leaving included.
    pub(crate) fn len(&self) -> usize {
        self.steps.len() + 1
    }

    /// Bytes that the script sends if every write succeeds; `None` if there is no limit.
    pub(crate) fn sends(&self) -> Option<u64> {
        self.steps.iter().try_fold(0, |sum, step| match step {
            Step::Send(bytes) => Some(sum + u64::from(*bytes)),
            Step::Flood => None,
            _ => Some(sum),
        })
    }

    /// Whether the script closes its write side and continues.
    pub(crate) fn half_closes(&self) -> bool {
        self.steps.contains(&Step::Finish)
    }
}

impl Conversation {
    pub(crate) const fn script(&self, side: Side) -> &Script {
        match side {
            Side::Client => &self.client,
            Side::Target => &self.target,
        }
    }

    pub(crate) const fn script_mut(&mut self, side: Side) -> &mut Script {
        match side {
            Side::Client => &mut self.client,
            Side::Target => &mut self.target,
        }
    }

    /// Whether what `side` receives is compared to the byte.
    pub(crate) fn is_small(&self, side: Side) -> bool {
        self.script(side.other()).sends().is_some_and(|bytes| bytes <= SMALL)
    }

    pub(crate) fn half_closes(&self) -> bool {
        Side::BOTH.iter().any(|side| self.script(*side).half_closes())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "send {bytes}"),
            Self::Read(bytes) => write!(f, "read {bytes}"),
            Self::ReadToEnd => f.write_str("end"),
            Self::Finish => f.write_str("finish"),
            Self::Flood => f.write_str("flood"),
            Self::Wait(steps) => write!(f, "wait {steps}"),
            Self::Pause(milliseconds) => write!(f, "pause {milliseconds}"),
        }
    }
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "close",
            Self::Reset => "reset",
            Self::Keep => "keep",
        })
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "{step}, "))?;
        self.leave.fmt(f)
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let early = if self.early { "early " } else { "" };
        write!(f, "{early}client: {} | target: {}", self.client, self.target)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no step");
        let (name, number) = match text.split_once(' ') {
            Some((name, number)) => (name, Some(number.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let byte = |number: u32| u8::try_from(number).map_err(|_| wrong());
        match (name, number) {
            ("send", Some(bytes)) => Ok(Self::Send(bytes)),
            ("read", Some(bytes)) => Ok(Self::Read(bytes)),
            ("end", None) => Ok(Self::ReadToEnd),
            ("finish", None) => Ok(Self::Finish),
            ("flood", None) => Ok(Self::Flood),
            ("wait", Some(steps)) => byte(steps).map(Self::Wait),
            ("pause", Some(milliseconds)) => byte(milliseconds).map(Self::Pause),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for Leave {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "close" => Ok(Self::Close),
            "reset" => Ok(Self::Reset),
            "keep" => Ok(Self::Keep),
            _ => Err(format!("a script ends with close, reset or keep, not with {text:?}")),
        }
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (steps, leave) = match text.rsplit_once(',') {
            Some((steps, leave)) => (steps.split(',').collect(), leave),
            None => (Vec::new(), text),
        };
        let steps = steps.into_iter().map(|step| step.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self { steps, leave: leave.trim().parse()? })
    }
}

impl FromStr for Conversation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (client, target) = text.split_once('|').ok_or("there is no | between the scripts")?;
        let client = client.trim();
        let (early, client) = match client.strip_prefix("early ") {
            Some(client) => (true, client),
            None => (false, client),
        };
        let script = |text: &str, name: &str| {
            let script = text.trim().strip_prefix(name);
            script.ok_or_else(|| format!("{text:?} does not begin with {name}"))?.parse()
        };
        Ok(Self { early, client: script(client, "client:")?, target: script(target, "target:")? })
    }
}
