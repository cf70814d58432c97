//! Where the parts of the repository stand.

/// A part of the repository, with limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The protocol.
    Core,
    /// The library.
    NetTokio,
    /// The program.
    Cli,
    /// The simulation.
    Sim,
    /// The fuzz targets.
    Fuzz,
    /// This package.
    Tidy,
    /// The documents at the root, and every file without another part.
    Root,
}

/// The folder of each part. The longest one that matches decides.
const FOLDERS: &[(&str, Part)] = &[
    ("core/", Part::Core),
    ("net-tokio/", Part::NetTokio),
    ("net-tokio/src/bin/", Part::Cli),
    ("net-tokio/cli/", Part::Cli),
    ("sim/", Part::Sim),
    ("fuzz/", Part::Fuzz),
    (".ci/tidy/", Part::Tidy),
];

impl Part {
    /// Every part.
    pub const ALL: [Self; 7] =
        [Self::Core, Self::NetTokio, Self::Cli, Self::Sim, Self::Fuzz, Self::Tidy, Self::Root];

    /// The part that a file belongs to, by its path from the root.
    pub fn of(path: &str) -> Self {
        let matches = FOLDERS.iter().filter(|(folder, _)| path.starts_with(folder));
        matches.max_by_key(|(folder, _)| folder.len()).map_or(Self::Root, |(_, part)| *part)
    }

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::NetTokio => "net-tokio",
            Self::Cli => "cli",
            Self::Sim => "sim",
            Self::Fuzz => "fuzz",
            Self::Tidy => "tidy",
            Self::Root => "root",
        }
    }

    /// Whether it is what users get, rather than proof of that.
    pub const fn is_product(self) -> bool {
        matches!(self, Self::Core | Self::NetTokio | Self::Cli)
    }
}
