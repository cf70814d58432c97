//! Every seeded bug is caught, and soon, by a schedule that shows nothing on the right tunnel.

use watertight_sim::World;
use watertight_sim::seeded_bug::{self, Hunt, SeededBug};

/// Several times what the rarest one takes.
const fn limit(world: World) -> u64 {
    match world {
        World::Core => 60_000,
        World::Turmoil => 20_000,
    }
}

#[test]
fn every_seeded_bug_is_caught() {
    for seeded_bug in seeded_bug::all() {
        assert_caught(seeded_bug);
    }
}

fn assert_caught(seeded_bug: &SeededBug) {
    let SeededBug { name, world, .. } = seeded_bug;
    let limit = limit(*world);
    match seeded_bug.hunt(0, limit) {
        Hunt::Caught(catch) => {
            assert_eq!(catch.on_right, None, "{name}: seed {} on the right tunnel", catch.seed);
        }
        Hunt::Missed { instead } => {
            panic!("{name} is not caught in {limit} schedules, which show {instead:?}");
        }
    }
}

#[test]
fn there_is_one_for_most_rows_and_each_has_a_name_of_its_own() {
    let mut names: Vec<_> = seeded_bug::all().map(|seeded_bug| seeded_bug.name).collect();
    let mut rows: Vec<_> = seeded_bug::all().map(|seeded_bug| seeded_bug.row).collect();
    names.sort_unstable();
    rows.sort_unstable();
    rows.dedup();
    assert!(rows.len() >= 25, "{rows:?}");
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}
