//! Configurations of tests.

use watertight_core::SessionConfig;

/// The default configuration, changed.
pub(crate) fn config(change: impl FnOnce(&mut SessionConfig)) -> SessionConfig {
    let mut config = SessionConfig::default();
    change(&mut config);
    config
}
