//! The summary of a run, and its exit code.

use watertight_sim::Situation;
use watertight_sim::campaign::Results;

use crate::exit::Exit;

/// Says in a few lines what came of a run, and judges it.
pub(crate) fn summarize(results: &Results, allow_unreached: bool) -> Exit {
    let (plan, tally) = (&results.plan, &results.tally);
    let virtual_hours = tally.virtual_time.as_secs() / 3600;
    eprintln!(
        "{} world: {} schedules from seed {}, {} failed, {:.0} a second on {} threads, \
         {virtual_hours} virtual hours",
        plan.world,
        tally.schedules,
        plan.first_seed,
        results.failures.len(),
        results.rate(),
        results.threads,
    );
    let all = Situation::of(plan.world).count();
    let unreached: Vec<_> = tally.unreached(plan.world).collect();
    eprintln!("{} of {all} situations reached", all - unreached.len());
    if let Some((situation, schedules)) = tally.rarest(plan.world) {
        eprintln!("rarest: {situation}, in {schedules} schedules");
    }
    if !results.failures.is_empty() {
        return Exit::Violation;
    }
    if unreached.is_empty() || allow_unreached {
        return Exit::Fine;
    }
    for situation in unreached {
        eprintln!("never reached: {situation}");
    }
    eprintln!(
        "a short run may not reach them: --schedules for more, --allow-unreached to let it pass"
    );
    Exit::Unreached
}
