//! Whether a seed always does the same: in another process, after other seeds, and without a trace.

mod process;

use std::collections::BTreeMap;
use std::thread;

use watertight_sim::World;

use crate::cli::MetaArgs;
use crate::exit::print_line;
use crate::exit::{CommandResult, Exit};
pub(crate) use process::HEADING;
use process::{Digest, TraceProcess, Traced};

/// Runs seeds in two processes, there and back, and compares their traces byte for byte.
pub(crate) fn meta(arguments: &MetaArgs) -> CommandResult {
    let worlds = arguments.world.map_or_else(|| World::ALL.to_vec(), |world| vec![world]);
    for world in worlds {
        let exit = compare(TraceProcess { arguments, world, backwards: false })?;
        if exit != Exit::Fine {
            return Ok(exit);
        }
    }
    Ok(Exit::Fine)
}

fn compare(forwards: TraceProcess<'_>) -> CommandResult {
    let TraceProcess { world, arguments, .. } = forwards;
    let backwards = TraceProcess { backwards: true, ..forwards };
    let mut second = Ok(Traced::default());
    let first = thread::scope(|scope| {
        scope.spawn(|| second = backwards.traces());
        forwards.traces()
    });
    let (first, second) = (first?, second?);
    let [there, back] = [&first, &second].map(|traces| traces.digests.len() as u64);
    let all = arguments.schedules;
    if !first.complete || !second.complete {
        let progress = format!("{there} of {all} seeds there, {back} back");
        return Err(
            format!("{world}: a process was ended before it had printed all: {progress}").into()
        );
    }
    if let Some(seed) = differing(&first.digests, &second.digests) {
        let (there, back) = (forwards.trace_of(seed)?, backwards.trace_of(seed)?);
        let [first_line, second_line] = apart(&there, &back);
        print_line!("{world}: seed {seed} differs:\n  {first_line}\n  {second_line}");
        return Ok(Exit::Undetermined);
    }
    if [there, back] == [all; 2] {
        let bytes: u64 = first.digests.values().map(|digest| digest.bytes).sum();
        print_line!("{world}: {all} seeds, the same {bytes} bytes there and back");
        return Ok(Exit::Fine);
    }
    print_line!("{world}: only {there} of {all} seeds came to an end there, and {back} back");
    Ok(Exit::Undetermined)
}

/// The first seed whose traces differ, among those of both processes.
fn differing(first: &BTreeMap<u64, Digest>, second: &BTreeMap<u64, Digest>) -> Option<u64> {
    let differs =
        |(seed, digest): &(&u64, &Digest)| second.get(seed).is_some_and(|other| other != *digest);
    first.iter().find(differs).map(|(seed, _)| *seed)
}

/// The first lines that are not the same.
fn apart<'a>(first: &'a [String], second: &'a [String]) -> [&'a str; 2] {
    let line = |traces: &'a [String], index: usize| traces.get(index).map_or("", String::as_str);
    let indices = 0..first.len().max(second.len());
    let mut pairs = indices.map(|index| [line(first, index), line(second, index)]);
    pairs
        .find(|[first_line, second_line]| first_line != second_line)
        .unwrap_or(["once", "and not when printed again"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(text: &[&str]) -> Vec<String> {
        text.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_seed_and_the_first_line_that_differ_are_shown() {
        let digest = |text: &str| {
            let mut digest = Digest::default();
            digest.add(text.as_bytes());
            digest
        };
        let first = BTreeMap::from([(1, digest("a")), (2, digest("b")), (3, digest("c"))]);
        let second = BTreeMap::from([(2, digest("b")), (3, digest("d")), (4, digest("e"))]);
        assert_eq!(differing(&first, &second), Some(3));
        assert_eq!(differing(&first, &first), None);
        let (short, long) = (traces(&["a", "b"]), traces(&["a", "b", "c"]));
        assert_eq!(apart(&short, &long), ["", "c"]);
        assert_eq!(apart(&traces(&["a", "x"]), &long), ["x", "b"]);
    }
}
