//! The subject of a schedule: the tunnel, or a tunnel with a seeded bug.

use clap::Args;
use watertight_sim::seeded_bug::{self, SeededBug};
use watertight_sim::{Case, Outcome, Schedule, Trace, World};

use crate::subject::Subject;

/// The subject of a schedule.
#[derive(Clone, Copy)]
pub(crate) enum Play {
    /// The tunnel.
    Product(World),
    /// A tunnel with a seeded bug.
    SeededBug(&'static SeededBug),
}

/// The schedule that a command plays, and its subject.
#[derive(Debug, Args)]
pub(crate) struct Played {
    /// A file with a schedule, or a seed
    #[arg(value_name = "FILE|SEED")]
    pub(crate) subject: Subject,
    /// The world of a seed's schedule; a file has its own, unless this is given
    #[arg(long)]
    pub(crate) world: Option<World>,
    /// Plays it on a tunnel with this seeded bug; a file that was found on one has its name
    #[arg(long, value_name = "NAME", conflicts_with = "right", value_parser = seeded_bug_name)]
    pub(crate) seeded_bug: Option<String>,
    /// Plays it on the right tunnel, even if it was found on a seeded bug
    #[arg(long)]
    pub(crate) right: bool,
}

impl Play {
    pub(crate) fn choose(world: World, seeded_bug: Option<&str>) -> Result<Self, String> {
        let Some(name) = seeded_bug else { return Ok(Self::Product(world)) };
        named(name).map(Self::SeededBug)
    }

    pub(crate) const fn world(self) -> World {
        match self {
            Self::Product(world) => world,
            Self::SeededBug(seeded_bug) => seeded_bug.world,
        }
    }

    pub(crate) fn run(self, schedule: &Schedule, trace: &Trace) -> Outcome {
        match self {
            Self::Product(world) => world.run(schedule, trace),
            Self::SeededBug(seeded_bug) => seeded_bug.run(schedule, trace),
        }
    }

    /// The name of the seeded bug, if it is one.
    pub(crate) const fn seeded_bug(self) -> Option<&'static str> {
        match self {
            Self::Product(_) => None,
            Self::SeededBug(seeded_bug) => Some(seeded_bug.name),
        }
    }
}

impl Played {
    /// The schedule and its subject: the one of the command line, or else the one that it was found on.
    pub(crate) fn load(&self) -> Result<(Case, Play), Box<dyn std::error::Error>> {
        let asked_for = self.seeded_bug.as_deref().map(named).transpose()?;
        let world = self.world.or(asked_for.map(|seeded_bug| seeded_bug.world));
        let case = self.subject.case(world).map_err(|error| self.subject.blame(&error))?;
        let found_on = case.seeded_bug.as_deref().filter(|_| !self.right);
        let play = Play::choose(case.world, self.seeded_bug.as_deref().or(found_on))?;
        match play {
            Play::SeededBug(SeededBug { name, world, .. }) if *world != case.world => Err(format!(
                "the seeded bug {name} is of the {world} world, not of the {} world",
                case.world
            )
            .into()),
            _ => Ok((case, play)),
        }
    }
}

fn named(name: &str) -> Result<&'static SeededBug, String> {
    seeded_bug::all().find(|seeded_bug| seeded_bug.name == name).ok_or_else(|| no_such(name))
}

/// A seeded bug that is named on the command line.
pub(crate) fn seeded_bug_name(name: &str) -> Result<String, String> {
    named(name).map(|seeded_bug| seeded_bug.name.to_string())
}

/// The error for a seeded bug that does not exist.
fn no_such(name: &str) -> String {
    let names: Vec<_> = seeded_bug::all().map(|seeded_bug| seeded_bug.name).collect();
    format!("there is no seeded bug {name}; there are: {}", names.join(", "))
}
