//! The subject of a schedule: the tunnel, or a tunnel with a seeded bug.

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
        named(name).map(Self::Specimen)
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

impl Played {
    /// The schedule, and what it is played on: what the command line says, or else what it was found
    /// on.
    pub(crate) fn load(&self) -> Result<(Case, Play), Box<dyn std::error::Error>> {
        let asked_for = self.specimen.as_deref().map(named).transpose()?;
        let world = self.world.or(asked_for.map(|specimen| specimen.world));
        let case = self.subject.case(world).map_err(|error| self.subject.blame(&error))?;
        let found_on = case.specimen.as_deref().filter(|_| !self.right);
        let play = Play::choose(case.world, self.specimen.as_deref().or(found_on))?;
        match play {
            Play::Specimen(Specimen { name, world, .. }) if *world != case.world => Err(format!(
                "the specimen {name} is of the {world} world, not of the {} world",
                case.world
            )
            .into()),
            _ => Ok((case, play)),
        }
    }
}

fn named(name: &str) -> Result<&'static Specimen, String> {
    specimen::all().find(|specimen| specimen.name == name).ok_or_else(|| no_such(name))
}

/// A specimen that is named on the command line.
pub(crate) fn specimen_name(name: &str) -> Result<String, String> {
    named(name).map(|specimen| specimen.name.to_string())
}

/// What is said of a specimen that is not there.
fn no_such(name: &str) -> String {
    let names: Vec<_> = specimen::all().map(|specimen| specimen.name).collect();
    format!("there is no specimen {name}; there are: {}", names.join(", "))
}
