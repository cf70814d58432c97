//! The actions of all actors, merged by time.

use crate::schedule::{Action, Step};

/// What the actors do, each in its own order, before it is put into one.
#[derive(Default)]
pub(super) struct Timeline(Vec<(u32, Action)>);

impl Timeline {
    /// Something that happens at so many milliseconds.
    pub(super) fn at(&mut self, at: u32, action: Action) {
        self.0.push((at, action));
    }

    /// In the order of their times; at the same time in the order in which they were made, so that
    /// what one actor does stays in its order.
    pub(super) fn into_steps(mut self) -> Vec<Step> {
        self.0.sort_by_key(|(at, _)| *at);
        let mut now = 0;
        let step = |(at, action)| {
            let after = at - now;
            now = at;
            Step { after, action }
        };
        self.0.into_iter().map(step).collect()
    }
}
