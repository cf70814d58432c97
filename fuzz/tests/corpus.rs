//! What the fuzzers start from and what they have found so far holds: every seed, every file of every corpus, and
//! every crash there has been.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::fs;
use std::path::{Path, PathBuf};

use watertight_fuzz::{TARGETS, Target, seeds};

fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_every_corpus_and_every_crash_holds() {
    for Target { name, run, explain } in TARGETS {
        assert!(!files("corpus", name).is_empty(), "{name} has no corpus");
        for path in files("corpus", name).into_iter().chain(files("crashes", name)) {
            // The last line before a panic tells which input it was.
            println!("{}", path.display());
            let input = fs::read(path).unwrap();
            assert!(!explain(&input).is_empty());
            run(&input);
        }
        // Some seeds have no file: what only they show, an optimised program does without a branch of its own.
        seeds::of(name).iter().for_each(|seed| run(seed));
    }
}
