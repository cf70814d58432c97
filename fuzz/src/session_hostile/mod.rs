//! A session fed arbitrary bytes, messages and timeouts while its application acts: every invariant,
//! bounded memory, bounded output for a bounded input.
//!
//! A [`Scenario`] is a configuration and [`Step`]s: what the peer says, what the transport takes, what
//! the application wants, and how time passes. A fuzzer draws it from bytes, the property tests from
//! weighted strategies; [`play`] is the body of both.

mod application;
mod bounds;
mod case;
mod clock;
mod command;
mod draw;
mod host;
mod known;
mod limits;
mod monitor;
mod outcome;
mod peer;
mod say;
mod scenario;
mod speech;
mod step;
mod text;
mod traffic;
mod transport;
mod words;

use arbitrary::{Arbitrary, Unstructured};

pub use case::{End, play};
pub use command::Command;
pub use limits::Size;
pub use say::{List, Say, Whom};
pub use scenario::Scenario;
pub use step::{Pace, Step};
pub use text::Text;

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
