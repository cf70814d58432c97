//! Counts balance on every host: added = removed + live for connections, sessions and routes.

use super::{When, each_host};
use crate::observed::{Counts, Observed};

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let connections = &ledger.connections;
        let connections = Counts {
            added: connections.added,
            removed: connections.removed.total(),
            live: connections.live,
        };
        let kinds = [
            ("connections", connections),
            ("sessions", ledger.sessions),
            ("routes", ledger.routes),
        ];
        for (kind, tally) in kinds {
            balanced(kind, tally)?;
            // A session that is up is no leak until its host has shut down, and neither are its routes.
            let may_live = match when {
                When::Running => true,
                When::Quiet => kind != "connections",
                When::Ended => false,
            };
            if tally.live > 0 && !may_live {
                return Err(format!("{} {kind} were never removed", tally.live));
            }
        }
        Ok(())
    })
}

fn balanced(kind: &str, Counts { added, removed, live }: Counts) -> Result<(), String> {
    if added == removed + live {
        return Ok(());
    }
    Err(format!("{added} {kind} added, {removed} removed, {live} live"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostLedger;
    use crate::invariant::fixture::{ALWAYS, host, tally};

    type Choose = fn(&mut HostLedger) -> &mut Counts;
    const TALLIES: [Choose; 2] = [|ledger| &mut ledger.sessions, |ledger| &mut ledger.routes];

    #[test]
    fn what_was_added_and_is_neither_there_nor_removed_is_missed_at_any_time() {
        for when in ALWAYS {
            for of in TALLIES {
                let balanced = host(|ledger| *of(ledger) = tally(3, 3, 0));
                assert_eq!(check(when, &balanced), Ok(()));
                let lost = host(|ledger| *of(ledger) = tally(3, 2, 0));
                assert!(check(when, &lost).is_err(), "{when:?}");
                let doubled = host(|ledger| *of(ledger) = tally(3, 3, 1));
                assert!(check(when, &doubled).is_err(), "{when:?}");
            }
            let lost = host(|ledger| ledger.connections.added = 1);
            let what = "agent0: 1 connections added, 0 removed, 0 live";
            assert_eq!(check(when, &lost), Err(what.into()));
        }
    }

    #[test]
    fn what_lives_has_its_time() {
        let connection =
            host(|ledger| (ledger.connections.added, ledger.connections.live) = (1, 1));
        assert_eq!(check(When::Running, &connection), Ok(()));
        let leaked = "agent0: 1 connections were never removed";
        assert_eq!(check(When::Quiet, &connection), Err(leaked.into()));
        assert_eq!(check(When::Ended, &connection), Err(leaked.into()));
        for of in TALLIES {
            let lives = host(|ledger| *of(ledger) = tally(2, 1, 1));
            assert_eq!(check(When::Running, &lives), Ok(()));
            assert_eq!(check(When::Quiet, &lives), Ok(()));
            assert!(check(When::Ended, &lives).is_err());
        }
    }
}
