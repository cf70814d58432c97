//! A child process of the `meta` command prints the traces of many seeds; its output is digested here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use watertight_sim::World;

use crate::cli::MetaArgs;

/// The text in front of the number of the seed whose trace follows.
pub(crate) const HEADING: &str = "== seed ";

/// A process that prints the traces of seeds, in either order.
#[derive(Clone, Copy)]
pub(super) struct TraceProcess<'a> {
    pub(super) arguments: &'a MetaArgs,
    pub(super) world: World,
    /// From the last seed to the first one, and each once more without a trace.
    pub(super) backwards: bool,
}

/// The traces that a process has printed.
#[derive(Default)]
pub(super) struct Traced {
    pub(super) digests: BTreeMap<u64, Digest>,
    /// It came to its end.
    pub(super) complete: bool,
}

/// A digest of a trace.
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

impl TraceProcess<'_> {
    /// Runs the process, and digests the traces of all seeds.
    pub(super) fn traces(self) -> io::Result<Traced> {
        let mut digests = BTreeMap::<u64, Digest>::new();
        let complete = self.listen(|seed, line| digests.entry(seed).or_default().add(line))?;
        Ok(Traced { digests, complete })
    }

    /// The lines of the trace of a seed, printed after the same ones as before.
    pub(super) fn trace_of(self, of: u64) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.listen(|seed, line| {
            if seed == of {
                lines.push(String::from_utf8_lossy(line).trim_end().to_string());
            }
        })?;
        Ok(lines)
    }

    /// Calls `on_line` with every line and the seed of its trace. Returns whether the process ended well.
    fn listen(self, mut on_line: impl FnMut(u64, &[u8])) -> io::Result<bool> {
        let mut process = self.start()?;
        let out = process.stdout.take();
        let read = out.map_or(Ok(()), |out| each_line(out, &mut on_line));
        // Its output is closed by now: a process that still prints has no reader.
        let ended = process.wait()?;
        read.map(|()| ended.success())
    }

    fn start(self) -> io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(["traces", "--world", self.world.name()])
            .args(["--schedules", &self.arguments.schedules.to_string()])
            .args(["--seed", &self.arguments.seed.0.to_string()])
            .args(self.backwards.then_some("--backwards"))
            .args(self.backwards.then_some("--untraced"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
    }
}

fn each_line(out: ChildStdout, on_line: &mut impl FnMut(u64, &[u8])) -> io::Result<()> {
    let (mut out, mut line, mut seed) = (BufReader::new(out), Vec::new(), 0);
    while out.read_until(b'\n', &mut line)? > 0 {
        seed = seed_of(&line).unwrap_or(seed);
        on_line(seed, &line);
        line.clear();
    }
    Ok(())
}

fn seed_of(line: &[u8]) -> Option<u64> {
    let text = str::from_utf8(line).ok()?;
    text.strip_prefix(HEADING)?.trim_end().parse().ok()
}
