use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::ending::Said;
use crate::pair::Case;

/// What is known at the end of a scenario.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) case: Case,
    pub(crate) server: Said,
    pub(crate) agent: Said,
}

/// Prints a line, and adds it to the table of this run, which CI shows and counts.
pub(crate) fn report(line: &Line) {
    println!("{line}");
    let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop.txt");
    let mut table = OpenOptions::new().append(true).create(true).open(table).unwrap();
    // One write: other tests write, too.
    table.write_all(format!("{line}\n").as_bytes()).unwrap();
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{}::{}", self.case.kind.name(), self.case.scenario);
        write!(f, "{name:52} server: {}; agent: {}", self.server, self.agent)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours { added, removed } => {
                write!(f, "ours, added {added} removed {removed}, even")
            }
            Self::Go { before, after, row } => {
                let (added, removed) = (after.added, after.removed);
                let (then, now) = (before.goroutines, after.goroutines);
                write!(f, "Go, added {added} removed {removed}, goroutines {then} to {now}")?;
                match row {
                    Some(row) => write!(f, ", leaks: {row}"),
                    None => Ok(()),
                }
            }
        }
    }
}
