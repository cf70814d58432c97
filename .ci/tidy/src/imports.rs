//! Which file of a crate uses which, and the circles among them.
//!
//! A file uses another one if its code names an item that the other one defines, through any re-exports.
//! Neither the declaration of a module nor a re-export is a use, nor is a use of what an ancestor module
//! defines: a folder's
//! `mod.rs` is the context of its children.

use std::collections::{BTreeMap, BTreeSet};

use crate::crates::Crate;
use crate::source::{Role, Source};

/// For each file, the files that define what it uses, each with the first line that uses it.
pub type Graph = BTreeMap<usize, BTreeMap<usize, usize>>;

/// Files of a circle. Each has a file of the circle that it uses, and the line.
pub type Circle = BTreeMap<usize, (usize, usize)>;

/// The target of a path.
enum Found {
    Module(Vec<String>),
    /// An item of this file.
    Item(usize),
}

struct Resolver<'a> {
    sources: &'a [Source],
    modules: &'a BTreeMap<Vec<String>, usize>,
}

/// The longest chain of re-exports that is followed: chains can be circles.
const LONGEST_CHAIN: usize = 16;

/// The uses between the files of a crate, without the tests of a library or a program.
pub fn graph(sources: &[Source], krate: &Crate) -> Graph {
    let resolver = Resolver { sources, modules: &krate.modules };
    let mut graph = Graph::new();
    for (module, &file) in &krate.modules {
        let Some(source) = sources.get(file) else { continue };
        if krate.role == Role::Source && source.role != Some(Role::Source) {
            continue;
        }
        let uses = graph.entry(file).or_default();
        for (used, line) in resolver.uses(module, source).filter(|(used, _)| *used != file) {
            uses.entry(used).or_insert(line);
        }
    }
    graph
}

impl Resolver<'_> {
    /// The files that define what a module uses.
    fn uses(&self, module: &[String], source: &Source) -> impl Iterator<Item = (usize, usize)> {
        let imports = source.items.imports.values().filter(|import| !import.public);
        let imports = imports.filter(|import| !source.lexed.is_test(import.at.offset));
        let paths =
            imports.map(|import| (import.path.clone(), import.at.line)).chain(paths(source));
        let uses =
            paths.filter_map(|(path, line)| match self.resolve(module, &path, LONGEST_CHAIN)? {
                Found::Item(file) => Some((file, line)),
                Found::Module(_) => None,
            });
        uses.filter(|(file, _)| !self.is_ancestor(*file, module))
    }

    fn is_ancestor(&self, file: usize, module: &[String]) -> bool {
        let ancestors =
            (0..module.len()).filter_map(|length| self.modules.get(module.get(..length)?));
        ancestors.into_iter().any(|ancestor| *ancestor == file)
    }

    fn resolve(&self, module: &[String], path: &[String], chain: usize) -> Option<Found> {
        let mut at = module.to_vec();
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => at.clear(),
                "self" if index == 0 => {}
                "super" => drop(at.pop()?),
                _ => match self.step(&at, name, chain)? {
                    Found::Module(module) => at = module,
                    item @ Found::Item(_) => return Some(item),
                },
            }
        }
        Some(Found::Module(at))
    }

    /// Resolves a name in a module.
    fn step(&self, module: &[String], name: &str, chain: usize) -> Option<Found> {
        let chain = chain.checked_sub(1)?;
        let child: Vec<_> = module.iter().cloned().chain([name.to_owned()]).collect();
        if self.modules.contains_key(&child) {
            return Some(Found::Module(child));
        }
        let file = *self.modules.get(module)?;
        let items = &self.sources.get(file)?.items;
        if items.names.contains(name) {
            return Some(Found::Item(file));
        }
        if let Some(import) = items.imports.get(name) {
            return self.resolve(module, &import.path, chain);
        }
        items.globs.iter().find_map(|glob| match self.resolve(module, &glob.path, chain)? {
            Found::Module(from) if from != module => self.step(&from, name, chain),
            _ => None,
        })
    }
}

/// The paths in the code of a file, apart from its `use` items and its tests, and their lines.
fn paths(source: &Source) -> Vec<(Vec<String>, usize)> {
    let (mut paths, mut before) = (Vec::new(), "");
    let mut tokens = source.lexed.tokens.as_slice();
    while let [token, rest @ ..] = tokens {
        tokens = rest;
        if token.text == "use" && rest.first().is_none_or(|next| next.text != "<") {
            let end = rest.iter().position(|token| token.text == ";").unwrap_or(rest.len());
            tokens = rest.get(end..).unwrap_or_default();
        } else if token.is_word() && !matches!(before, "." | "::" | "'") {
            let mut path = vec![token.text.clone()];
            while let [colons, word, rest @ ..] = tokens
                && colons.text == "::"
                && word.is_word()
            {
                path.push(word.text.clone());
                tokens = rest;
            }
            paths.push((path, token.at));
        }
        before = &token.text;
    }
    let outside = paths.into_iter().filter(|(_, at)| !source.lexed.is_test(at.offset));
    outside.map(|(path, at)| (path, at.line)).collect()
}

/// The circles: groups of files each of which uses the others, directly or not.
pub fn circles(graph: &Graph) -> Vec<Circle> {
    let reached: BTreeMap<_, _> = graph.keys().map(|&file| (file, reach(graph, file))).collect();
    let reaches = |from: usize, to: usize| reached.get(&from).is_some_and(|all| all.contains(&to));
    let mut circles: Vec<Circle> = Vec::new();
    for &file in graph.keys().filter(|file| reaches(**file, **file)) {
        if circles.iter().all(|circle| !circle.contains_key(&file)) {
            let inside =
                graph.iter().filter(|(other, _)| reaches(file, **other) && reaches(**other, file));
            let back = |uses: &BTreeMap<usize, usize>| {
                uses.iter()
                    .map(|(used, line)| (*used, *line))
                    .find(|(used, _)| reaches(*used, file))
            };
            circles.push(inside.filter_map(|(other, uses)| Some((*other, back(uses)?))).collect());
        }
    }
    circles
}

fn reach(graph: &Graph, from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        next.extend(
            graph
                .get(&file)
                .into_iter()
                .flat_map(BTreeMap::keys)
                .filter(|used| reached.insert(**used)),
        );
    }
    reached
}
