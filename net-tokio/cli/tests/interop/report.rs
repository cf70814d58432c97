//! The table of results that CI prints and counts.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::ending::Said;
use crate::pair::Case;

/// Prints what the ends of a scenario say, and adds it to the table of this run, which CI shows and
/// counts.
pub(crate) fn report(case: Case, ends: &[(&str, Said)]) {
    let name = format!("{}::{}", case.kind.name(), case.scenario);
    let ends: Vec<_> = ends.iter().map(|(role, said)| format!("{role}: {said}")).collect();
    let line = format!("{name:54} {}\n", ends.join("; "));
    print!("{line}");
    let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop.txt");
    let mut table = OpenOptions::new().append(true).create(true).open(table).unwrap();
    // One write: other tests write, too.
    table.write_all(line.as_bytes()).unwrap();
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours { added, removed, growth } => {
                let mib = growth.div_ceil(1 << 20);
                write!(f, "ours, added {added} removed {removed}, even, {mib} MiB kept")
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
