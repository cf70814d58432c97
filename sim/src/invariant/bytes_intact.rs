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

/// What was read is a prefix of what was written (the bytes themselves are compared as they are
/// read), and all of it where the end was clean.
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
