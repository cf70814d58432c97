//! Generated conversations, shrunk where they differ.

use std::cell::Cell;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use crate::conversation::Conversation;
use crate::examine::{Difference, Effort, examine};
use crate::generate::conversation;
use crate::report::Report;
use crate::world::World;
use crate::{print, runtime, setting};

/// Threads that generate. Conversations mostly wait, so that more of them than processors are
/// needed.
const THREADS: u64 = 8;

const EFFORT: Effort = Effort { direct: 4, runs: 1, most_direct: 200, shrinking: false };

/// A race does not show in each run.
const SHRINKING: Effort = Effort { direct: 8, runs: 24, most_direct: 120, shrinking: true };

/// How long a failure is shrunk for.
const SHRINKS: Duration = Duration::from_secs(60);

/// Cases after which a thread looks at the clock.
const BATCH: u32 = 20;

/// How long conversations are made up.
#[derive(Clone, Copy)]
enum Dose {
    Cases(u32),
    Time(Duration),
}

struct Campaign<'a> {
    world: &'a World,
    handle: Handle,
    report: Report,
    dose: Dose,
    started: Instant,
    found: Mutex<Vec<String>>,
}

impl Campaign<'_> {
    fn examine(
        &self,
        conversation: &Conversation,
        route: Option<&str>,
        effort: Effort,
    ) -> Vec<Difference> {
        let wanted = |name: &str| route.is_none_or(|route| route == name);
        let routes: Vec<_> = self.world.routes.iter().filter(|route| wanted(route.name)).collect();
        self.handle.block_on(examine(self.world, &routes, conversation, effort, &self.report))
    }

    fn is_over(&self) -> bool {
        match self.dose {
            Dose::Cases(_) => false,
            Dose::Time(time) => self.started.elapsed() >= time,
        }
    }

    /// One thread's part. It ends with the first difference.
    fn run(&self, seed: &str) {
        match self.dose {
            Dose::Cases(cases) => drop(self.has_found(seed, cases)),
            Dose::Time(_) => {
                let mut batches = 0..;
                while !self.is_over()
                    && batches
                        .next()
                        .is_some_and(|n: u64| !self.has_found(&format!("{seed} {n}"), BATCH))
                {
                }
            }
        }
    }

    /// Plays so many cases. Whether one of them differs.
    fn has_found(&self, seed: &str, cases: u32) -> bool {
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 4096,
            ..Config::default()
        };
        let seed = Sha256::digest(seed);
        let mut runner =
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        // Once there is a difference: its route, and when it was found.
        let failed = Cell::new(None::<(&str, Instant)>);
        let last = Cell::new(None);
        let result = runner.run(&conversation(), |conversation| {
            let found = match failed.get() {
                None if self.is_over() => return Ok(()),
                None => {
                    self.report.examined();
                    self.examine(&conversation, None, EFFORT)
                }
                Some((_, since)) if since.elapsed() > SHRINKS => return Ok(()),
                Some((route, _)) => self.examine(&conversation, Some(route), SHRINKING),
            };
            let Some(difference) = found.into_iter().next() else { return Ok(()) };
            failed.set(failed.get().or(Some((difference.route, Instant::now()))));
            let text = difference.to_string();
            last.set(Some(text.clone()));
            Err(TestCaseError::fail(text))
        });
        match result {
            Ok(()) => false,
            Err(TestError::Fail(..)) => {
                self.found.lock().unwrap().extend(last.take());
                true
            }
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    }
}

fn generated(seed: &str, dose: Dose, with_go: bool) {
    let runtime = runtime();
    let world = runtime.block_on(World::start(with_go));
    let campaign = Campaign {
        world: &world,
        handle: runtime.handle().clone(),
        report: Report::new(),
        dose,
        started: Instant::now(),
        found: Mutex::default(),
    };
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (campaign, seed) = (&campaign, format!("{seed} {number}"));
            scope.spawn(move || campaign.run(&seed));
        }
    });
    let found = campaign.found.lock().unwrap().clone();
    runtime.block_on(async {
        if found.is_empty() {
            world.is_quiet(&campaign.report).await;
        }
    });
    print(format_args!("seed {seed}: {}", campaign.report));
    runtime.block_on(world.end());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// The same conversations each time.
#[test]
fn generated_conversations_are_the_same_everywhere() {
    generated("small dose", Dose::Cases(40), false);
}

#[test]
#[ignore = "needs Go, and as long as DIFFERENTIAL_TIME says"]
fn many_generated_conversations_are_the_same_everywhere() {
    let seconds = setting("DIFFERENTIAL_TIME").map_or(60, |seconds| seconds.parse().unwrap());
    let seed = setting("DIFFERENTIAL_SEED").unwrap_or_else(|| "large dose".to_string());
    generated(&seed, Dose::Time(Duration::from_secs(seconds)), true);
}
