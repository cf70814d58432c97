use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use watertight_sim::specimen::{self, Specimen};

use crate::cli::SpecimensArgs;
use crate::exit::{Ending, Exit};
use crate::play::no_such;

/// How a specimen was caught: a row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caught {
    pub(crate) name: String,
    pub(crate) row: String,
    pub(crate) what: String,
    pub(crate) world: String,
    /// How many schedules it took; nothing if it was not caught.
    pub(crate) schedules: Option<u64>,
    pub(crate) invariant: Option<String>,
    pub(crate) violation: Option<String>,
    pub(crate) milliseconds: u128,
}

/// Hunts each specimen, and shows the table.
pub(crate) fn specimens(arguments: &SpecimensArgs) -> Ending {
    let all: Vec<_> = specimen::all()
        .filter(|specimen| arguments.only.as_ref().is_none_or(|name| specimen.name == name))
        .collect();
    if let (Some(name), []) = (&arguments.only, all.as_slice()) {
        return Err(no_such(name).into());
    }
    println!("{:<4} {:<28} {:<8} {:>9}  caught by", "row", "specimen", "world", "schedules");
    let table: Vec<_> = all.into_iter().map(|one| hunt(one, arguments)).collect();
    if let Some(path) = &arguments.out {
        fs::write(path, serde_json::to_string_pretty(&table)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let missed = table.iter().filter(|caught| caught.schedules.is_none()).count();
    println!("{} of {} specimens caught", table.len() - missed, table.len());
    Ok(if missed == 0 { Exit::Fine } else { Exit::Missed })
}

fn hunt(specimen: &Specimen, arguments: &SpecimensArgs) -> Caught {
    let began = Instant::now();
    let catch = specimen.hunt(arguments.seed.0, arguments.schedules);
    let (schedules, violation) = catch.map(|catch| (catch.schedules, catch.violation)).unzip();
    let caught = Caught {
        name: specimen.name.into(),
        row: specimen.row.into(),
        what: specimen.what.into(),
        world: specimen.world.to_string(),
        schedules,
        invariant: violation.as_ref().map(|violation| violation.invariant.to_string()),
        violation: violation.map(|violation| violation.to_string()),
        milliseconds: began.elapsed().as_millis(),
    };
    let Caught { name, row, world, .. } = &caught;
    let schedules = caught.schedules.map_or_else(|| "-".into(), |schedules| schedules.to_string());
    let by = caught.violation.as_deref().unwrap_or("NOT CAUGHT");
    println!("{row:<4} {name:<28} {world:<8} {schedules:>9}  {by}");
    caught
}

/// Reads a table that was written before.
pub(crate) fn read_table(path: &Path) -> Result<Vec<Caught>, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table = serde_json::from_str(&text);
    Ok(table.map_err(|error| format!("{}: no table of specimens: {error}", path.display()))?)
}
