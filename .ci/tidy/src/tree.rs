//! The files of the repository, read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use walkdir::{DirEntry, WalkDir};

use crate::crates::{self, Crate};
use crate::layout::Part;
use crate::source::Source;

/// A Markdown file.
#[derive(Debug)]
pub struct Document {
    /// Its path from the root of the repository.
    pub path: String,
    /// The part that it belongs to.
    pub part: Part,
    /// Its text.
    pub text: String,
}

/// Everything that is measured and tested.
#[derive(Debug)]
pub struct Tree {
    /// The root of the repository.
    pub root: PathBuf,
    /// The Rust files.
    pub sources: Vec<Source>,
    /// The Markdown files.
    pub documents: Vec<Document>,
    /// What Cargo compiles, by target.
    pub crates: Vec<Crate>,
    /// The packages, as `cargo metadata` prints them.
    pub packages: Vec<Value>,
}

/// The root of this repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

impl Tree {
    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> Self {
        let (mut sources, mut documents) = (Vec::new(), Vec::new());
        for (path, text) in files(root) {
            if path.ends_with(".rs") {
                sources.push(Source::new(&path, text));
            } else {
                documents.push(Document { part: Part::of(&path), path, text });
            }
        }
        let packages = crates::packages(root);
        let crates = crates::find(root, &packages, &mut sources);
        Self { root: root.to_owned(), sources, documents, crates, packages }
    }
}

/// The Rust and Markdown files.
fn files(root: &Path) -> BTreeMap<String, String> {
    let walk = WalkDir::new(root).into_iter().filter_entry(|entry| !is_generated(entry));
    // A symbolic link, such as the README of a package, is read where it leads to.
    let files = walk.filter_map(Result::ok).filter(|entry| !entry.path_is_symlink());
    let paths = files.map(DirEntry::into_path);
    let wanted =
        paths.filter(|path| path.extension().is_some_and(|end| end == "rs" || end == "md"));
    wanted
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            let path = path.strip_prefix(root).ok()?.to_str()?;
            Some((path.to_owned(), text))
        })
        .collect()
}

/// Whether a folder belongs to Git or is a cache. `cargo package` makes a target folder without a tag.
fn is_generated(entry: &DirEntry) -> bool {
    let is_target = entry.depth() == 1 && entry.file_name() == "target";
    is_target || entry.file_name() == ".git" || entry.path().join("CACHEDIR.TAG").exists()
}
