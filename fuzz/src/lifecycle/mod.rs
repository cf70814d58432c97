//! Every interleaving of two sessions, two applications and a transport, within bounds.
//!
//! Two real [`Session`](watertight_core::Session)s are joined by two queues. What can happen next is a step:
//! an application does something, the transport takes a message or delivers one or ends, time passes until
//! the next deadline, an end notices its deadline. The search is breadth-first over whole states (sessions,
//! the knowledge of the applications, the items in flight, the time), and equal ones are merged by
//! fingerprints of 64 bits.
//!
//! Checked are
//!
//! - of every end (`invariants`): its ledger, that neither end breaks a rule, that commands on a retired
//!   connection do nothing, and that it holds nothing once its transport has ended and its handles are given
//!   back;
//! - of every state: deadlines, bytes, credit, and that with nothing in flight no connection has only one
//!   end;
//! - of every state of the first levels and of a part of the others (`settle`): that nobody hangs when both
//!   applications continue, and that nothing is left when they release their handles.
//!
//! A panic anywhere is an invariant that does not hold. Four things keep the states few and leave out nothing
//! that an invariant can distinguish:
//!
//! - Applications see their events at once, because they may act at any time later.
//! - Time passes only to the next deadline, and not past one that was not noticed.
//! - What an application does after the end of its session comes before anything else: nobody else
//!   notices it.
//! - An end at rest counts as every other one that has sent the same.

mod action;
mod bounds;
mod ends;
mod expected;
mod invariants;
mod panics;
mod path;
mod pipe;
mod report;
mod search;
mod settle;
mod shards;
mod situations;
mod state;

pub use bounds::Bounds;
pub use expected::missing;
pub use report::{Broken, Progress, Report};
pub use search::explore;
