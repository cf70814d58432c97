//! Environment variables with our prefix that are no option's: slips, which would otherwise be
//! ignored in silence, and the server run without what they were to switch on.

use std::ffi::OsStr;

use clap::Command;

const PREFIX: &str = "WATERTIGHT_";

/// How alike two names are if one may be a slip for the other.
const ALIKE: f64 = 0.85;

/// What is wrong with the first variable that is no option of any command. `subcommand` is the one
/// that is to run.
pub(super) fn complaint<'a>(
    command: &Command,
    subcommand: &str,
    variables: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
) -> Option<String> {
    let known = names(command);
    let mut unknown: Vec<String> = variables
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy()))
        .filter(|(name, _)| name.starts_with(PREFIX) && !known.contains(&name.to_string()))
        .filter(|(name, value)| !is_service_link(name, value))
        .map(|(name, _)| name.into_owned())
        .collect();
    // The environment has no order.
    unknown.sort_unstable();
    let name = unknown.first()?;
    Some(format!("unknown environment variable {name}; {}", hint(name, subcommand, &known)))
}

/// The variables of all options of all commands.
fn names(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|option| option.get_env());
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(names)).collect()
}

/// Whether Kubernetes sets such a variable for a service named `watertight` or `watertight-…`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") {
        return true;
    }
    if name.ends_with("_PORT") && is_url {
        return true;
    }
    let Some((_, rest)) = name.split_once("_PORT_") else { return false };
    let mut words = rest.split('_');
    let is_port = words.next().is_some_and(|port| port.parse::<u16>().is_ok());
    is_port && words.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
}

fn hint(unknown: &str, subcommand: &str, known: &[String]) -> String {
    let candidates = candidates(unknown, known);
    if candidates.is_empty() {
        return format!("watertight {subcommand} --help has the names");
    }
    format!("did you mean {}?", candidates.join(" or "))
}

/// The options of that name under another command or none; otherwise the most similar name.
fn candidates<'a>(unknown: &str, known: &'a [String]) -> Vec<&'a str> {
    let option = option_of(unknown);
    let namesakes: Vec<&str> =
        known.iter().map(String::as_str).filter(|name| option_of(name) == option).collect();
    if !namesakes.is_empty() {
        return namesakes;
    }
    let plain = |name: &str| name.replace(['_', '-'], "");
    let likeness = |name: &str| strsim::jaro(&plain(option), &plain(option_of(name)));
    let alike = known.iter().map(String::as_str).filter(|name| likeness(name) >= ALIKE);
    let of_command = |name: &str| command_of(name) == command_of(unknown);
    alike
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)).then(of_command(a).cmp(&of_command(b))))
        .into_iter()
        .collect()
}

/// The name without the prefix and the command.
fn option_of(name: &str) -> &str {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    rest.strip_prefix(command_of(name)).unwrap_or(rest)
}

fn command_of(name: &str) -> &str {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    ["SERVER_", "AGENT_"].into_iter().find(|command| rest.starts_with(command)).unwrap_or("")
}
