//! Environment variables as options, where clap does not cover them.
//!
//! Empty variables, blank items of lists, errors that name the variable, and unknown variables with the
//! prefix of the program: slips, which would otherwise be ignored, and the server run without them.

use std::env;
use std::ffi::OsStr;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory, Error, FromArgMatches, Parser};

use super::Cli;

/// Reads the command line and the environment. Ends the program if they are wrong, or if help is
/// asked for.
pub(crate) fn parse() -> Cli {
    let command = each_option(Cli::command(), &tidy);
    let parsed = command.try_get_matches().and_then(|matches| {
        refuse_unknown(&matches)?;
        Cli::from_arg_matches(&matches)
    });
    parsed.unwrap_or_else(|error| {
        if error.use_stderr() {
            blame(error).exit();
        }
        // Help names the variables of all options, also of set but empty ones.
        Cli::parse()
    })
}

/// Refuses variables that would be ignored, for the commands that take some.
fn refuse_unknown(matches: &ArgMatches) -> Result<(), Error> {
    let subcommand = matches.subcommand_name().filter(|name| *name != "completions");
    let variables: Vec<_> = env::vars_os().collect();
    let variables = variables.iter().map(|(name, value)| (&**name, &**value));
    match subcommand.and_then(|name| complaint(&Cli::command(), name, variables)) {
        Some(text) => Err(Cli::command().error(ErrorKind::UnknownArgument, text)),
        None => Ok(()),
    }
}

/// Changes the options of a command and of those below it.
fn each_option(command: Command, change: &impl Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|below| each_option(below, change))
}

/// Takes an empty variable as one that is not set, and leaves blank items out of lists: a
/// service manager or a composition of containers may fill in blanks, and a text of several lines ends
/// with the last one's end.
fn tidy(option: Arg) -> Arg {
    let Some(value) = option.get_env().and_then(env::var_os) else { return option };
    if value.is_empty() {
        return without_variable(option);
    }
    // Clap complains of what is not UTF-8.
    let (Some(delimiter), Some(list)) = (option.get_value_delimiter(), value.to_str()) else {
        return option;
    };
    let items = list.split(delimiter).map(str::trim).filter(|item| !item.is_empty());
    let items: Vec<String> = items.map(String::from).collect();
    without_variable(option).default_values(items)
}

fn without_variable(option: Arg) -> Arg {
    option.env(None)
}

/// The error of the command line by itself if it has one. Otherwise the value comes from the
/// environment, and `error` names the variable.
fn blame(mut error: Error) -> Error {
    match each_option(Cli::command(), &without_variable).try_get_matches() {
        Err(own) => own,
        // It names the variable itself.
        Ok(_) if error.kind() == ErrorKind::UnknownArgument => error,
        Ok(matches) => {
            let source = match variable(&matches, &error) {
                Some(name) => format!("the value comes from the environment variable {name}"),
                None => "the value comes from an environment variable WATERTIGHT_...".to_string(),
            };
            let tip = ContextValue::StyledStrs(vec![StyledStr::from(source)]);
            error.insert(ContextKind::Suggested, tip);
            error
        }
    }
}

/// The variable of the option that the error is about.
fn variable(matches: &ArgMatches, error: &Error) -> Option<String> {
    let Some(ContextValue::String(about)) = error.get(ContextKind::InvalidArg) else { return None };
    let mut command = Cli::command();
    // Options of every command are then among those of each one.
    command.build();
    let command = command.find_subcommand(matches.subcommand_name()?)?;
    let option = command.get_arguments().find(|option| option.to_string() == *about)?;
    Some(option.get_env()?.to_string_lossy().into_owned())
}

const PREFIX: &str = "WATERTIGHT_";

/// How alike two names are if one may be a slip for the other.
const ALIKE: f64 = 0.85;

/// The error about the first variable that is no option of any command. `subcommand` is the command
/// that is to run.
fn complaint<'a>(
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
