use watertight_sim::specimen::{self, Specimen};
use watertight_sim::{Case, Outcome, Schedule, Trace, World};

use crate::cli::Played;

/// What a schedule is played on.
#[derive(Clone, Copy)]
pub(crate) enum Play {
    /// The tunnel.
    Product(World),
    /// One that is broken on purpose.
    Specimen(&'static Specimen),
}

impl Play {
    pub(crate) fn choose(world: World, specimen: Option<&str>) -> Result<Self, String> {
        let Some(name) = specimen else { return Ok(Self::Product(world)) };
        let found = specimen::all().find(|specimen| specimen.name == name);
        found.map(Self::Specimen).ok_or_else(|| no_such(name))
    }

    /// What a case is played on: what the command line says, or else what it was found on.
    pub(crate) fn of_case(case: &Case, played: &Played) -> Result<Self, String> {
        let found_on = case.specimen.as_deref().filter(|_| !played.right);
        Self::choose(case.world, played.specimen.as_deref().or(found_on))
    }

    pub(crate) const fn world(self) -> World {
        match self {
            Self::Product(world) => world,
            Self::Specimen(specimen) => specimen.world,
        }
    }

    pub(crate) fn run(self, schedule: &Schedule, trace: &Trace) -> Outcome {
        match self {
            Self::Product(world) => world.run(schedule, trace),
            Self::Specimen(specimen) => specimen.run(schedule, trace),
        }
    }

    /// The name of the specimen, if it is one.
    pub(crate) const fn specimen(self) -> Option<&'static str> {
        match self {
            Self::Product(_) => None,
            Self::Specimen(specimen) => Some(specimen.name),
        }
    }
}

/// What is said of a specimen that is not there.
pub(crate) fn no_such(name: &str) -> String {
    let names: Vec<_> = specimen::all().map(|specimen| specimen.name).collect();
    format!("there is no specimen {name}; there are: {}", names.join(", "))
}
