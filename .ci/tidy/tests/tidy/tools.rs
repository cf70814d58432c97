//! The measurements are right about small texts.

use std::collections::BTreeMap;

use watertight_tidy::crates::Crate;
use watertight_tidy::imports::{circles, graph};
use watertight_tidy::layout::Part;
use watertight_tidy::lex::lex;
use watertight_tidy::markdown::{Link, find, headings, links, words, words_of_comments};
use watertight_tidy::source::{Role, Source};

fn source(path: &str, text: &str) -> Source {
    let mut source = Source::new(path, text.to_owned());
    source.role = Some(Role::Source);
    source
}

#[test]
fn code_is_what_is_neither_blank_nor_comment_nor_test() {
    let text = "//! Doc.\n\nfn a() {\n    // why\n    \"// no comment\"; // trailing\n}\n\n\
                #[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    let source = source("core/src/a.rs", text);
    assert_eq!(source.code(), (3, 4));
    let comments: Vec<_> =
        source.lexed.comments.iter().map(|(line, text)| (*line, text.trim())).collect();
    assert_eq!(comments, [(1, "Doc."), (4, "why"), (5, "trailing")]);
}

#[test]
fn a_function_is_as_long_as_its_body() {
    let source =
        source("core/src/a.rs", "fn one() {}\n\nfn four(\n    a: u8,\n) {\n    a;\n    a;\n}\n");
    let lengths: Vec<_> =
        source.functions().map(|(item, lines)| (&*item.name, item.at.line, lines)).collect();
    assert_eq!(lengths, [("one", 1, 1), ("four", 3, 4)]);
}

#[test]
fn asserts_of_tests_do_not_count() {
    let text = "fn a() { assert!(true); debug_assert_eq!(1, 1); asserts(); }\n\
                #[cfg(test)]\nfn b() { assert!(true); }\n";
    assert_eq!(source("core/src/a.rs", text).asserts(), 2);
}

/// The circles of a crate of four modules.
fn circles_of(texts: [(&str, &str); 4]) -> Vec<Vec<(usize, usize)>> {
    let sources: Vec<_> =
        texts.iter().map(|(name, text)| source(&format!("core/src/{name}.rs"), text)).collect();
    let module = |name: &str| if name == "lib" { Vec::new() } else { vec![name.to_owned()] };
    let modules: BTreeMap<_, _> =
        texts.iter().enumerate().map(|(file, (name, _))| (module(name), file)).collect();
    let krate = Crate { root: "core/src/lib.rs".to_owned(), role: Role::Source, modules };
    circles(&graph(&sources, &krate))
        .iter()
        .map(|circle| circle.iter().map(|(file, (_, line))| (*file, *line)).collect())
        .collect()
}

#[test]
fn three_files_that_use_each_other_are_a_circle() {
    let a = "use crate::b::B;\npub struct A(B);";
    let b = "pub struct B;\nfn f() { super::c::f(); }";
    // Through a re-export of the root.
    let c = "pub fn f(a: crate::A) {}";
    let circles =
        circles_of([("lib", "mod a; mod b; mod c; pub use a::A;"), ("a", a), ("b", b), ("c", c)]);
    assert_eq!(circles, [[(1, 1), (2, 2), (3, 1)]]);
}

#[test]
fn neither_context_nor_tests_nor_re_exports_make_a_circle() {
    let lib = "mod a; mod b; mod c; pub use b::*; pub struct Root(a::A);";
    // The root is the context of its modules.
    let a = "use super::Root;\npub struct A(Box<Root>);";
    let b = "pub struct B;\n#[cfg(test)]\nmod tests { use crate::c::C; }";
    let circles =
        circles_of([("lib", lib), ("a", a), ("b", b), ("c", "pub struct C(crate::b::B);")]);
    assert_eq!(circles, Vec::<Vec<_>>::new());
}

#[test]
fn a_phrase_is_found_in_comments_only() {
    let text = "fn told() { \"told\"; } // was told\n/// `told` or untold, the other\n\
                /// end.\n/// What is.\n/// See what is.\nfn b() {}\n";
    let words = words_of_comments(&lex(text).expect("Rust").comments);
    assert_eq!(find(&words, "told"), [1]);
    assert_eq!(find(&words, "other end"), [2]);
    assert_eq!(find(&words, ". what is"), [4]);
}

#[test]
fn code_of_a_document_is_no_prose() {
    let words =
        words("# A way\n\n```sh\nway\n```\n\n| a `way` | way |\n| --- | --- |\n| no | way |\n", 1);
    assert_eq!(find(&words, "way"), [1, 7, 9]);
}

#[test]
fn links_have_files_and_headings() {
    let text = "[a](b.md#some-words) [c](https://example.org)\n[d](#e)\n";
    let link = |line, path: &str, heading: &str| Link {
        line,
        path: path.to_owned(),
        heading: Some(heading.to_owned()),
    };
    assert_eq!(links(text), [link(1, "b.md", "some-words"), link(2, "", "e")]);
    assert_eq!(headings("# Some words\n## The `x_y` (2)\n"), ["some-words", "the-x_y-2"]);
}

#[test]
fn the_longest_folder_decides_the_part() {
    assert_eq!(Part::of("net-tokio/src/lib.rs"), Part::NetTokio);
    assert_eq!(
        [Part::of("net-tokio/src/bin/x.rs"), Part::of("net-tokio/cli/src/x.rs")],
        [Part::Cli; 2]
    );
    assert_eq!(Part::of("README.md"), Part::Root);
}
