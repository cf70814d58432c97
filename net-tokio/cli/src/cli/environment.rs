//! The environment's part in the command line, where clap does not see to it: empty variables,
//! blank items of lists, and errors that name the variable.

use std::env;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory, Error, FromArgMatches, Parser};

use super::Cli;
use super::unknown::complaint;

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
        // Help names the variables of all options, those that are set and empty included.
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

/// Takes an empty variable as one that is not set, and leaves blank items out of lists: what a
/// service manager or a composition of containers fills in may be blank, and a text of several
/// lines ends with the last one's end.
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

/// The error of the command line by itself if it has one. Otherwise the environment is to blame,
/// and `error` says so.
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
