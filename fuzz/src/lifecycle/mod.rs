//! Every interleaving of two sessions, two applications and a transport, within bounds.
//!
//! Two real [`Session`](watertight_core::Session)s are joined by two queues. What can happen next is
//! a step: an application does something, the transport takes a message or delivers one or ends,
//! time passes until the next deadline, an end notices its deadline. The search is breadth-first
//! over whole states (sessions, what the applications know, what is on its way, the time), and
//! equal ones are merged by fingerprints of 64 bits.
//!
//! Checked are
//!
//! - of every end (`invariants`): its books, its blame, that commands on what is gone do nothing,
//!   and that it holds nothing once its transport has ended and its handles are given back;
//! - of every state: deadlines, bytes, credit, and that with nothing on its way no connection has
//!   only one end;
//! - of every state of the first levels and of a part of the others (`settle`): that nobody hangs
//!   when both applications go on, and that nothing is left when they let go.
//!
//! A panic anywhere is an invariant that does not hold. Four things keep the states few and leave
//! out nothing that an invariant can tell:
//!
//! - Applications see their events at once, because they may act at any time later.
//! - Time passes only to the next deadline, and not past one that was not noticed.
//! - What an application does after the end of its session comes before anything else: nobody else
//!   notices it.
//! - An end at rest counts as every other one that has sent the same.

mod action;
mod app;
mod bounds;
mod end;
mod ends;
mod expected;
mod get_on;
mod invariants;
mod panics;
mod path;
mod pipe;
mod print;
mod report;
mod search;
mod settle;
mod shards;
mod side;
mod situations;
mod state;

pub use bounds::Bounds;
pub use expected::missing;
pub use report::{Broken, Progress, Report};
pub use search::explore;
