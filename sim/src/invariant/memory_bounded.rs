//! Heap usage stays under the bound that follows from the limits.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let (held, bounds) = (&ledger.connections, &ledger.bounds);
        let quantities = [
            ("connections", held.live, bounds.connections),
            ("bytes to send", held.bytes_to_send, bounds.bytes_to_send),
            ("bytes received", held.bytes_received, bounds.bytes_received),
            ("control messages", held.queued_control, bounds.queued_control),
            ("sockets without a session", ledger.kept.handshakes, bounds.handshakes),
            ("sockets", ledger.sockets, bounds.sockets),
        ];
        for (what, held, bound) in quantities {
            if held > bound {
                return Err(format!("{held} {what} held, at most {bound} allowed"));
            }
        }
        Ok(())
    })?;
    let (heap, bound) = (observed.heap.max(observed.heap_peak), observed.heap_bound);
    if when == When::Running && heap > bound {
        return Err(format!("{heap} bytes of heap held, at most {bound} allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, host};
    use crate::observed::Bounds;

    /// As much as the bounds allow, and one more of one of them.
    fn holds(more: [u64; 6]) -> Observed {
        host(|ledger| {
            ledger.bounds = Bounds {
                connections: 1,
                bytes_to_send: 2,
                bytes_received: 3,
                queued_control: 4,
                handshakes: 5,
                sockets: 6,
            };
            let [connections, to_send, received, control, handshakes, sockets] = more;
            ledger.connections.live = 1 + connections;
            ledger.connections.bytes_to_send = 2 + to_send;
            ledger.connections.bytes_received = 3 + received;
            ledger.connections.queued_control = 4 + control;
            ledger.kept.handshakes = 5 + handshakes;
            ledger.sockets = 6 + sockets;
        })
    }

    #[test]
    fn each_quantity_has_its_bound() {
        let beyond = [
            ([1, 0, 0, 0, 0, 0], "agent0: 2 connections held, at most 1 allowed"),
            ([0, 1, 0, 0, 0, 0], "agent0: 3 bytes to send held, at most 2 allowed"),
            ([0, 0, 1, 0, 0, 0], "agent0: 4 bytes received held, at most 3 allowed"),
            ([0, 0, 0, 1, 0, 0], "agent0: 5 control messages held, at most 4 allowed"),
            ([0, 0, 0, 0, 1, 0], "agent0: 6 sockets without a session held, at most 5 allowed"),
            ([0, 0, 0, 0, 0, 1], "agent0: 7 sockets held, at most 6 allowed"),
        ];
        for when in ALWAYS {
            assert_eq!(check(when, &holds([0; 6])), Ok(()));
            for (more, what) in beyond {
                assert_eq!(check(when, &holds(more)), Err(what.into()));
            }
        }
    }

    #[test]
    fn the_heap_has_its_bound_while_the_world_runs() {
        let heap = |heap| Observed { heap, heap_bound: 10, ..Observed::default() };
        assert_eq!(check(When::Running, &heap(10)), Ok(()));
        let what = "11 bytes of heap held, at most 10 allowed";
        assert_eq!(check(When::Running, &heap(11)), Err(what.into()));
    }

    #[test]
    fn a_peak_counts_though_it_has_passed() {
        let observed =
            Observed { heap: 10, heap_peak: 101, heap_bound: 100, ..Observed::default() };
        assert!(check(When::Running, &observed).is_err());
        assert_eq!(check(When::Running, &Observed { heap_peak: 100, ..observed }), Ok(()));
    }
}
