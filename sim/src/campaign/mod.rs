//! Many schedules: which seeds, on how many threads, what came of them.
//!
//! Seeds are handed out in blocks. A shard takes every n-th block, so that shards are disjoint and
//! together are the whole; a run that is interrupted knows which blocks are done.

mod pace;
mod plan;
mod results;
mod workers;

pub use plan::{BLOCK, Plan, Shard, ShardError};
pub use results::{FailedSchedule, MergeError, Results, Sample};
pub use results::{Reached, Tally};
pub use workers::{Play, Progress, run};
