//! Every specimen is caught, and soon.

use watertight_sim::specimen;

/// Several times what the rarest one takes.
const LIMIT: u64 = 4000;

#[test]
fn every_specimen_is_caught() {
    for specimen in specimen::all() {
        let caught = specimen.hunt(0, LIMIT);
        assert!(caught.is_some(), "{} is not caught in {LIMIT} schedules", specimen.name);
    }
}

#[test]
fn there_is_one_for_most_rows_and_each_has_a_name_of_its_own() {
    let mut names: Vec<_> = specimen::all().map(|specimen| specimen.name).collect();
    let mut rows: Vec<_> = specimen::all().map(|specimen| specimen.row).collect();
    names.sort_unstable();
    rows.sort_unstable();
    rows.dedup();
    assert!(rows.len() >= 25, "{rows:?}");
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}
