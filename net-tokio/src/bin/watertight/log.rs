//! The log, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::{LogFormat, LogOptions};
use crate::failure::Failure;

const LEVELS: &str = "error, warn, info, debug, trace and off";

/// Starts the log. `default` is the filter where the operator gives none.
pub(crate) fn init(options: &LogOptions, default: &str) -> Result<(), Failure> {
    let filter = options.log.as_deref().unwrap_or(default);
    let filter = parse(filter).map_err(|error| {
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

fn parse(filter: &str) -> Result<EnvFilter, String> {
    // A word that is no level would be the name of a module, and a slip the end of the log.
    let mut words = filter.split(',').map(str::trim);
    match words.find(|word| is_word(word) && word.parse::<LevelFilter>().is_err()) {
        Some(word) => Err(format!("{word:?} is not one of {LEVELS}")),
        None => EnvFilter::try_new(filter).map_err(|error| error.to_string()),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_levels_by_module() {
        for filter in
            ["", "info", "WARN", "off", "3", "info,watertight::session=debug", "hyper=off"]
        {
            parse(filter).unwrap();
        }
        for filter in ["inf", "warning", "info,verbose", "6", "watertight=inf"] {
            parse(filter).unwrap_err();
        }
    }
}
