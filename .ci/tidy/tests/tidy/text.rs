//! Rules for the text of files: first lines, width, words, names.

use std::collections::BTreeMap;

use watertight_tidy::language;
use watertight_tidy::markdown::{Word, find, words, words_of_comments};
use watertight_tidy::source::Role;

use crate::TREE;
use crate::limits::{NAMES, PHRASES, SHARED_NAMES, UNDOCUMENTED, WIDE_CODE, WIDE_PROSE, WIDTH};
use crate::report::{Finding, at_most, none};

#[test]
fn every_file_begins_with_what_it_holds() {
    let covered = |path: &str| !UNDOCUMENTED.iter().any(|folder| path.starts_with(folder));
    let files =
        TREE.sources.iter().filter(|file| covered(&file.path) && !file.text.starts_with("//! "));
    let findings: Vec<_> = files.map(|file| Finding::new(&file.path, 1, "no `//!`")).collect();
    none(
        &findings,
        "Begin the file with a line `//! …` that names what it holds, and why if that is not obvious.",
    );
}

#[test]
fn every_file_is_compiled() {
    let files = TREE.sources.iter().filter(|file| file.role.is_none());
    let findings: Vec<_> = files.map(|file| Finding::new(&file.path, 1, "in no target")).collect();
    none(&findings, "Declare the file as a module, or delete it.");
}

#[test]
fn no_line_of_code_or_comment_is_too_wide() {
    let files = TREE.sources.iter();
    let findings: Vec<_> = files.flat_map(|file| wide(&file.path, &file.text, |_| false)).collect();
    at_most(
        "WIDE_CODE",
        WIDE_CODE,
        &findings,
        "Break the line; a text literal with `\\` at its end.",
    );
}

#[test]
fn no_line_of_prose_is_too_wide() {
    let findings = TREE.documents.iter().flat_map(|document| {
        let mut in_code = false;
        wide(&document.path, &document.text, move |line| {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            in_code || fence || line.starts_with('|') || line.trim_start().starts_with('[')
        })
    });
    at_most("WIDE_PROSE", WIDE_PROSE, &findings.collect::<Vec<_>>(), "Break the line.");
}

/// The lines that are wider than they may be and are not `free`.
fn wide(path: &str, text: &str, mut free: impl FnMut(&str) -> bool) -> Vec<Finding> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !free(line) && line.chars().count() > WIDTH);
    let text = |line: &str| format!("{} characters, {WIDTH} at most", line.chars().count());
    lines.map(|(index, line)| Finding::new(path, index + 1, &text(line))).collect()
}

#[test]
fn comments_and_documents_speak_the_language_of_the_field() {
    let comments =
        TREE.sources.iter().map(|file| (&file.path, words_of_comments(&file.lexed.comments)));
    let documents =
        TREE.documents.iter().map(|document| (&document.path, words(&document.text, 1)));
    let findings: Vec<_> =
        comments.chain(documents).flat_map(|(path, words)| banned(path, &words)).collect();
    at_most(
        "PHRASES",
        PHRASES,
        &findings,
        "Begin with the noun, use the standard term, one idea a sentence.",
    );
}

/// The banned phrases of a file, by line.
fn banned(path: &str, words: &[Word]) -> Vec<Finding> {
    let hits = entries(language::PHRASES).flat_map(|(reason, phrase, better)| {
        find(words, phrase)
            .into_iter()
            .map(move |line| (line, format!("“{phrase}”: {better} ({reason})")))
    });
    let mut hits: Vec<_> = hits.collect();
    hits.sort();
    hits.iter().map(|(line, text)| Finding::new(path, *line, text)).collect()
}

#[test]
fn names_are_the_terms_of_the_field() {
    let names: BTreeMap<_, _> =
        entries(language::NAMES).map(|(reason, name, better)| (name, (better, reason))).collect();
    let definitions = TREE
        .sources
        .iter()
        .flat_map(|file| file.items.definitions.iter().map(move |item| (file, item)));
    let findings: Vec<_> = definitions
        .filter_map(|(file, item)| {
            let (better, reason) = names.get(snake_case(&item.name).as_str())?;
            Some(Finding::new(
                &file.path,
                item.at.line,
                &format!("`{}`: {better} ({reason})", item.name),
            ))
        })
        .collect();
    at_most("NAMES", NAMES, &findings, "Rename it.");
}

#[test]
fn no_two_public_types_of_a_crate_share_a_name() {
    let mut findings = Vec::new();
    for krate in TREE.crates.iter().filter(|krate| krate.role == Role::Source) {
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        for file in krate.modules.values().filter_map(|file| TREE.sources.get(*file)) {
            let types = file.items.definitions.iter().filter(|item| item.is_public_type);
            for item in types.filter(|item| file.is_product(item.at.offset)) {
                if let Some(other) = known.insert(&item.name, &file.path) {
                    findings.push(Finding::new(
                        &file.path,
                        item.at.line,
                        &format!("`{}`: also in {other}", item.name),
                    ));
                }
            }
        }
    }
    at_most("SHARED_NAMES", SHARED_NAMES, &findings, "Rename one after what distinguishes it.");
}

/// The reason, the banned form and the better one of each entry.
fn entries(
    table: language::Table,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let entries = table
        .iter()
        .flat_map(|(reason, entries)| entries.iter().map(move |entry| (*reason, entry)));
    entries.flat_map(|(reason, (forms, better))| {
        forms.split(" | ").map(move |form| (reason, form, *better))
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
