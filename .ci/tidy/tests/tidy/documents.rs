//! Rules for documents, manifests and patches.

use std::io::Write;
use std::process::Command;

use serde_json::Value;
use watertight_tidy::crates::{list, relative, text};
use watertight_tidy::markdown::{Link, headings, links};
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
