//! turmoil's hosts and links, as they are set up for this world and for programs around a tunnel.

use std::time::{Duration, SystemTime};

use turmoil::{Builder, Sim};

use crate::Schedule;
use crate::schedule::millis;

/// More than any number of hosts that connect at once: an accept queue that overflows panics.
const ACCEPT_QUEUE: usize = 1024;

/// A simulation without hosts, on the links of a schedule.
pub(crate) fn simulation(schedule: &Schedule, tick: Duration) -> Sim<'static> {
    let link = &schedule.knobs.link;
    Builder::new()
        .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .rng_seed(schedule.seed)
        .tick_duration(tick)
        .simulation_duration(Duration::from_secs(1 << 20))
        .tcp_capacity(ACCEPT_QUEUE)
        .min_message_latency(millis(link.min_latency))
        .max_message_latency(millis(link.max_latency.max(link.min_latency)))
        .build()
}

/// Nothing more is lost, held back or slow on any link between these hosts.
pub(crate) fn heal_links(sim: &Sim<'_>, hosts: &[impl AsRef<str>]) {
    for (index, a) in hosts.iter().enumerate() {
        for b in hosts.iter().skip(index + 1) {
            let (a, b) = (a.as_ref(), b.as_ref());
            sim.release(a, b);
            sim.set_link_latency(a, b, Duration::ZERO);
        }
    }
}
