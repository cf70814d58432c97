use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let (held, bounds) = (&books.connections, &books.bounds);
        let quantities = [
            ("connections", held.live, bounds.connections),
            ("bytes to send", held.bytes_to_send, bounds.bytes_to_send),
            ("bytes received", held.bytes_received, bounds.bytes_received),
            ("control messages", held.queued_control, bounds.queued_control),
        ];
        for (what, held, bound) in quantities {
            if held > bound {
                return Err(format!("{held} {what} held, at most {bound} allowed"));
            }
        }
        Ok(())
    })?;
    let (heap, bound) = (observed.heap, observed.heap_bound);
    if when == When::Running && heap > bound {
        return Err(format!("{heap} bytes of heap held, at most {bound} allowed"));
    }
    Ok(())
}
