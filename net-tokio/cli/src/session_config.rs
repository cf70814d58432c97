use std::num::NonZeroUsize;

use watertight::core::SessionConfig;

use crate::silence::Silence;

/// The default for sessions, but for what the operator says.
pub(crate) fn session_config(
    max_connections: Option<NonZeroUsize>,
    silence: Option<Silence>,
) -> SessionConfig {
    let mut config = SessionConfig::default();
    if let Some(max) = max_connections {
        config.limits.max_connections = max.get();
    }
    if let Some(silence) = silence {
        silence.set(&mut config.timing);
    }
    config
}
