//! The log, on standard error. It does not block: it leaves out and counts lines that are not taken in time.

use std::io::{self, IsTerminal};

use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::cli::{LogFormat, LogOptions};
use crate::failure::Failure;
use crate::stdio;

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
    let format = options.log_format.unwrap_or_default();
    stdio::start(match format {
        LogFormat::Text => missing_text,
        LogFormat::Json => missing_json,
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| stdio::Log);
    // A log that cannot be written, for example to a full disk, must not end the program.
    let builder = builder.log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(wants_colour()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(Failure::start)
}

const MISSING: &str = "log lines were left out: standard error did not take them in time";

fn missing_text(lines: u64) -> String {
    format!("{}  WARN watertight::log: {lines} {MISSING}\n", now())
}

fn missing_json(lines: u64) -> String {
    let fields = json!({ "message": format!("{lines} {MISSING}"), "left_out": lines });
    let line = json!({
        "timestamp": now(), "level": "WARN", "fields": fields, "target": "watertight::log",
    });
    format!("{line}\n")
}

/// As the lines of the log have it.
fn now() -> String {
    let mut now = String::new();
    // Writing to a text does not fail.
    SystemTime.format_time(&mut Writer::new(&mut now)).ok();
    now
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
    fn a_gap_is_a_line_as_the_others_are() {
        let text = missing_text(7);
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.starts_with("20"), "{text}");
        assert!(rest.starts_with(" WARN watertight::log: 7 log lines were left out"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&missing_json(7)).unwrap();
        assert_eq!(json["fields"]["left_out"], 7);
        assert_eq!(json["level"], "WARN");
    }

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
