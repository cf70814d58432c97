//! Rules for documents, manifests and patches.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use serde_json::Value;
use watertight_tidy::crates::{list, relative, text};
use watertight_tidy::markdown::{Link, headings, links, stray_bars};
use watertight_tidy::tree::Document;

use crate::TREE;
use crate::report::{Finding, none};

#[test]
fn links_of_documents_lead_somewhere() {
    let links = TREE
        .documents
        .iter()
        .flat_map(|document| links(&document.text).into_iter().map(move |link| (document, link)));
    let broken = links.filter(|(document, link)| !leads_somewhere(document, link));
    let findings: Vec<_> = broken
        .map(|(document, link)| {
            let heading = link.heading.map(|heading| format!("#{heading}")).unwrap_or_default();
            Finding::new(&document.path, link.line, &format!("nothing at {}{heading}", link.path))
        })
        .collect();
    none(&findings, "Correct the link.");
}

/// A tool that breaks lines may take a table for prose.
#[test]
fn tables_of_documents_are_tables() {
    let findings = TREE.documents.iter().flat_map(|document| {
        let lines = stray_bars(&document.text).into_iter();
        lines.map(|line| Finding::new(&document.path, line, "a table that is a paragraph"))
    });
    none(&findings.collect::<Vec<_>>(), "Give each row a line of its own.");
}

fn leads_somewhere(document: &Document, link: &Link) -> bool {
    let own = TREE.root.join(&document.path);
    let target = if link.path.is_empty() { own } else { own.with_file_name("").join(&link.path) };
    match &link.heading {
        None => target.exists(),
        Some(heading) => {
            std::fs::read_to_string(&target).is_ok_and(|text| headings(&text).contains(heading))
        }
    }
}

/// The rules of core/PROTOCOL.md.
fn rules() -> BTreeSet<&'static str> {
    let protocol = TREE.documents.iter().find(|document| document.path == "core/PROTOCOL.md");
    let protocol = protocol.map_or("", |document| &document.text);
    protocol.split("- **").skip(1).filter_map(|rule| rules_in(rule).next()).collect()
}

/// Rules that the adapter keeps, and not the core.
const OF_ADAPTER: [&str; 6] = ["P3.1", "P3.3", "P3.6", "P6.4", "P6.5", "P6.6"];

#[test]
fn every_rule_of_the_core_is_cited_there() {
    let files = TREE.sources.iter().filter(|file| file.path.starts_with("core/"));
    let comments = files.flat_map(|file| &file.lexed.comments);
    let cited: BTreeSet<_> = comments.flat_map(|(_, text)| rules_in(text)).collect();
    let missing: Vec<_> = rules()
        .into_iter()
        .filter(|rule| !cited.contains(rule) && !OF_ADAPTER.contains(rule))
        .collect();
    assert!(missing.is_empty(), "no test and no violation cites {missing:?}");
}

#[test]
fn rules_that_are_cited_are_in_the_protocol() {
    let rules = rules();
    let comments = TREE.sources.iter().flat_map(|file| {
        file.lexed.comments.iter().map(move |(line, text)| (&file.path, *line, text.as_str()))
    });
    let documents = TREE.documents.iter().flat_map(|document| {
        document.text.lines().zip(1..).map(move |(text, line)| (&document.path, line, text))
    });
    let cited = comments
        .chain(documents)
        .flat_map(|(path, line, text)| rules_in(text).map(move |rule| (path, line, rule)));
    let unknown = cited.filter(|(_, _, rule)| !rules.contains(rule));
    let findings: Vec<_> = unknown
        .map(|(path, line, rule)| Finding::new(path, line, &format!("no rule {rule}")))
        .collect();
    none(&findings, "Cite a rule of core/PROTOCOL.md.");
}

/// Enums whose variants are rules of the protocol that the remote broke.
const VIOLATIONS: [&str; 5] =
    ["ProtocolViolation", "LifecycleViolation", "InvalidMessage", "InvalidFrame", "InvalidPreface"];

#[test]
fn every_violation_cites_its_rule() {
    let (mut findings, mut variants) = (Vec::new(), 0);
    for file in TREE.sources.iter().filter(|file| file.path.starts_with("core/src/")) {
        let mut cites = false;
        let mut inside = false;
        for (line, number) in file.text.lines().zip(1..) {
            inside |= VIOLATIONS.iter().any(|name| line == format!("pub enum {name} {{"));
            inside &= line != "}";
            let Some(item) = line.strip_prefix("    ").filter(|_| inside) else { continue };
            if item.starts_with("///") {
                cites |= rules_in(item).next().is_some();
            } else if item.starts_with(char::is_uppercase) {
                variants += 1;
                if !std::mem::take(&mut cites) {
                    findings.push(Finding::new(&file.path, number, "cites no rule"));
                }
            }
        }
    }
    assert!(variants > 40, "only {variants} variants are found");
    none(&findings, "Cite the rule of core/PROTOCOL.md in the variant's documentation.");
}

/// The numbers of rules in a text, such as P4.2.
fn rules_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '.');
    words.map(|word| word.trim_matches('.')).filter(|word| {
        let number = word.strip_prefix('P').and_then(|rule| rule.split_once('.'));
        number.is_some_and(|(part, rule)| [part, rule].iter().all(|it| it.parse::<u8>().is_ok()))
    })
}

#[test]
fn every_crate_has_its_licence_description_and_lints() {
    let findings: Vec<_> = TREE
        .packages
        .iter()
        .flat_map(|package| {
            let manifest =
                std::fs::read_to_string(text(package, "manifest_path")).unwrap_or_default();
            let mut missing = Vec::new();
            if !manifest.contains("[lints]\nworkspace = true") {
                missing.push("the lints of the workspace");
            }
            missing.extend(
                ["license", "description", "rust_version"]
                    .into_iter()
                    .filter(|key| text(package, key).is_empty()),
            );
            missing
                .into_iter()
                .map(|key| Finding::new(&manifest_path(package), 1, &format!("without {key}")))
        })
        .collect();
    none(&findings, "Add it, from the workspace if it is there.");
}

#[test]
fn every_published_crate_has_what_publishing_needs() {
    let mut findings = Vec::new();
    for package in
        TREE.packages.iter().filter(|package| package.get("publish").is_none_or(Value::is_null))
    {
        let path = manifest_path(package);
        let missing =
            ["keywords", "categories"].into_iter().filter(|key| list(package, key).is_empty());
        findings.extend(missing.map(|key| Finding::new(&path, 1, &format!("without {key}"))));
        // Cargo leaves a dependency of tests out where it has no version.
        let shipped =
            list(package, "dependencies").iter().filter(|needed| text(needed, "kind") != "dev");
        let unversioned = shipped.filter(|needed| text(needed, "req") == "*");
        findings.extend(unversioned.map(|needed| {
            Finding::new(&path, 1, &format!("{} without a version", text(needed, "name")))
        }));
    }
    none(&findings, "Add it, or `publish = false`.");
}

fn manifest_path(package: &Value) -> String {
    relative(&TREE.root, text(package, "manifest_path"))
}

#[test]
fn every_patch_that_seeds_a_bug_applies() {
    if Command::new("git").arg("--version").output().is_err() {
        let text = "skipped: needs git: apt-get install git";
        assert!(std::env::var_os("TESTS_REQUIRE_PROGRAMS").is_none(), "{text}");
        // Past the capture of the test harness, which drops the output of a test that passes.
        writeln!(std::io::stderr(), "{text}").ok();
        return;
    }
    let patches = ["fuzz/specimens", "sim/breaks"].into_iter().flat_map(patches);
    let findings: Vec<_> =
        patches.filter_map(|path| Some(Finding::new(&path, 1, &refusal(&path)?))).collect();
    none(&findings, "Refit the patch to the code, with the same bug.");
}

fn patches(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(TREE.root.join(folder)).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".patch")).map(|name| format!("{folder}/{name}")).collect()
}

/// Why Git does not apply a patch.
fn refusal(path: &str) -> Option<String> {
    let mut git = Command::new("git");
    // Inside of another repository, Git would skip every file.
    let outside = TREE.root.parent().unwrap_or(&TREE.root);
    git.args(["apply", "--check", path])
        .current_dir(&TREE.root)
        .env("GIT_CEILING_DIRECTORIES", outside);
    let output = git.output().ok()?;
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
