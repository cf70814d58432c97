//! Sometimes-assertions: the interesting situations, each of which a run must reach.

use std::fmt;

use serde::{Deserialize, Serialize};
use watertight_core::{Cause, Ledger, SessionEnd};

use crate::World;

macro_rules! situations {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal in $worlds:ident;)+) => {
        /// An interesting situation. Each schedule reports the situations that it reached.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Situation {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Situation {
            /// All of them, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// In words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            const fn worlds(self) -> Worlds {
                match self {
                    $(Self::$name => Worlds::$worlds,)+
                }
            }
        }
    };
}

/// Which worlds can get there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worlds {
    Both,
    Core,
    Turmoil,
}

situations! {
    /// See [`Cause::Finished`].
    Finished = "a connection ended with both directions finished" in Both;
    /// See [`Cause::Dropped`].
    Dropped = "an application dropped its stream before it had finished" in Both;
    /// See [`Cause::Aborted`].
    Aborted = "an application reset its connection" in Both;
    /// See [`Cause::Vanished`].
    Vanished = "the machine at the end of a connection vanished" in Both;
    /// See [`Cause::Stopped`].
    Stopped = "an application let go after finishing, and the remote still sent" in Both;
    /// See [`Cause::Refused`].
    Refused = "a dial was refused" in Both;
    /// See [`Cause::RemoteReset`].
    PeerReset = "the remote reset a connection" in Both;
    /// See [`Cause::RemoteClosed`].
    PeerClosed = "a base end closed both directions" in Both;
    /// See [`Cause::DialTimeout`].
    DialTimeout = "a dial had no answer in time" in Both;
    /// See [`Cause::AcceptTimeout`].
    AcceptTimeout = "a target did not answer in time" in Both;
    /// See [`Cause::LingerTimeout`].
    LingerTimeout = "a finished connection was not finished by the remote in time" in Both;
    /// See [`Cause::NotListed`].
    NotListed = "a reconciliation list did not have a connection" in Core;
    /// See [`Cause::Overrun`].
    Overrun = "a base end ignored Pause until its connection was reset" in Core;
    /// See [`Cause::GoingAway`].
    GoingAway = "a dial met an end that goes away" in Both;
    /// See [`Cause::SessionEnded`].
    SessionEnded = "a connection ended with its session" in Both;

    /// See [`SessionEnd::Closed`].
    SessionClosed = "a session was closed by its end" in Both;
    /// See [`SessionEnd::Drained`].
    SessionDrained = "a session was drained to its end" in Both;
    /// See [`SessionEnd::RemoteClosed`].
    SessionPeerClosed = "a session was closed by the remote" in Both;
    /// See [`SessionEnd::ProtocolViolation`].
    SessionPeerMisbehaved = "a session ended because the remote broke the protocol" in Both;
    /// See [`SessionEnd::Transport`].
    SessionTransport = "a session ended with its transport" in Both;
    /// See [`SessionEnd::Silent`].
    SessionSilent = "a session ended because nothing was heard" in Both;
    /// See [`SessionEnd::Stalled`].
    SessionStalled = "a session ended because its transport took nothing" in Core;

    /// A dial's future or handle goes before its answer.
    DialGivenUp = "a dial was given up before its answer" in Both;
    /// Too many dials or connections at once.
    DialBeyondLimit = "a dial met the limit of connections or dials" in Both;
    /// See [`OpenError::TooManyDialsOfTarget`](watertight_core::session::OpenError::TooManyDialsOfTarget).
    DialBeyondShare = "a dial met its target's share of the dials in flight" in Core;
    /// A sender with a full queue would have taken it for a dead one.
    FullQueueMoved = "a queue that had no room moved" in Core;
    /// A look-up has no end, and another one comes.
    NamesHang = "a target's name hung behind another one" in Turmoil;
    /// No session of the client is there.
    DialWithoutSession = "a dial found no session" in Both;
    /// A partition comes while a dial is in flight.
    PartitionWhileDialling = "a partition came while a dial was in flight" in Both;
    /// The link breaks while a dial is in flight.
    CutWhileDialling = "a link was cut while a dial was in flight" in Both;
    /// The session drains while a dial is in flight.
    DrainWhileDialling = "a drain began while a dial was in flight" in Both;

    /// A partition comes while bytes are in transit.
    PartitionDuringTransfer = "a partition came during a transfer" in Both;
    /// Only one direction is lost.
    PartitionOneWay = "one way of a link was lost during a transfer" in Both;
    /// A link is held while bytes are in transit.
    HoldDuringTransfer = "a link was held during a transfer" in Both;
    /// The link breaks while bytes are in transit.
    CutDuringTransfer = "a link was cut during a transfer" in Both;
    /// The link breaks, and a part of a message has arrived.
    CutInsideMessage = "a link was cut inside a message" in Core;
    /// A newer session takes over while bytes are in transit.
    ReplacedDuringTransfer = "a session was replaced during a transfer" in Both;
    /// The session drains while a stream is open.
    DrainDuringTransfer = "a drain began during a transfer" in Both;
    /// A server dies with streams open.
    ServerCrashDuringTransfer = "a server crashed during a transfer" in Both;
    /// An agent dies with streams open.
    AgentCrashDuringTransfer = "an agent crashed during a transfer" in Both;
    /// A host shuts down with streams open.
    RestartDuringTransfer = "a host shut down during a transfer" in Both;
    /// An agent is connected again after it was not.
    Reconnected = "an agent came back after its session had ended" in Both;

    /// A writer has no credit or buffer.
    WriteBlocked = "a writer had to wait" in Both;
    /// A writer has used up the credit of its connection.
    CreditUsedUp = "a connection's credit was used up" in Core;
    /// Several writers wait for the send budget.
    BudgetUsedUp = "several writers waited for the send budget" in Core;
    /// Credit beyond the first window is granted.
    WindowGrew = "a window grew beyond its first size" in Core;
    /// A stopped reader holds bytes.
    ReaderStopped = "a reader stopped with bytes unread" in Both;
    /// Bytes come after the application has finished.
    AnswerAfterFinish = "an answer came after the application had finished" in Both;
    /// Everything arrived in both directions.
    BothWaysComplete = "bytes went both ways, all of them, to a clean end" in Both;
    /// Much was moved on one stream.
    MuchMoved = "a stream moved many times its first window" in Both;

    /// A Reset and a Finish cross.
    ResetCrossesFinish = "a Reset crossed a Finish" in Core;
    /// Both ends finish at once.
    FinishCrossesFinish = "two Finishes crossed" in Core;
    /// A Reset and Data cross.
    ResetCrossesData = "a Reset crossed Data" in Core;
    /// The dial is given up while its answer is in transit.
    ResetCrossesOpened = "a Reset crossed Opened" in Core;
    /// A Pause and a Resume cross.
    PauseCrossesResume = "Pause and Resume crossed" in Core;
    /// Both ends dial at once.
    ConnectCrossesConnect = "two Connects crossed" in Core;
    /// A list and a Connect cross.
    ListCrossesConnect = "a reconciliation list crossed a Connect" in Core;
    /// A list goes out with connections on it.
    ListWithConnections = "a reconciliation list had connections on it" in Core;

    /// A hostile end sent bytes that are no message.
    HostileGarbage = "a hostile end sent what cannot be read" in Both;
    /// A hostile end sent many messages that want an answer and read none.
    HostileFlood = "a hostile end flooded and did not read" in Both;
    /// A hostile end announced clients.
    HostileRoutes = "a hostile end announced clients" in Both;
    /// A hostile end used an id that is not its own, or never was.
    HostileId = "a hostile end used an id out of turn" in Both;

    /// The socket of an unauthenticated remote is silent, and its time runs out.
    UnauthenticatedSilent = "a silent unauthenticated remote was closed in time" in Turmoil;
    /// An unauthenticated remote sends half of a greeting, and its time runs out.
    UnauthenticatedHalf = "an unauthenticated remote with half a greeting was closed in time" in Turmoil;
    /// An unauthenticated remote sent garbage, and had an answer.
    UnauthenticatedGarbage = "an unauthenticated remote's garbage was answered" in Turmoil;
    /// An unauthenticated remote had a wrong token, and had an answer.
    UnauthenticatedRefused = "an unauthenticated remote with a wrong token was refused" in Turmoil;
    /// A remote with a right token sent broken frames, and lost its session.
    UnauthenticatedFrames = "a session ended with broken frames" in Turmoil;
    /// The socket of an unauthenticated remote was closed before its time, because of others.
    UnauthenticatedEvicted = "an unauthenticated remote's socket had to go for another one" in Turmoil;
    /// An agent had a session while all handshakes were taken.
    AdmittedWhenFull = "an agent was let in where the handshakes were all taken" in Turmoil;
    /// An impostor was silent until the agent had enough.
    ImpostorSilent = "an agent gave up a silent end in its server's place" in Turmoil;
    /// An impostor answered wrongly until the agent had enough.
    ImpostorWrong = "an agent gave up an end with a wrong answer in its server's place" in Turmoil;
    /// An impostor let an agent in, and sent broken frames.
    ImpostorFrames = "an agent gave up an end with broken frames in its server's place" in Turmoil;

    /// A dial went through a peer server.
    DialThroughPeer = "a dial went through a peer server" in Turmoil;
    /// A peer server no longer had the client that was dialled through it.
    PeerWithoutClient = "a peer server no longer had the client" in Turmoil;
    /// A peer's session ended with streams through it.
    PeerLostDuringTransfer = "a peer server was lost during a transfer through it" in Turmoil;
    /// A handshake met a partition.
    HandshakeTimedOut = "a handshake was not answered in time" in Turmoil;
    /// A write was dropped before it was done.
    WriteDropped = "a future that writes was dropped" in Turmoil;
    /// A read was dropped before it was done.
    ReadDropped = "a future that reads was dropped" in Turmoil;
}

impl Situation {
    /// Whether the world can get there.
    #[must_use]
    pub const fn is_in(self, world: World) -> bool {
        match self.worlds() {
            Worlds::Both => true,
            Worlds::Core => matches!(world, World::Core),
            Worlds::Turmoil => matches!(world, World::Turmoil),
        }
    }

    /// The situations that a world can reach.
    pub fn of(world: World) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |situation| situation.is_in(world))
    }

    /// The situation of a connection's cause of end.
    #[must_use]
    pub const fn of_cause(cause: Cause) -> Self {
        match cause {
            Cause::Finished => Self::Finished,
            Cause::Dropped => Self::Dropped,
            Cause::Aborted => Self::Aborted,
            Cause::Vanished => Self::Vanished,
            Cause::Stopped => Self::Stopped,
            Cause::Refused => Self::Refused,
            Cause::RemoteReset => Self::PeerReset,
            Cause::RemoteClosed => Self::PeerClosed,
            Cause::DialTimeout => Self::DialTimeout,
            Cause::AcceptTimeout => Self::AcceptTimeout,
            Cause::LingerTimeout => Self::LingerTimeout,
            Cause::NotListed => Self::NotListed,
            Cause::Overrun => Self::Overrun,
            Cause::GoingAway => Self::GoingAway,
            Cause::SessionEnded => Self::SessionEnded,
        }
    }

    /// The situation of a session's end.
    #[must_use]
    pub const fn of_session(end: &SessionEnd) -> Option<Self> {
        Some(match end {
            SessionEnd::Closed { .. } => Self::SessionClosed,
            SessionEnd::Drained => Self::SessionDrained,
            SessionEnd::RemoteClosed { .. } => Self::SessionPeerClosed,
            SessionEnd::ProtocolViolation(_) => Self::SessionPeerMisbehaved,
            SessionEnd::Transport(_) => Self::SessionTransport,
            SessionEnd::Silent(_) => Self::SessionSilent,
            SessionEnd::Stalled(_) => Self::SessionStalled,
            _ => return None,
        })
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Which situations a run has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situations(u128);

const _: () = assert!(Situation::ALL.len() <= u128::BITS as usize, "a bit for each");

impl Situations {
    /// Notes that the run got there.
    pub const fn note(&mut self, situation: Situation) {
        self.0 |= 1 << situation as u32;
    }

    /// Notes it if it is so.
    pub const fn note_if(&mut self, is_so: bool, situation: Situation) {
        if is_so {
            self.note(situation);
        }
    }

    /// Notes the causes of ended connections.
    pub fn note_causes(&mut self, ledger: &Ledger) {
        for (cause, count) in ledger.removed.iter() {
            self.note_if(count > 0, Situation::of_cause(cause));
        }
    }

    /// Whether the run got there.
    #[must_use]
    pub const fn has(self, situation: Situation) -> bool {
        self.0 & (1 << situation as u32) != 0
    }

    /// Those it has, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Situation> {
        Situation::ALL.iter().copied().filter(move |situation| self.has(*situation))
    }

    /// Adds what another run has reached.
    pub const fn absorb(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
