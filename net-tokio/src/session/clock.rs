use std::time::Duration;

use tokio::time::Instant;

use crate::sync::now;

/// Translates between tokio's clock and the core's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: now() }
    }

    pub(crate) fn now(&self) -> watertight_core::Instant {
        watertight_core::Instant::from_epoch(now() - self.epoch)
    }

    pub(crate) fn to_tokio(self, at: watertight_core::Instant) -> Instant {
        // The core saturates at the end of its time, which tokio's cannot express.
        self.epoch
            .checked_add(at.since_epoch())
            .unwrap_or_else(|| self.epoch + Duration::from_secs(60 * 60 * 24 * 365))
    }
}
