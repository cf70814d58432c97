//! Runs with violations: exit codes, shrunk files, reproduction.

use crate::program::Program;

/// A tunnel that fails at once.
const SEEDED_BUG: &str = "closed_twice";

#[test]
fn a_failing_run_ends_with_the_command_that_shows_it_again() {
    let program = Program::new();
    let printed = program.ends_with(1, &format!("run --seeded-bug {SEEDED_BUG} --schedules 100"));
    let last = printed.err.lines().last().unwrap();
    let arguments = last.strip_prefix("cargo run --release -p watertight-sim -- ").unwrap();
    assert!(printed.err.contains("shrunk to"), "{}", printed.err);
    let again = program.ends_with(1, arguments);
    assert!(again.out.contains("VIOLATION  closed_once"), "{}", again.out);
}

#[test]
fn what_it_shrinks_to_is_small_and_a_file_that_people_can_read() {
    let program = Program::new();
    program.ends_with(1, &format!("run --seeded-bug {SEEDED_BUG} --schedules 100 --out out"));
    let files = std::fs::read_dir(program.folder().join("out")).unwrap();
    let names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let shrunk = names.iter().find(|name| name.ends_with(".shrunk.json")).unwrap();
    let case = program.json(&format!("out/{shrunk}"));
    assert!(case["schedule"]["steps"].as_array().unwrap().len() <= 4, "{case:#}");
    assert_eq!(case["found"]["invariant"], "closed_once");
    // The right tunnel has no trouble with it.
    program.ends_with(0, &format!("replay out/{shrunk} --right"));
}

#[test]
fn the_whole_trace_has_messages_and_the_short_one_does_not() {
    let program = Program::new();
    let short = program.ends_with(0, "replay 7").out;
    let whole = program.ends_with(0, "replay 7 --trace").out;
    assert!(whole.contains(" -> ") && !short.contains(" -> "), "{whole}");
    assert!(whole.contains("Settings") || whole.contains("Connect"), "{whole}");
}

#[test]
fn shrinking_what_does_not_fail_says_so() {
    let printed = Program::new().ends_with(0, "shrink 7");
    assert!(printed.out.contains("nothing to shrink"), "{}", printed.out);
}

#[test]
fn a_short_run_says_what_it_has_not_reached() {
    let program = Program::new();
    let printed = program.ends_with(3, "run --schedules 20");
    assert!(printed.err.contains("never reached: "), "{}", printed.err);
    program.ends_with(0, "run --schedules 20 --allow-unreached");
}

#[test]
fn two_processes_print_the_same_traces() {
    let printed = Program::new().ends_with(0, "meta --schedules 30");
    assert!(printed.out.contains("core: 30 seeds, the same"), "{}", printed.out);
    assert!(printed.out.contains("turmoil: 30 seeds, the same"), "{}", printed.out);
}

#[test]
fn a_seeded_bug_that_gets_away_is_a_failure() {
    let program = Program::new();
    let printed = program.ends_with(5, "seeded-bugs --only oversized_panics --schedules 1");
    assert!(printed.out.contains("NOT CAUGHT"), "{}", printed.out);
    program.ends_with(0, &format!("seeded-bugs --only {SEEDED_BUG}"));
    let printed = program.ends_with(2, "seeded-bugs --only nobody");
    assert!(printed.err.contains("there are: sleeping_writer"), "{}", printed.err);
}
