//! Prints the measurements of the source tree as Markdown.

use watertight_tidy::measures::table;
use watertight_tidy::tree::{self, Tree};

fn main() {
    println!("{}", table(&Tree::read(&tree::root())));
}
