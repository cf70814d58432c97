/// Entries of the adapter's own tables, which no ledger counts. For simulations, which find what is
/// never removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Connections that somebody holds, in all sessions.
    pub streams: usize,
    /// Permits of clients' sessions that are out: those of handshakes that are under way.
    pub permits: usize,
    /// Sockets that are no sessions yet: handshakes that run, and those that wait.
    pub handshakes: usize,
    /// Sessions of clients and of peers that connected of which some task is there.
    pub sessions: usize,
    /// Sessions that have ended, and whose books an application holds open.
    pub held: usize,
}
