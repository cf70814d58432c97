//! Every schedule that once failed is replayed.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::fs;
use std::path::{Path, PathBuf};

use watertight_sim::{Case, Trace, seeded_bug};

fn regressions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    cases.sort();
    cases
}

#[test]
fn what_once_failed_holds() {
    let cases = regressions();
    assert!(!cases.is_empty(), "the folder of regressions is empty");
    for path in cases {
        let case = Case::read(&path).unwrap();
        assert!(!case.about.is_empty(), "{} does not say why it is kept", path.display());
        let outcome = case.run(&Trace::off());
        assert_eq!(outcome.violation, None, "{}: {}", path.display(), case.about);
    }
}

/// A schedule that shows something else proves nothing any more.
#[test]
fn a_schedule_that_a_seeded_bug_failed_on_still_shows_it() {
    for path in regressions() {
        let case = Case::read(&path).unwrap();
        let Some(name) = &case.seeded_bug else { continue };
        let seeded_bug = seeded_bug::all().find(|seeded_bug| seeded_bug.name == name).unwrap();
        let Some(found) = &case.found else {
            panic!("{} does not say what it is kept for", path.display());
        };
        assert!(seeded_bug.expected.contains(&found.invariant), "{}: {found}", path.display());
        let shown = seeded_bug.run(&case.schedule, &Trace::off()).violation;
        let is_like = shown.as_ref().is_some_and(|violation| violation.is_like(found));
        assert!(is_like, "{}: {name} shows {shown:?}, not {found}", path.display());
    }
}
