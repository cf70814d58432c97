//! The `demo` command ends with a balanced ledger.

use crate::process::run;

#[test]
fn the_demo_ends_even() {
    let demo = run(&["demo", "--size", "16"]);
    assert_eq!(demo.code, 0, "{}", demo.stdout);
    assert_eq!(demo.stdout.matches("  even").count(), 3, "{}", demo.stdout);
    assert!(demo.last_line().starts_with("even: "), "{}", demo.stdout);
}
