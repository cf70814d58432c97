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
    let file = DeTable::parse(content).map_err(|error| error.to_string())?;
    let command = Cli::command();
    let common = names(&command, true).filter(|name| name != "config");
    let known: Vec<String> = common.chain(TABLES.map(String::from)).collect();
    check_table(content, "at the top", file.get_ref(), &known)?;
    for table in TABLES {
        let inner = file.get_ref().get(table).and_then(|value| value.get_ref().as_table());
        let options = command.find_subcommand(table);
        if let (Some(inner), Some(options)) = (inner, options) {
            let known: Vec<String> = names(options, false).collect();
            check_table(content, &format!("in [{table}]"), inner, &known)?;
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
) -> Result<(), String> {
    let is_known = |key: &Spanned<DeString<'_>>| known.iter().any(|name| name == key.get_ref());
    match table.keys().find(|key| !is_known(key)) {
        None => Ok(()),
        Some(key) => {
            let line = line_of(content, key.span().start);
            let name = key.get_ref();
            let hint = hint(name, known);
            Err(format!("line {line}: unknown key {name:?} {place}; {hint}"))
        }
    }
}

fn line_of(content: &str, offset: usize) -> usize {
    content.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn hint(unknown: &str, known: &[String]) -> String {
    let likeness = |name: &&String| strsim::jaro_winkler(unknown, name);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|name| likeness(name) >= ALIKE) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("the known keys are {}", known.join(", ")),
    }
}
