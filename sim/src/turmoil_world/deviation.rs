//! The seeded bugs of the turmoil world.

/// How the software on the hosts differs from the product, where it does: what the specimens of this
/// world are made of. Each is one line or two where the product, or an embedder, has it right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// It is the product.
    #[default]
    None,
    /// The accept loop waits for the first byte of each connection, without a deadline.
    AcceptWaits,
    /// The sockets of a server's sessions stay open when the sessions have ended.
    SocketStays,
    /// A client whose session has not ended in an orderly way cannot log in again.
    LoginWaits,
    /// A dial goes on when nobody waits for it any more.
    DialGoesOn,
    /// A task stays behind for each stream that was served.
    TaskStays,
    /// A dial waits for its answer for ever.
    DialWaits,
    /// What copies to and from a target ends both directions at the first end of file.
    EofEndsBoth,
    /// What copies to and from a target does not notice that it was reset.
    ResetSwallowed,
    /// A connection that one end has finished waits for the other one for ever.
    HalfClosedStays,
    /// Sessions do not notice that nothing is heard any more.
    SilenceIsFine,
    /// The end of a session that was replaced is not told.
    ReplacedUntold,
    /// A write that fails ends the copy to and from a target: what it has answered is lost.
    WriteErrorLosesAnswer,
    /// What copies to and from a target takes its reset for an end of file.
    ResetIsAnEnd,
    /// Connections to targets are not probed while they are idle.
    ProbesNothing,
    /// Nobody asks a target's kernel whether it acknowledges what waits.
    AsksNoKernel,
    /// A target's socket is closed where it should be reset.
    AbortCloses,
    /// Every name of a target has a thread, as long as there are any.
    LooksUpAll,
    /// A dial of a target that does not exist panics.
    StrangersPanic,
    /// Sockets without a session are all of one source.
    SharesIgnored,
    /// Where the bound of sockets without a session is reached, new ones are refused.
    NewcomersRefused,
    /// Sockets without a session have no bound.
    HandshakesUnbounded,
    /// Handshakes have no deadline.
    HandshakesLast,
    /// Any token is right.
    TokenIgnored,
    /// An agent waits for the answer of its server for ever.
    AnswerAwaited,
}
