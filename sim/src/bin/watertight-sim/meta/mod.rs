//! Whether a seed always does the same: in another process, after other seeds, and when nobody looks.

mod teller;

use std::collections::BTreeMap;
use std::thread;

use watertight_sim::World;

use crate::cli::MetaArgs;
use crate::exit::{Ending, Exit};
use crate::say::say;
pub(crate) use teller::HEADING;
use teller::{Digest, Stories, Teller};

/// Runs seeds in two processes, there and back, and compares what they tell, byte for byte.
pub(crate) fn meta(arguments: &MetaArgs) -> Ending {
    let worlds = arguments.world.map_or_else(|| World::ALL.to_vec(), |world| vec![world]);
    for world in worlds {
        let exit = compare(Teller { arguments, world, backwards: false })?;
        if exit != Exit::Fine {
            return Ok(exit);
        }
    }
    Ok(Exit::Fine)
}

fn compare(forwards: Teller<'_>) -> Ending {
    let Teller { world, arguments, .. } = forwards;
    let backwards = Teller { backwards: true, ..forwards };
    let mut second = Ok(Stories::default());
    let first = thread::scope(|scope| {
        scope.spawn(|| second = backwards.stories());
        forwards.stories()
    });
    let (first, second) = (first?, second?);
    let [there, back] = [&first, &second].map(|stories| stories.digests.len() as u64);
    let all = arguments.schedules;
    if !first.complete || !second.complete {
        let told = format!("{there} of {all} seeds there, {back} back");
        return Err(format!("{world}: a process was ended before it had told all: {told}").into());
    }
    if let Some(seed) = differing(&first.digests, &second.digests) {
        let (there, back) = (forwards.story(seed)?, backwards.story(seed)?);
        let [ours, theirs] = apart(&there, &back);
        say!("{world}: seed {seed} differs:\n  {ours}\n  {theirs}");
        return Ok(Exit::Undetermined);
    }
    if [there, back] == [all; 2] {
        let bytes: u64 = first.digests.values().map(|digest| digest.bytes).sum();
        say!("{world}: {all} seeds, the same {bytes} bytes there and back");
        return Ok(Exit::Fine);
    }
    say!("{world}: only {there} of {all} seeds came to an end there, and {back} back");
    Ok(Exit::Undetermined)
}

/// The first seed of which both tell, and not the same.
fn differing(first: &BTreeMap<u64, Digest>, second: &BTreeMap<u64, Digest>) -> Option<u64> {
    let differs =
        |(seed, digest): &(&u64, &Digest)| second.get(seed).is_some_and(|other| other != *digest);
    first.iter().find(differs).map(|(seed, _)| *seed)
}

/// The first lines that are not the same.
fn apart<'a>(first: &'a [String], second: &'a [String]) -> [&'a str; 2] {
    let line = |story: &'a [String], place: usize| story.get(place).map_or("", String::as_str);
    let places = 0..first.len().max(second.len());
    let mut pairs = places.map(|place| [line(first, place), line(second, place)]);
    pairs.find(|[ours, theirs]| ours != theirs).unwrap_or(["once", "and not when told again"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &[&str]) -> Vec<String> {
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
        let (short, long) = (story(&["a", "b"]), story(&["a", "b", "c"]));
        assert_eq!(apart(&short, &long), ["", "c"]);
        assert_eq!(apart(&story(&["a", "x"]), &long), ["x", "b"]);
    }
}
