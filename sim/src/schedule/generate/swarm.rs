//! Swarm testing: the random subset of features and faults that a seed has.

use super::random::Random;
use crate::World;

/// The actions, faults and conditions that a seed has at all.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    /// How long the steps take, in milliseconds.
    pub(super) horizon: u32,
    /// How many applications there are.
    pub(super) applications: u16,
    pub(super) agents: u8,
    pub(super) servers: u8,
    pub(super) dialects: Dialects,
    pub(super) sizes: Sizes,
    pub(super) latency: bool,
    pub(super) agent_dials: bool,
    pub(super) hostile: bool,
    // What applications do besides writing, reading and finishing.
    pub(super) resets: bool,
    pub(super) drops: bool,
    pub(super) slow_readers: bool,
    pub(super) short_deadlines: bool,
    // What targets do besides accepting, reading, writing and finishing.
    pub(super) refusing_targets: bool,
    pub(super) late_targets: bool,
    pub(super) deaf_targets: bool,
    pub(super) breaking_targets: bool,
    pub(super) staying_targets: bool,
    // What links do.
    pub(super) partitions: bool,
    pub(super) one_way: bool,
    pub(super) holds: bool,
    pub(super) cuts: bool,
    pub(super) latency_changes: bool,
    // What hosts do.
    pub(super) crashes: bool,
    pub(super) restarts: bool,
    pub(super) replacements: bool,
    pub(super) disconnects: bool,
    pub(super) drains: bool,
    pub(super) idle: bool,
    // What links carry, and how many dials hang at once.
    pub(super) crawl: bool,
    pub(super) many: Option<Many>,
    // Who else connects, or answers.
    pub(super) unauthenticated: bool,
    pub(super) impostors: bool,
}

/// Dials that hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// More of one target than its share of the limit.
    OfOneTarget,
    /// Of names without an address, while the link is cut.
    OfNames,
}

/// Which dialects the agents speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialects {
    Extended,
    Base,
    Mixed,
}

/// How much the applications and targets write at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    Small,
    Window,
    Large,
}

impl Swarm {
    pub(super) fn draw(random: &mut Random<'_>, world: World) -> Self {
        // Most schedules have no faults of links and hosts: so much can go wrong already.
        let faults = random.percent(42);
        let fault = |random: &mut Random<'_>| random.percent(25) && faults;
        let mut swarm = Self {
            horizon: random.weighted(&[(42, 30), (9, 120), (2, 400), (1, 800)]),
            applications: 1 + random.times(30, 11),
            // Agents meet in a real server; sessions of the core have little in common.
            agents: random.weighted(match world {
                World::Core => &[(42, 1), (5, 2), (1, 3)],
                World::Turmoil => &[(16, 1), (3, 2), (1, 3)],
            }),
            servers: if random.percent(20) && world == World::Turmoil { 2 } else { 1 },
            dialects: random.weighted(&[
                (5, Dialects::Extended),
                (3, Dialects::Base),
                (2, Dialects::Mixed),
            ]),
            sizes: random.weighted(&[(12, Sizes::Small), (7, Sizes::Window), (1, Sizes::Large)]),
            latency: random.percent(60),
            agent_dials: random.percent(30),
            hostile: random.percent(8),
            resets: random.percent(30),
            drops: random.percent(40),
            slow_readers: random.percent(40),
            short_deadlines: random.percent(20),
            refusing_targets: random.percent(25),
            late_targets: random.percent(25),
            deaf_targets: random.percent(25),
            breaking_targets: random.percent(25),
            staying_targets: random.percent(25),
            partitions: fault(random),
            one_way: fault(random),
            holds: fault(random),
            cuts: fault(random),
            latency_changes: fault(random),
            crashes: fault(random),
            restarts: fault(random),
            replacements: fault(random),
            disconnects: fault(random),
            drains: fault(random),
            idle: random.percent(7),
            crawl: random.percent(2),
            many: random.percent(2).then_some(match world {
                World::Core => Many::OfOneTarget,
                World::Turmoil => Many::OfNames,
            }),
            unauthenticated: false,
            impostors: false,
        };
        if swarm.crawl && random.percent(75) {
            // So much that the queues of a slow link fill.
            swarm.sizes = Sizes::Large;
        }
        // The last throws, so that what was drawn before them is as it was. A handshake on a link that
        // crawls takes longer than one may.
        if world == World::Turmoil && !swarm.crawl {
            swarm.unauthenticated = random.percent(4);
            swarm.impostors = random.percent(2);
        }
        swarm
    }
}
