//! How often a run notes how far it is.

use std::time::Duration;

use super::results::Sample;

/// The least time between two samples: blocks are done all at once, and less would show only them.
const LEAST: Duration = Duration::from_secs(1);

/// Beyond this many samples every other one is dropped: a plot needs no more.
const MOST: u32 = 400;

/// The time between two samples, so long that they are few, and the same all along.
#[derive(Debug)]
pub(super) struct Pace(Duration);

impl Pace {
    /// That of a run which has taken so long already.
    pub(super) fn after(took: Duration) -> Self {
        let mut pace = LEAST;
        while took > pace * MOST {
            pace *= 2;
        }
        Self(pace)
    }

    /// Notes how far a run is, if it is time to.
    pub(super) fn note(&mut self, samples: &mut Vec<Sample>, sample: Sample) {
        let last = samples.last().map_or(Duration::ZERO, |last| last.at);
        if sample.at < last + self.0 {
            return;
        }
        samples.push(sample);
        if samples.len() > MOST as usize {
            // The one that stays is the later one of two: the run itself is the first.
            let mut keep = true;
            samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.0 *= 2;
        }
    }

    /// Notes the progress of a run at its end, unless it was noted just before.
    pub(super) fn note_end(&self, samples: &mut Vec<Sample>, sample: Sample) {
        samples.pop_if(|last| sample.at < last.at + self.0 / 2);
        samples.push(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Duration) -> Sample {
        Sample { at, schedules: u64::try_from(at.as_millis()).unwrap() }
    }

    /// The times between the samples of a run that takes so long, after it has taken `before`.
    fn gaps(pace: &mut Pace, samples: &mut Vec<Sample>, range: std::ops::Range<u64>) -> Vec<u64> {
        let times = range.step_by(10).map(Duration::from_millis);
        times.clone().for_each(|at| pace.note(samples, sample(at)));
        times.last().into_iter().for_each(|at| pace.note_end(samples, sample(at)));
        let ends = samples.iter().map(|sample| sample.schedules);
        let starts = [0].into_iter().chain(ends.clone());
        ends.zip(starts).map(|(end, start)| end - start).collect()
    }

    #[test]
    fn samples_are_few_and_evenly_apart() {
        for seconds in [0, 1, 5, 399, 400, 401, 4000, 100_000] {
            let (mut samples, end) = (Vec::new(), seconds * 1000 + 20);
            let gaps = gaps(&mut Pace::after(Duration::ZERO), &mut samples, 0..end);
            assert!(
                !gaps.is_empty() && gaps.len() <= MOST as usize + 1,
                "{seconds} s: {}",
                gaps.len()
            );
            let [all @ .., last] = gaps.as_slice() else { panic!("no sample of {seconds} s") };
            assert!(all.iter().all(|gap| Some(gap) == all.first()), "{seconds} s: {all:?}");
            let pace = all.first().copied().unwrap_or(u64::MAX);
            assert!(*last <= pace.saturating_mul(2), "{seconds} s: {last}");
        }
    }

    #[test]
    fn a_run_that_goes_on_keeps_its_pace() {
        let mut samples = Vec::new();
        gaps(&mut Pace::after(Duration::ZERO), &mut samples, 0..1_000_000);
        let before = samples.len();
        let again = Duration::from_secs(1000);
        let gaps = gaps(&mut Pace::after(again), &mut samples, 1_000_000..1_100_000);
        assert!(samples.len() > before && gaps.iter().all(|gap| *gap >= 1000), "{gaps:?}");
    }
}
