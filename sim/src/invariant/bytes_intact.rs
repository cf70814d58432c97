//! Bytes arrive unchanged and in order, on their own stream, and all of them before a clean end.

use super::When;
use crate::observed::{Observed, StreamEnd, StreamRecord};

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    if let Some(contradiction) = observed.contradictions.first() {
        return Err(contradiction.clone());
    }
    observed.streams.iter().filter(|record| record.honest).try_for_each(check_stream)
}

/// Whether what the two ends of a stream have seen can be so.
pub(crate) fn fits(record: &StreamRecord) -> bool {
    check_stream(record).is_ok()
}

fn check_stream(record: &StreamRecord) -> Result<(), String> {
    let nobody = StreamEnd::default();
    let far = record.far.as_ref().unwrap_or(&nobody);
    check_way(&record.near, far)
        .map_err(|what| format!("{} to its target: {what}", record.stream))?;
    check_way(far, &record.near)
        .map_err(|what| format!("{} from its target: {what}", record.stream))
}

/// The bytes read are a prefix of the bytes written (the bytes themselves are compared as they are read), and
/// all of them where the end was clean.
fn check_way(from: &StreamEnd, to: &StreamEnd) -> Result<(), String> {
    if to.read > from.written {
        return Err(format!("{} bytes read, {} written", to.read, from.written));
    }
    if to.eof && !from.finished {
        return Err("an end of file that nobody sent".into());
    }
    if to.eof && to.read < from.written {
        return Err(format!("an end of file after {} bytes of {}", to.read, from.written));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, stream};

    fn end(written: u64, read: u64, finished: bool, eof: bool) -> StreamEnd {
        StreamEnd { written, read, finished, eof, ..StreamEnd::default() }
    }

    fn ends(near: StreamEnd, far: StreamEnd) -> Observed {
        stream(|record| (record.near, record.far) = (near, Some(far)))
    }

    #[test]
    fn a_prefix_is_legal_and_a_clean_end_has_everything() {
        let legal = [
            (end(10, 0, false, false), end(0, 10, false, false)),
            (end(10, 0, true, false), end(0, 9, false, false)),
            (end(10, 0, true, false), end(0, 10, false, true)),
        ];
        let illegal = [
            (end(10, 0, false, false), end(0, 11, false, false), "11 bytes read, 10 written"),
            (end(10, 0, false, false), end(0, 10, false, true), "an end of file that nobody sent"),
            (end(10, 0, true, false), end(0, 9, false, true), "an end of file after 9 bytes of 10"),
        ];
        for when in ALWAYS {
            for (from, to) in &legal {
                assert_eq!(check(when, &ends(from.clone(), to.clone())), Ok(()));
                assert_eq!(check(when, &ends(to.clone(), from.clone())), Ok(()));
            }
            for (from, to, what) in &illegal {
                let there = check(when, &ends(from.clone(), to.clone()));
                assert_eq!(there, Err(format!("s1 to its target: {what}")));
                let back = check(when, &ends(to.clone(), from.clone()));
                assert_eq!(back, Err(format!("s1 from its target: {what}")));
            }
        }
    }

    #[test]
    fn where_no_target_was_reached_nothing_can_be_read() {
        let waits = stream(|record| record.near = end(10, 0, true, false));
        assert_eq!(check(When::Ended, &waits), Ok(()));
        let reads = stream(|record| record.near = end(10, 1, true, false));
        assert!(check(When::Ended, &reads).is_err());
    }

    #[test]
    fn ends_that_lie_may_contradict_each_other_but_not_the_account_of_the_world() {
        let mut lies = ends(end(1, 0, false, false), end(0, 2, false, false));
        lies.streams.iter_mut().for_each(|record| record.honest = false);
        assert_eq!(check(When::Running, &lies), Ok(()));
        lies.contradictions.push("a byte of another stream".into());
        assert_eq!(check(When::Running, &lies), Err("a byte of another stream".into()));
    }
}
