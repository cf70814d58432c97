//! What the program says on standard output: the addresses it listens on, that it is ready, and
//! the ledger.
//!
//! Scripts rely on it, so it does not depend on the log's filter. With `--log-format json` each
//! line is an object.

use serde_json::{Value, json};

use crate::books::Books;
use crate::cli::LogFormat;
use crate::stdio;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    format: LogFormat,
}

impl Output {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self { format }
    }

    /// An address that is listened on, and for what.
    pub(crate) fn listening(self, purpose: &str, address: &str) {
        self.line(
            || format!("{purpose} listening on {address}"),
            || json!({ "listening": purpose, "address": address }),
        );
    }

    /// A server listens everywhere; an agent has its first session.
    pub(crate) fn ready(self) {
        self.line(|| "ready".to_string(), || json!({ "ready": true }));
    }

    /// The last line.
    pub(crate) fn books(self, books: &Books) {
        self.line(|| books.to_string(), || books.to_json());
    }

    fn line(self, text: impl FnOnce() -> String, object: impl FnOnce() -> Value) {
        let line = match self.format {
            LogFormat::Text => text(),
            LogFormat::Json => object().to_string(),
        };
        stdio::output(&line);
    }
}
