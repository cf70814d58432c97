//! Measurements of the source tree, and the rules that it is tested by.
//!
//! [`tree::Tree`] reads every Rust and Markdown file once. [`measures::table`] prints the measurements; the
//! tests of this package compare them with their limits. `cargo run -p watertight-tidy` prints the table.

pub mod crates;
pub mod imports;
pub mod items;
pub mod language;
pub mod layout;
pub mod lex;
pub mod markdown;
pub mod measures;
pub mod source;
pub mod tree;
pub mod walk;
