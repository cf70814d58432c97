//! Records by way of the `metrics` facade.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// The value of a label.
pub(super) use metrics::SharedString as Text;

/// Adds to a counter.
pub(super) fn count(name: &'static str, by: u64) {
    counter!(name).increment(by);
}

/// Adds to the counter with this label.
pub(super) fn count_labelled(
    name: &'static str,
    label: &'static str,
    value: impl Into<Text>,
    by: u64,
) {
    counter!(name, label => value.into()).increment(by);
}

/// Adds to a gauge.
pub(super) fn add(name: &'static str, by: f64) {
    gauge!(name).increment(by);
}

/// Adds to a distribution of times.
pub(super) fn observe(name: &'static str, time: Duration) {
    histogram!(name).record(time);
}
