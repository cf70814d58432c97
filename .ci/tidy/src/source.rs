//! A Rust file: its text, its tokens, its items and its purpose.

use crate::items::{self, Definition, Items};
use crate::layout::Part;
use crate::lex::{self, Lexed};

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A library or a program.
    Source,
    /// Tests and examples.
    Tests,
    /// Benchmarks.
    Benches,
}

/// A Rust file.
#[derive(Debug)]
pub struct Source {
    /// Its path from the root of the repository.
    pub path: String,
    /// The part that it belongs to.
    pub part: Part,
    /// Its purpose; `None` if no target of Cargo compiles it.
    pub role: Option<Role>,
    /// Its text.
    pub text: String,
    /// Its tokens and comments.
    pub lexed: Lexed,
    /// Its items.
    pub items: Items,
}

impl Source {
    /// Parses a file. A file that is no Rust is a panic: the compiler takes every file here.
    pub fn new(path: &str, text: String) -> Self {
        let lexed = lex::lex(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let items = items::read(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), part: Part::of(path), role: None, text, lexed, items }
    }

    /// Whether the code at this byte is compiled into a library or a program.
    pub fn is_product(&self, offset: usize) -> bool {
        self.role == Some(Role::Source) && !self.lexed.is_test(offset)
    }

    /// Lines of code: of its role, and of the tests inside a file of another role.
    pub fn code(&self) -> (usize, usize) {
        let all = self.lexed.code.len();
        if self.role == Some(Role::Tests) {
            return (0, all);
        }
        let line =
            |offset: usize| 1 + self.text.get(..offset).unwrap_or_default().matches('\n').count();
        let tests = self.lexed.tests.iter();
        let tests = tests
            .map(|test| self.lexed.code.range(line(test.start)..=line(test.end)).count())
            .sum();
        (all.saturating_sub(tests), tests)
    }

    /// The assertions outside tests.
    pub fn asserts(&self) -> usize {
        let is_assert = |text: &str| text.starts_with("assert") || text.starts_with("debug_assert");
        let pairs = self.lexed.tokens.windows(2);
        let asserts = pairs.filter(|pair| match pair {
            [name, mark] => {
                is_assert(&name.text) && mark.text == "!" && self.is_product(name.at.offset)
            }
            _ => false,
        });
        asserts.count()
    }

    /// Its functions outside tests, each with the lines of its body.
    pub fn functions(&self) -> impl Iterator<Item = (&Definition, usize)> {
        let functions = self.items.definitions.iter().filter_map(|item| Some((item, item.lines?)));
        functions.filter(|(function, _)| self.is_product(function.at.offset))
    }
}
