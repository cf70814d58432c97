use super::When;
use crate::observed::{DialOutcome, Observed};

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    for record in &observed.streams {
        if record.dial == DialOutcome::Pending && observed.now > record.deadline {
            let late = observed.now - record.deadline;
            return Err(format!("the dial of {} is late by {late:?}", record.stream));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::invariant::fixture::{ALWAYS, stream};

    #[test]
    fn a_dial_has_an_answer_when_its_time_is_up() {
        let at = |millis, outcome: DialOutcome| {
            let observed = stream(|record| record.dial = outcome);
            Observed { now: Duration::from_millis(millis), ..observed }
        };
        for when in ALWAYS {
            assert_eq!(check(when, &at(100, DialOutcome::Pending)), Ok(()));
            let late = check(when, &at(101, DialOutcome::Pending));
            assert_eq!(late, Err("the dial of s1 is late by 1ms".into()));
            for answer in
                [DialOutcome::Opened, DialOutcome::Failed("no".into()), DialOutcome::GivenUp]
            {
                assert_eq!(check(when, &at(101, answer)), Ok(()));
            }
        }
    }
}
