//! No dial outlives its deadline.

use std::time::Duration;

use super::When;
use crate::observed::{DialOutcome, Observed, StreamRecord};

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    for record in &observed.streams {
        let pending = record.dial == DialOutcome::Pending;
        let until = if pending { Some(observed.now) } else { record.settled };
        if let Some(late) = until.and_then(|until| late(record, until)) {
            return Err(format!("the dial of {} is late by {late:?}", record.stream));
        }
    }
    Ok(())
}

fn late(record: &StreamRecord, until: Duration) -> Option<Duration> {
    until.checked_sub(record.deadline).filter(|late| !late.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, stream};

    fn at(millis: u64, outcome: DialOutcome, settled: Option<u64>) -> Observed {
        let observed = stream(|record| {
            record.dial = outcome;
            record.settled = settled.map(Duration::from_millis);
        });
        Observed { now: Duration::from_millis(millis), ..observed }
    }

    #[test]
    fn a_dial_has_an_answer_when_its_time_is_up() {
        for when in ALWAYS {
            assert_eq!(check(when, &at(100, DialOutcome::Pending, None)), Ok(()));
            let late = check(when, &at(101, DialOutcome::Pending, None));
            assert_eq!(late, Err("the dial of s1 is late by 1ms".into()));
            for answer in
                [DialOutcome::Opened, DialOutcome::Failed("no".into()), DialOutcome::GivenUp]
            {
                assert_eq!(check(when, &at(150, answer, Some(100))), Ok(()));
            }
        }
    }

    #[test]
    fn an_answer_that_came_too_late_is_late_for_ever() {
        for when in ALWAYS {
            let late = check(when, &at(150, DialOutcome::Opened, Some(101)));
            assert_eq!(late, Err("the dial of s1 is late by 1ms".into()));
        }
    }
}
