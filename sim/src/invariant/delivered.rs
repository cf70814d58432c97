//! Bytes that precede a reset, or the end of a session, are delivered.

use super::When;
use crate::observed::{Observed, StreamEnd, StreamRecord};

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.streams.iter().filter(|record| record.honest).try_for_each(check_stream)
}

fn check_stream(record: &StreamRecord) -> Result<(), String> {
    let ends = [("from", Some(&record.near)), ("to", record.far.as_ref())];
    for (direction, end) in ends {
        if let Some((read, owed)) = end.and_then(lost) {
            let stream = record.stream;
            return Err(format!(
                "{stream} {direction} its target: {read} bytes read, {owed} were there"
            ));
        }
    }
    Ok(())
}

/// The bytes read, and the bytes that should have been.
fn lost(end: &StreamEnd) -> Option<(u64, u64)> {
    let owed = end.owed.filter(|owed| end.read < *owed)?;
    Some((end.read, owed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, stream};

    fn end(read: u64, owed: Option<u64>) -> StreamEnd {
        StreamEnd { read, owed, ..StreamEnd::default() }
    }

    #[test]
    fn what_was_there_is_read_in_both_directions() {
        for when in ALWAYS {
            for whole in [end(9, None), end(10, Some(10))] {
                let both = stream(|record| {
                    (record.near, record.far) = (whole.clone(), Some(whole.clone()));
                });
                assert_eq!(check(when, &both), Ok(()));
            }
            let near = stream(|record| record.near = end(9, Some(10)));
            let what = "s1 from its target: 9 bytes read, 10 were there";
            assert_eq!(check(when, &near), Err(what.into()));
            let far = stream(|record| record.far = Some(end(9, Some(10))));
            let what = "s1 to its target: 9 bytes read, 10 were there";
            assert_eq!(check(when, &far), Err(what.into()));
        }
    }

    #[test]
    fn an_end_that_lies_loses_what_it_likes() {
        let lies = stream(|record| {
            (record.honest, record.near) = (false, end(0, Some(1)));
        });
        assert_eq!(check(When::Ended, &lies), Ok(()));
    }
}
