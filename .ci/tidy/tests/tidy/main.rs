//! The repository is tidy. The name of each test is the rule that it enforces; its failure lists lines and a
//! remedy.

mod documents;
mod limits;
mod report;
mod sizes;
mod text;
mod tools;

use std::sync::LazyLock;

use watertight_tidy::tree::{self, Tree};

/// Read once for all tests.
static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::read(&tree::root()));
