//! The ledger of a process, parsed from its output.

use serde_json::Value;

/// The ledger of a server or an agent, as the program prints it.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Value);

impl Ledger {
    pub(crate) fn new(ledger: Value) -> Self {
        Self(ledger)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.0["even"] == true
    }

    pub(crate) fn added(&self) -> u64 {
        self.figure("/connections/added")
    }

    pub(crate) fn removed(&self) -> u64 {
        self.figure("/connections/removed")
    }

    pub(crate) fn live(&self) -> u64 {
        self.figure("/connections/live")
    }

    pub(crate) fn tasks(&self) -> u64 {
        self.figure("/tasks")
    }

    pub(crate) fn sessions_added(&self) -> u64 {
        self.figure("/sessions/added")
    }

    pub(crate) fn sessions_removed(&self) -> u64 {
        self.figure("/sessions/removed")
    }

    /// Bytes held for connections, in both directions.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.figure("/connections/bytes_to_send") + self.figure("/connections/bytes_received")
    }

    /// Whether nothing is pending: no dial and no byte, and the live connections are the added ones
    /// without the removed ones.
    pub(crate) fn is_quiet(&self) -> bool {
        let pending = ["outbound_dials", "inbound_dials", "queued_control"];
        self.added() - self.removed() == self.live()
            && self.bytes_held() == 0
            && pending.iter().all(|what| self.figure(&format!("/connections/{what}")) == 0)
    }

    fn figure(&self, pointer: &str) -> u64 {
        let figure = self.0.pointer(pointer).and_then(Value::as_u64);
        figure.unwrap_or_else(|| panic!("no {pointer} in {}", self.0))
    }
}
