//! A session fed arbitrary bytes, messages and timeouts while its application acts: every invariant,
//! bounded memory, bounded output for a bounded input.
//!
//! A [`Scenario`] is a configuration and [`Step`]s: messages of the remote, progress of the transport, calls
//! of the application, and passing time. A fuzzer draws it from bytes, the property tests from weighted
//! strategies; [`play`] is the body of both.

mod application;
mod bounds;
mod case;
mod draw;
mod host;
mod limits;
mod message;
mod monitor;
mod remote;
mod scenario;
mod traffic;
mod transport;

use arbitrary::{Arbitrary, Unstructured};

pub use case::{End, play};
pub use draw::Text;
pub use limits::Size;
pub use message::{List, RemoteMessage, Whom};
pub use scenario::{Command, Pace, Scenario, Step};

/// Plays what the bytes describe.
pub fn run(input: &[u8]) {
    if let Ok(scenario) = Scenario::arbitrary(&mut Unstructured::new(input)) {
        play(&scenario);
    }
}

/// The scenario of the bytes.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    format!("{:?}", Scenario::arbitrary(&mut Unstructured::new(input)))
}
