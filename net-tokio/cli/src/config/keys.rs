//! Which keys a configuration file may have: the names of the options.

use clap::CommandFactory;
use toml::Spanned;
use toml::de::{DeString, DeTable};

use crate::cli::Cli;

/// The commands that have a table.
const TABLES: [&str; 2] = ["server", "agent"];

/// How alike two names are if one may be a slip for the other.
const ALIKE: f64 = 0.75;

/// Refuses the first key that is no option.
pub(super) fn check(content: &str) -> Result<(), String> {
    let file = DeTable::parse(content).map_err(|error| super::explain(content, &error))?;
    let command = Cli::command();
    let common = names(&command, true).filter(|name| name != "config");
    let known: Vec<String> = common.chain(TABLES.map(String::from)).collect();
    let hint_at_top = |name: &str| misplaced(&command, name).unwrap_or_else(|| hint(name, &known));
    check_table(content, "at the top", file.get_ref(), &known, hint_at_top)?;
    for table in TABLES {
        let inner = file.get_ref().get(table).and_then(|value| value.get_ref().as_table());
        let options = command.find_subcommand(table);
        if let (Some(inner), Some(options)) = (inner, options) {
            let known: Vec<String> = names(options, false).collect();
            let place = format!("in [{table}]");
            check_table(content, &place, inner, &known, |name| hint(name, &known))?;
        }
    }
    Ok(())
}

/// The long names of a command's options.
fn names(command: &clap::Command, global: bool) -> impl Iterator<Item = String> {
    let options = command.get_arguments().filter(move |option| option.is_global_set() == global);
    options.filter_map(|option| option.get_long().map(String::from))
}

fn check_table(
    content: &str,
    place: &str,
    table: &DeTable<'_>,
    known: &[String],
    hint: impl Fn(&str) -> String,
) -> Result<(), String> {
    let is_known = |key: &Spanned<DeString<'_>>| known.iter().any(|name| name == key.get_ref());
    match table.keys().find(|key| !is_known(key)) {
        None => Ok(()),
        Some(key) => {
            let line = line_of(content, key.span().start);
            let name = key.get_ref();
            let hint = hint(name);
            Err(format!("line {line}: unknown key {name:?} {place}; {hint}"))
        }
    }
}

/// Where an option of a command belongs that stands at the top.
fn misplaced(command: &clap::Command, name: &str) -> Option<String> {
    let has = |table: &&str| {
        let options = command.find_subcommand(table);
        options.is_some_and(|options| names(options, false).any(|option| option == name))
    };
    let tables: Vec<String> =
        TABLES.into_iter().filter(has).map(|table| format!("[{table}]")).collect();
    (!tables.is_empty()).then(|| format!("it belongs under {}", tables.join(" or ")))
}

pub(super) fn line_of(content: &str, offset: usize) -> usize {
    content.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The key that a line gives a value to.
pub(super) fn key_of(content: &str, line: usize) -> Option<&str> {
    let (key, _) = content.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let is_key = |key: &&str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Some(key.trim()).filter(is_key)
}

fn hint(unknown: &str, known: &[String]) -> String {
    let likeness = |name: &&String| strsim::jaro_winkler(unknown, name);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|name| likeness(name) >= ALIKE) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("the known keys are {}", known.join(", ")),
    }
}
