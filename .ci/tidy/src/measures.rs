//! Sizes of the parts, and the table of them.

use std::fmt::Write;

use crate::crates;
use crate::imports::{circles, graph};
use crate::layout::Part;
use crate::source::Role;
use crate::tree::Tree;
use crate::walk;

/// The sizes of a part's libraries and programs. Its tests and benchmarks are only counted.
#[derive(Debug, Default)]
pub struct Measures {
    /// Files.
    pub files: usize,
    /// Files of 40 lines of code or fewer.
    pub small_files: usize,
    /// Lines of code.
    pub code: usize,
    /// Lines of code of its tests, inside its files and beside them.
    pub tests: usize,
    /// Lines of code of its benchmarks.
    pub benches: usize,
    /// Assertions.
    pub asserts: usize,
    /// The lengths of its functions, the shortest first.
    pub functions: Vec<usize>,
}

impl Measures {
    /// Measures a part.
    pub fn of(tree: &Tree, part: Part) -> Self {
        let mut all = Self::default();
        for source in tree.sources.iter().filter(|source| source.part == part) {
            let (code, tests) = source.code();
            all.tests += tests;
            match source.role {
                Some(Role::Source) => {
                    all.files += 1;
                    all.small_files += usize::from(code <= 40);
                    all.code += code;
                    all.asserts += source.asserts();
                    all.functions.extend(source.functions().map(|(_, lines)| lines));
                }
                Some(Role::Benches) => all.benches += code,
                Some(Role::Tests) | None => {}
            }
        }
        all.functions.sort_unstable();
        all
    }

    /// A number as so many in a thousand lines of code.
    pub fn per_thousand(&self, count: usize) -> f64 {
        1000.0 * count as f64 / self.code.max(1) as f64
    }

    /// The length that this percentage of the functions does not exceed.
    pub fn percentile(&self, percent: usize) -> usize {
        let last = self.functions.len().saturating_sub(1);
        self.functions.get(last * percent / 100).copied().unwrap_or_default()
    }
}

/// The parts that have columns.
const PARTS: [Part; 5] = [Part::Core, Part::NetTokio, Part::Cli, Part::Sim, Part::Fuzz];

/// The measurements as Markdown.
pub fn table(tree: &Tree) -> String {
    let measures = PARTS.map(|part| (part, Measures::of(tree, part)));
    let mut text = row("", PARTS.iter().map(|part| part.name().to_owned()));
    text += &row("---", PARTS.iter().map(|_| "---".to_owned()));
    let mut by_part = |name: &str, value: &dyn Fn(Part, &Measures) -> String| {
        text += &row(name, measures.iter().map(|(part, measures)| value(*part, measures)));
    };
    by_part("files", &|_, all| all.files.to_string());
    by_part("files a thousand lines of code", &|_, all| {
        format!("{:.1}", all.per_thousand(all.files))
    });
    by_part("files of 40 lines or fewer", &|_, all| percent(all.small_files, all.files));
    by_part("function p50 / p90 / max, lines", &|_, all| {
        format!("{} / {} / {}", all.percentile(50), all.percentile(90), all.percentile(100))
    });
    by_part("asserts a thousand lines", &|_, all| format!("{:.1}", all.per_thousand(all.asserts)));
    by_part("files in circles of imports", &|part, all| in_circles(tree, part, all));
    by_part("lines of code: src", &|_, all| all.code.to_string());
    by_part("lines of code: tests", &|_, all| all.tests.to_string());
    by_part("lines of code: benches", &|_, all| all.benches.to_string());
    text + "\n" + &lines_by_kind(&measures) + "\n" + &payload(tree) + "\n" + &embedding(tree)
}

/// What one payload costs, end to end.
fn payload(tree: &Tree) -> String {
    let (look_ups, files, locks) = (walk::look_ups(), walk::files(tree).len(), walk::locks(tree));
    format!(
        "A payload: {look_ups} look-ups in the core's tables, {files} files; {locks} lock a turn of the \
         driver.\n"
    )
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<_> = cells.collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn in_circles(tree: &Tree, part: Part, measures: &Measures) -> String {
    let crates = tree
        .crates
        .iter()
        .filter(|krate| krate.role == Role::Source && Part::of(&krate.root) == part);
    let circles = crates.flat_map(|krate| circles(&graph(&tree.sources, krate)));
    let sizes: Vec<_> = circles.map(|circle| circle.len()).collect();
    let sum: usize = sizes.iter().sum();
    if sum == 0 { "none".to_owned() } else { format!("{sum} of {} {sizes:?}", measures.files) }
}

/// Proof and product: all that is not compiled into what users get is proof.
fn lines_by_kind(measures: &[(Part, Measures)]) -> String {
    let sum = |wanted: &dyn Fn(Part) -> bool, of: &dyn Fn(&Measures) -> usize| -> usize {
        measures.iter().filter(|(part, _)| wanted(*part)).map(|(_, measures)| of(measures)).sum()
    };
    let whole = |part: Part| sum(&|other| other == part, &|all| all.code + all.tests + all.benches);
    let source = sum(&Part::is_product, &|all| all.code);
    let tests = sum(&Part::is_product, &|all| all.tests);
    let benches = sum(&Part::is_product, &|all| all.benches);
    let (sim, fuzz) = (whole(Part::Sim), whole(Part::Fuzz));
    let ratio = (tests + benches + sim + fuzz) as f64 / source.max(1) as f64;
    let mut text =
        "| lines of code | src | tests | benches | sim | fuzz | proof : product |\n".to_owned();
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    writeln!(text, "| workspace | {source} | {tests} | {benches} | {sim} | {fuzz} | {ratio:.2} |")
        .ok();
    text
}

fn embedding(tree: &Tree) -> String {
    let default = crates::embedded(&tree.root, &[]);
    let least = crates::embedded(&tree.root, &["--no-default-features"]);
    format!("Crates an embedder compiles: {least}; {default} with the default features.\n")
}
