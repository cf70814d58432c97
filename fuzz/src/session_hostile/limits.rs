//! Limits that a short input meets.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use watertight_core::SessionConfig;

use super::draw::byte;

/// How much a session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few connections and a few kilobytes: every limit is met by a few steps.
    Small,
    /// As little as possible.
    Least,
    /// The default limits.
    Usual,
}

impl Size {
    pub(super) fn config(self) -> SessionConfig {
        let mut config = SessionConfig::default();
        match self {
            Self::Small => small(&mut config),
            Self::Least => least(&mut config),
            Self::Usual => {}
        }
        config.within_bounds()
    }
}

/// The small ones are by far the most interesting.
impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match byte(u)? % 8 {
            6 => Self::Least,
            7 => Self::Usual,
            _ => Self::Small,
        })
    }
}

fn small(config: &mut SessionConfig) {
    let limits = &mut config.limits;
    limits.max_message = 10_000;
    limits.max_data = 1024;
    limits.max_target = 300;
    limits.max_text = 200;
    limits.max_client_key = 150;
    limits.max_connections = 6;
    limits.max_dials = 4;
    limits.max_queued_control = 30;
    limits.initial_window = 2048;
    limits.max_window = 8192;
    // Every growth is a trial.
    limits.free_window = 2048;
    limits.window_budget = 10_000;
    limits.send_buffer = 5000;
    limits.send_budget = 9000;
    limits.base.pause_above = 2000;
    limits.base.resume_below = 500;
    limits.base.unread_cap = 5000;
    limits.base.unread_budget = 12_000;
}

fn least(config: &mut SessionConfig) {
    let limits = &mut config.limits;
    limits.max_message = 0;
    limits.max_data = 0;
    limits.max_target = 20;
    limits.max_text = 0;
    limits.max_client_key = 1;
    limits.max_connections = 2;
    limits.max_dials = 1;
    limits.max_queued_control = 2;
    limits.initial_window = 0;
    limits.max_window = 0;
    limits.window_budget = 0;
    limits.send_buffer = 0;
    limits.send_budget = 0;
    limits.base.pause_above = 0;
    limits.base.resume_below = 0;
    limits.base.unread_cap = 1;
    limits.base.unread_budget = 1;
    let timing = &mut config.timing;
    timing.silence = Duration::from_secs(9);
    timing.stall = Duration::from_secs(3);
    timing.linger = Duration::from_millis(1);
    timing.reconcile = Duration::from_secs(1);
}
