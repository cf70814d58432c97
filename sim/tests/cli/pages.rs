//! HTML reports are complete and self-contained.

use std::fs;

use crate::program::Program;

/// A page that has nothing to load.
fn page(program: &Program, file: &str) -> String {
    let page = fs::read_to_string(program.folder().join(file)).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"));
    let tags = ["<script", "<link", "<img", "src=", "url("];
    assert!(tags.iter().all(|tag| !page.contains(tag)), "{file} loads something");
    page
}

#[test]
fn a_run_has_a_page() {
    let program = Program::new();
    program.ends_with(0, "run --schedules 1500 --allow-unreached --out out");
    program.ends_with(0, "seeded-bugs --only never_released --out seeded-bugs.json");
    let results = "out/run-core-0-0of1.json";
    program.ends_with(
        0,
        &format!("report run {results} --seeded-bugs seeded-bugs.json --out run.html"),
    );
    let page = page(&program, "run.html");
    for words in ["1,500", "a dial was refused", "never_released", "partition", "<svg"] {
        assert!(page.contains(words), "{words} is not on the page");
    }
}

#[test]
fn a_schedule_has_a_page() {
    let program = Program::new();
    program.ends_with(0, "report schedule 7 --out right.html");
    assert!(page(&program, "right.html").contains("All invariants hold."));
    program.ends_with(0, "report schedule 1 --seeded-bug closed_twice --out broken.html");
    let page = page(&program, "broken.html");
    assert!(page.contains("closed_once: "), "the violation is not on the page");
    assert!(page.contains("class=\"arrow\""), "no message is on the page");
}
