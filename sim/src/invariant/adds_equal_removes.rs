use super::{When, each_host};
use crate::observed::{Observed, Tally};

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let connections = &books.connections;
        let connections = Tally {
            added: connections.added,
            removed: connections.removed.total(),
            live: connections.live,
        };
        let kinds =
            [("connections", connections), ("sessions", books.sessions), ("routes", books.routes)];
        for (kind, tally) in kinds {
            balanced(kind, tally)?;
            // A session that is up is no leak until its host is gone, and so are its routes.
            let may_live = match when {
                When::Running => true,
                When::Quiet => kind != "connections",
                When::Over => false,
            };
            if tally.live > 0 && !may_live {
                return Err(format!("{} {kind} were never removed", tally.live));
            }
        }
        Ok(())
    })
}

fn balanced(kind: &str, Tally { added, removed, live }: Tally) -> Result<(), String> {
    if added == removed + live {
        return Ok(());
    }
    Err(format!("{added} {kind} added, {removed} removed, {live} live"))
}
