//! A child process of the `meta` command prints the traces of many seeds; its output is digested here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use watertight_sim::World;

use crate::cli::MetaArgs;

/// What stands in front of the number of the seed whose story follows.
pub(crate) const HEADING: &str = "== seed ";

/// Which seeds a process tells of, and in which order.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) arguments: &'a MetaArgs,
    pub(super) world: World,
    /// It tells of them from the last one to the first one, and runs each once more without a trace.
    pub(super) backwards: bool,
}

/// What a process has told.
#[derive(Default)]
pub(super) struct Stories {
    pub(super) digests: BTreeMap<u64, Digest>,
    /// It came to its end.
    pub(super) complete: bool,
}

/// As much of a story as shows whether it is another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) bytes: u64,
    hash: u64,
}

impl Digest {
    /// Adds a line.
    pub(super) fn add(&mut self, line: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.hash);
        hasher.write(line);
        *self = Self { bytes: self.bytes + line.len() as u64, hash: hasher.finish() };
    }
}

impl Teller<'_> {
    /// Has the stories of all seeds told.
    pub(super) fn stories(self) -> io::Result<Stories> {
        let mut digests = BTreeMap::<u64, Digest>::new();
        let complete = self.listen(|seed, line| digests.entry(seed).or_default().add(line))?;
        Ok(Stories { digests, complete })
    }

    /// The lines of the story of a seed, told after the same ones as before.
    pub(super) fn story(self, of: u64) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.listen(|seed, line| {
            if seed == of {
                lines.push(String::from_utf8_lossy(line).trim_end().to_string());
            }
        })?;
        Ok(lines)
    }

    /// Hears every line with the seed that it is about. Whether the process ended well.
    fn listen(self, mut hear: impl FnMut(u64, &[u8])) -> io::Result<bool> {
        let mut process = self.start()?;
        let out = process.stdout.take();
        let heard = out.map_or(Ok(()), |out| each_line(out, &mut hear));
        // Its output is closed by now: one that still tells has nobody to tell it to.
        let ended = process.wait()?;
        heard.map(|()| ended.success())
    }

    fn start(self) -> io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(["story", "--world", self.world.name()])
            .args(["--schedules", &self.arguments.schedules.to_string()])
            .args(["--seed", &self.arguments.seed.0.to_string()])
            .args(self.backwards.then_some("--backwards"))
            .args(self.backwards.then_some("--untraced"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    }
}

fn each_line(out: ChildStdout, hear: &mut impl FnMut(u64, &[u8])) -> io::Result<()> {
    let (mut out, mut line, mut seed) = (BufReader::new(out), Vec::new(), 0);
    while out.read_until(b'\n', &mut line)? > 0 {
        seed = seed_of(&line).unwrap_or(seed);
        hear(seed, &line);
        line.clear();
    }
    Ok(())
}

fn seed_of(line: &[u8]) -> Option<u64> {
    let text = str::from_utf8(line).ok()?;
    text.strip_prefix(HEADING)?.trim_end().parse().ok()
}
