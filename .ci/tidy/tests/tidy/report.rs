//! Findings of a test, and the ratchet that limits them.

use watertight_tidy::layout::Part;

/// A number for each part, in the order of [`Part::ALL`].
pub(crate) type ByPart<T> = [T; Part::ALL.len()];

/// A line that breaks a rule.
#[derive(Debug)]
pub(crate) struct Finding {
    text: String,
    part: Part,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, text: &str) -> Self {
        Self { text: format!("{path}:{line}: {text}"), part: Part::of(path) }
    }
}

/// Fails if there are any findings.
pub(crate) fn none(findings: &[Finding], remedy: &str) {
    at_most("", [0; Part::ALL.len()], findings, remedy);
}

/// A ratchet: fails if a part has more findings than its limit, and prints the limits that can be lowered.
pub(crate) fn at_most(name: &str, limits: ByPart<usize>, findings: &[Finding], remedy: &str) {
    let mut failures = Vec::new();
    for (part, limit) in Part::ALL.into_iter().zip(limits) {
        let here: Vec<_> = findings.iter().filter(|finding| finding.part == part).collect();
        if here.len() > limit {
            failures.extend(here.iter().map(|finding| finding.text.clone()));
            failures.push(format!("{}: {} findings, {limit} at most", part.name(), here.len()));
        } else if here.len() < limit {
            println!("{}: {name} can be lowered from {limit} to {}", part.name(), here.len());
        }
    }
    assert!(failures.is_empty(), "\n{}\n{remedy}\n", failures.join("\n"));
}
