//! Rules for sizes and for the graph of imports.

use watertight_tidy::crates;
use watertight_tidy::imports::{circles, graph};
use watertight_tidy::layout::Part;
use watertight_tidy::measures::Measures;
use watertight_tidy::source::{Role, Source};
use watertight_tidy::walk;

use crate::TREE;
use crate::limits::{ASSERTS, EMBEDDED, FILES, FUNCTION_LINES, IN_CIRCLES, PAYLOAD};
use crate::report::{Finding, at_most, none};

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    for (part, limit) in Part::ALL.into_iter().zip(FUNCTION_LINES) {
        for file in TREE.sources.iter().filter(|file| file.part == part) {
            for (function, lines) in file.functions().filter(|(_, lines)| *lines > limit) {
                let text = format!("`{}` has {lines} lines, {limit} at most", function.name);
                findings.push(Finding::new(&file.path, function.at.line, &text));
            }
        }
    }
    none(&findings, "Split the function, or delete part of it.");
}

#[test]
fn a_file_holds_one_whole_thing() {
    let mut findings = Vec::new();
    for (part, limit) in Part::ALL.into_iter().zip(FILES) {
        let measures = Measures::of(&TREE, part);
        let files = measures.per_thousand(measures.files);
        println!("{}: {files:.1} files a thousand lines, {limit} at most", part.name());
        if files > limit {
            findings.extend(
                by_size(part).take(5).map(|(file, lines)| finding(file, lines, "a small file")),
            );
        }
    }
    none(
        &findings,
        "There are too many files for the code of this part: merge some, such as these.",
    );
}

#[test]
fn invariants_are_asserted() {
    let mut findings = Vec::new();
    for (part, limit) in Part::ALL.into_iter().zip(ASSERTS) {
        let measures = Measures::of(&TREE, part);
        let asserts = measures.per_thousand(measures.asserts);
        println!("{}: {asserts:.1} assertions a thousand lines, {limit} at least", part.name());
        if asserts < limit {
            let without = by_size(part).rev().filter(|(file, _)| file.asserts() == 0).take(5);
            findings.extend(without.map(|(file, lines)| finding(file, lines, "no assertion")));
        }
    }
    none(
        &findings,
        "Assert the invariants that the code of this part assumes, such as those of these files.",
    );
}

/// The source files of a part with their lines of code, the smallest first.
fn by_size(part: Part) -> impl DoubleEndedIterator<Item = (&'static Source, usize)> {
    let files =
        TREE.sources.iter().filter(|file| file.part == part && file.role == Some(Role::Source));
    let mut files: Vec<_> = files.map(|file| (file, file.code().0)).collect();
    files.sort_by_key(|(_, lines)| *lines);
    files.into_iter()
}

fn finding(file: &Source, lines: usize, what: &str) -> Finding {
    Finding::new(&file.path, 1, &format!("{what}: {lines} lines of code"))
}

#[test]
fn imports_have_no_circle() {
    let name = |file: usize| TREE.sources.get(file).map_or("", |file| file.path.as_str());
    let mut findings = Vec::new();
    for circle in TREE.crates.iter().flat_map(|krate| circles(&graph(&TREE.sources, krate))) {
        let uses = circle.iter().map(|(file, (used, line))| {
            Finding::new(
                name(*file),
                *line,
                &format!("uses {}, in a circle of {}", name(*used), circle.len()),
            )
        });
        findings.extend(uses);
    }
    at_most(
        "IN_CIRCLES",
        IN_CIRCLES,
        &findings,
        "Move what both need into a file below both, or pass it as an argument.",
    );
}

#[test]
fn an_embedder_compiles_few_crates() {
    let mut findings = Vec::new();
    for (features, limit) in [&["--no-default-features"][..], &[]].into_iter().zip(EMBEDDED) {
        let crates = crates::embedded(&TREE.root, features);
        println!("{crates} crates {features:?}, {limit} at most");
        if crates > limit {
            let text = format!("{crates} crates {features:?}, {limit} at most");
            findings.push(Finding::new("net-tokio/Cargo.toml", 1, &text));
        }
    }
    none(
        &findings,
        "Find the dependency with `cargo tree -p watertight -e normal`, and do without it.",
    );
}

#[test]
fn a_payload_crosses_few_files_and_tables() {
    let files = walk::files(&TREE);
    let unknown: Vec<_> = files.iter().filter(|file| !TREE.root.join(file).is_file()).collect();
    assert!(unknown.is_empty(), "ARCHITECTURE.md names files that are none: {unknown:?}");
    let measured = [u64::from(walk::look_ups()), files.len() as u64, walk::locks(&TREE) as u64];
    for ((measured, limit), of) in
        measured.into_iter().zip(PAYLOAD).zip(["look-ups", "files", "locks"])
    {
        println!("{of}: {measured}, {limit} at most");
        assert!(
            measured > 0 && measured <= limit,
            "{of} of a payload: {measured}, {limit} at most"
        );
    }
}
