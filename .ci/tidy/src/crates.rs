//! The crates that Cargo compiles, the modules of each, and the purpose of each file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Component, Path};
use std::process::Command;

use serde_json::Value;

use crate::items::Child;
use crate::source::{Role, Source};

/// A crate, as the modules that its root leads to.
#[derive(Debug)]
pub struct Crate {
    /// The path of its root.
    pub root: String,
    /// The purpose of its files, apart from unit tests.
    pub role: Role,
    /// The index of each module's file.
    pub modules: BTreeMap<Vec<String>, usize>,
}

/// Finds the modules of every target, and assigns each file its role. Modules under `cfg(test)` are tests.
pub fn find(root: &Path, packages: &[Value], sources: &mut [Source]) -> Vec<Crate> {
    let files =
        sources.iter().enumerate().map(|(index, file)| (file.path.clone(), index)).collect();
    let mut finder = Finder { sources, files, modules: BTreeMap::new() };
    let mut crates = Vec::new();
    for target in packages.iter().flat_map(|package| list(package, "targets")) {
        let root = relative(root, text(target, "src_path"));
        let role = role(&root, target);
        if let Some(&file) = finder.files.get(&root) {
            finder.module(Vec::new(), file, role, true);
        }
        crates.push(Crate { root, role, modules: std::mem::take(&mut finder.modules) });
    }
    crates
}

struct Finder<'a> {
    sources: &'a mut [Source],
    files: BTreeMap<String, usize>,
    /// The modules of the crate at hand.
    modules: BTreeMap<Vec<String>, usize>,
}

impl Finder<'_> {
    /// Adds a module and those below it. The children of a module that owns its folder, such as a `mod.rs`,
    /// stand beside it; others' in a folder of its name.
    fn module(&mut self, path: Vec<String>, file: usize, role: Role, owns_folder: bool) {
        let Some(source) = self.sources.get_mut(file) else { return };
        source.role = Some(source.role.map_or(role, |known| known.min(role)));
        let mut children = Vec::new();
        for child in &source.items.children {
            let candidates = candidates(&source.path, owns_folder, child);
            let found = candidates.iter().find_map(|at| Some((at, *self.files.get(at)?)));
            let role =
                if source.lexed.is_test(child.at.offset) { role.max(Role::Tests) } else { role };
            let path: Vec<_> = path.iter().chain([&child.name]).cloned().collect();
            children.extend(found.map(|(at, file)| {
                (path, file, role, child.path.is_some() || at.ends_with("/mod.rs"))
            }));
        }
        self.modules.insert(path, file);
        for (path, file, role, owns_folder) in children {
            self.module(path, file, role, owns_folder);
        }
    }
}

/// Where the file of a child module may stand.
fn candidates(parent: &str, owns_folder: bool, child: &Child) -> Vec<String> {
    let parent = Path::new(parent);
    let beside = parent.with_file_name("");
    let folder = if owns_folder { beside.clone() } else { parent.with_extension("") };
    match &child.path {
        Some(path) => vec![clean(&beside.join(path))],
        None => {
            ["", "/mod"].map(|end| clean(&folder.join(format!("{}{end}.rs", child.name)))).to_vec()
        }
    }
}

/// The path without `..`.
fn clean(path: &Path) -> String {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            component => parts.push(component.as_os_str().to_string_lossy()),
        }
    }
    parts.join("/")
}

/// The packages of the workspace, as `cargo metadata` prints them.
pub fn packages(root: &Path) -> Vec<Value> {
    let text = cargo(root, ["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let metadata: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    list(&metadata, "packages").to_vec()
}

/// The purpose of a target. A library for tests stands in a folder of tests.
fn role(root: &str, target: &Value) -> Role {
    match list(target, "kind").first().and_then(Value::as_str) {
        Some("lib" | "bin") if !root.contains("/tests/") => Role::Source,
        Some("bench") => Role::Benches,
        _ => Role::Tests,
    }
}

/// A path from the root of the repository.
pub fn relative(root: &Path, path: &str) -> String {
    Path::new(path).strip_prefix(root).unwrap_or(Path::new(path)).to_string_lossy().into_owned()
}

/// How many packages an embedder of the library compiles, the library included.
pub fn embedded(root: &Path, features: &[&str]) -> usize {
    let tree = "tree --package=watertight --edges=normal --prefix=none --format={p} --locked";
    let text = cargo(root, tree.split(' ').chain(features.iter().copied()));
    // A package that is there again has a mark.
    text.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>().len()
}

fn cargo(root: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.unwrap_or_else(|error| panic!("cargo: {error}"));
    assert!(output.status.success(), "cargo: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A text in an object; empty if it is missing.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A list in an object; empty if it is missing.
pub fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
