//! Every known input holds: every seed, every file of every corpus, and every crash there has been.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::fs;
use std::path::{Path, PathBuf};

use watertight_fuzz::{TARGETS, Target, seeds};

/// Bytes of all corpora together that everybody who has the project is asked to keep.
const MOST: u64 = 2 << 20;

fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn play(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let Target { run, explain, .. } = target.unwrap();
    assert!(!files("corpus", name).is_empty(), "{name} has no corpus");
    for path in files("corpus", name).into_iter().chain(files("crashes", name)) {
        // The last line before a panic is the input.
        println!("{}", path.display());
        let input = fs::read(path).unwrap();
        assert!(!explain(&input).is_empty());
        run(&input);
    }
    // Some seeds have no file: what only they show, an optimised program does without a branch of its own.
    seeds::of(name).iter().for_each(|seed| run(seed));
}

macro_rules! play {
    ($($target:ident)+) => {
        $(#[test]
        fn $target() {
            play(stringify!($target));
        })+

        #[test]
        fn every_target_is_played_and_has_what_bears_its_name() {
            let names = [$(stringify!($target)),+];
            assert!(TARGETS.iter().map(|target| target.name).eq(names));
            let corpora = names.iter().flat_map(|name| files("corpus", name));
            let bytes: u64 = corpora.map(|path| fs::metadata(path).unwrap().len()).sum();
            assert!(bytes < MOST, "{bytes} bytes of corpora: fuzz/minimise makes them small");
            for folder in ["corpus", "crashes"] {
                let strays = files(folder, "").into_iter().filter(|path| path.is_dir());
                let strays = strays.filter(|path| !names.iter().any(|name| path.ends_with(name)));
                assert_eq!(strays.count(), 0, "a folder in {folder} that is no target's");
            }
        }
    };
}

play!(dialogue framing handshake message registry session_hostile);
