use watertight_sim::specimen::{self, Specimen};
use watertight_sim::{Outcome, Schedule, Trace, World};

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

    /// What has to be said on the command line for it.
    pub(crate) fn flag(self) -> String {
        match self {
            Self::Product(_) => String::new(),
            Self::Specimen(specimen) => format!(" --specimen {}", specimen.name),
        }
    }
}

/// What is said of a specimen that is not there.
pub(crate) fn no_such(name: &str) -> String {
    let names: Vec<_> = specimen::all().map(|specimen| specimen.name).collect();
    format!("there is no specimen {name}; there are: {}", names.join(", "))
}
