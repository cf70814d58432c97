//! Every specimen of the turmoil world is caught, and soon.

use watertight_sim::turmoil_world::specimen;

/// Several times what the rarest one takes.
const LIMIT: u64 = 400;

#[test]
fn every_specimen_is_caught() {
    for specimen in specimen::all() {
        let caught = specimen.hunt(0, LIMIT);
        assert!(caught.is_some(), "{} is not caught in {LIMIT} schedules", specimen.name);
    }
}
