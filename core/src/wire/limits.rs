/// How much of what the other end sends is taken in.
///
/// Nothing is allocated for what is above a limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecodeLimits {
    /// The longest message, header included, in bytes.
    pub message: usize,
    /// How many bytes of a text for people are kept; the rest is dropped.
    pub text: usize,
    /// The longest Connect target, in bytes.
    pub target: usize,
    /// The longest client key of a peer's route, in bytes.
    pub client_key: usize,
    /// The largest number of ids in one reconciliation message.
    pub ids: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            // A Go application's single write becomes one message, whatever its size. This lets
            // through what such applications do write, and bounds one message's memory.
            message: 4 * 1024 * 1024,
            // Ten times what Go reads: enough for a chain of causes in a log line.
            text: 1024,
            // A host name has 253 bytes at most; a client key may stand in front of it.
            target: 1024,
            // Five times what fits into Go's route message.
            client_key: 512,
            // All the connections of a large session: 512 KiB of ids.
            ids: 65_536,
        }
    }
}
