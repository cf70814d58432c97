//! The log, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, LogOptions};
use crate::failure::Failure;

/// Starts the log. `default` is the filter where the operator gives none.
pub(crate) fn init(options: &LogOptions, default: &str) -> Result<(), Failure> {
    let filter = options.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::configuration(format_args!(
            "--log {filter:?}: {error}; write a level such as info, or levels by module such as \
             info,watertight=debug"
        ))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A log that cannot be written, to a full disk say, must not end what it tells of.
    let builder = builder.log_internal_errors(false);
    let started = match options.log_format.unwrap_or_default() {
        LogFormat::Text => builder.with_ansi(wants_colour()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(Failure::start)
}

fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
