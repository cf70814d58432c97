//! The `seeded_bugs` command: every seeded bug, and the schedule that finds it.

use std::path::Path;
use std::time::Instant;
use std::{fmt, fs};

use serde::{Deserialize, Serialize};
use watertight_sim::Invariant;
use watertight_sim::seeded_bug::{self, Hunt, SeededBug};

use crate::cli::SeededBugsArgs;
use crate::exit::{CommandResult, Exit, print_line};

/// How a seeded bug was caught: a row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caught {
    pub(crate) name: String,
    pub(crate) row: String,
    pub(crate) what: String,
    pub(crate) world: String,
    /// The invariants that may catch it.
    pub(crate) expected: Vec<Invariant>,
    /// How many schedules it took; nothing if it was not caught.
    pub(crate) schedules: Option<u64>,
    /// Which one caught it.
    pub(crate) invariant: Option<Invariant>,
    /// The violation that it showed, or that it showed instead.
    pub(crate) violation: Option<String>,
    /// The violation that the same schedule shows on the right tunnel, where it should show none.
    pub(crate) on_right: Option<String>,
    pub(crate) milliseconds: u128,
}

/// Hunts each seeded bug, and prints the table.
pub(crate) fn seeded_bugs(arguments: &SeededBugsArgs) -> CommandResult {
    let all: Vec<_> = seeded_bug::all()
        .filter(|seeded_bug| arguments.only.as_ref().is_none_or(|name| seeded_bug.name == name))
        .collect();
    print_line!("{:<4} {:<28} {:<8} {:>9}  caught by", "row", "seeded bug", "world", "schedules");
    let table: Vec<_> = all.into_iter().map(|one| hunt(one, arguments)).collect();
    if let Some(path) = &arguments.out {
        fs::write(path, serde_json::to_string_pretty(&table)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let caught = table.iter().filter(|one| one.is_proof()).count();
    print_line!("{caught} of {} seeded bugs caught", table.len());
    Ok(if caught == table.len() { Exit::Fine } else { Exit::Missed })
}

fn hunt(seeded_bug: &SeededBug, arguments: &SeededBugsArgs) -> Caught {
    let began = Instant::now();
    let hunt = seeded_bug.hunt(arguments.seed.0, arguments.schedules);
    let mut caught = Caught {
        name: seeded_bug.name.into(),
        row: seeded_bug.row.into(),
        what: seeded_bug.what.into(),
        world: seeded_bug.world.to_string(),
        expected: seeded_bug.expected.to_vec(),
        schedules: None,
        invariant: None,
        violation: None,
        on_right: None,
        milliseconds: began.elapsed().as_millis(),
    };
    match hunt {
        Hunt::Caught(catch) => {
            caught.schedules = Some(catch.schedules);
            caught.invariant = Some(catch.violation.invariant);
            caught.violation = Some(catch.violation.to_string());
            caught.on_right = catch.on_right.map(|violation| violation.to_string());
        }
        Hunt::Missed { instead } => {
            caught.violation = instead.map(|violation| violation.to_string());
        }
    }
    print_line!("{caught}");
    caught
}

impl Caught {
    /// Whether it was caught by a schedule that shows nothing on the right tunnel.
    pub(crate) const fn is_proof(&self) -> bool {
        self.schedules.is_some() && self.on_right.is_none()
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, row, world, .. } = self;
        let schedules = self.schedules.map_or_else(|| "-".into(), |number| number.to_string());
        write!(f, "{row:<4} {name:<28} {world:<8} {schedules:>9}  ")?;
        match (self.schedules, &self.violation, &self.on_right) {
            (_, Some(_), Some(right)) => {
                write!(f, "PROVES NOTHING, the right tunnel fails: {right}")
            }
            (Some(_), Some(violation), _) => f.write_str(violation),
            (None, Some(instead), _) => {
                let expected: Vec<_> = self.expected.iter().map(|one| one.name()).collect();
                write!(f, "NOT CAUGHT by {}, but {instead}", expected.join(" or "))
            }
            (_, None, _) => f.write_str("NOT CAUGHT"),
        }
    }
}

/// Reads a table that was written before.
pub(crate) fn read_table(path: &Path) -> Result<Vec<Caught>, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = serde_json::from_str(&text);
    Ok(table.map_err(|error| format!("{}: no table of seeded bugs: {error}", path.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(schedules: Option<u64>, violation: Option<&str>, on_right: Option<&str>) -> Caught {
        Caught {
            name: "stuck".into(),
            row: "T0".into(),
            what: "it hangs".into(),
            world: "core".into(),
            expected: vec![Invariant::Progress],
            schedules,
            invariant: schedules.map(|_| Invariant::Progress),
            violation: violation.map(str::to_string),
            on_right: on_right.map(str::to_string),
            milliseconds: 0,
        }
    }

    #[test]
    fn only_what_the_right_tunnel_does_not_show_is_a_proof() {
        let caught = row(Some(3), Some("progress: s0 hangs"), None);
        assert!(caught.is_proof() && caught.to_string().ends_with(" 3  progress: s0 hangs"));
        let everywhere = row(Some(3), Some("progress: s0 hangs"), Some("progress: s0 hangs"));
        assert!(!everywhere.is_proof() && everywhere.to_string().contains("PROVES NOTHING"));
        let otherwise = row(None, Some("closed_once: twice"), None);
        let text = otherwise.to_string();
        assert!(!otherwise.is_proof(), "{text}");
        assert!(text.ends_with("NOT CAUGHT by progress, but closed_once: twice"), "{text}");
        assert!(!row(None, None, None).is_proof());
    }
}
