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
