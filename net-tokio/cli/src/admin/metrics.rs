//! The recorder behind the `metrics` facade, rendered on demand.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

const ROUND_TRIP: &str = "watertight_round_trip_seconds";

/// From a loopback to the other side of the world and a satellite.
const ROUND_TRIP_BUCKETS: [f64; 11] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// How often recorded values are taken into their buckets. Until then each one is kept.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Metrics(PrometheusHandle);

/// A process has one recorder.
static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

impl Metrics {
    /// Installs the recorder, unless it is installed already.
    pub(super) fn install() -> Result<Self, Failure> {
        if let Some(handle) = INSTALLED.get() {
            return Ok(Self(handle.clone()));
        }
        let handle = install()
            .map_err(|error| Failure::start(format_args!("cannot record metrics: {error}")))?;
        watertight::metrics::describe();
        Ok(Self(INSTALLED.get_or_init(|| handle).clone()))
    }

    pub(super) fn render(&self) -> String {
        self.0.render()
    }
}

fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(ROUND_TRIP.into()), &ROUND_TRIP_BUCKETS)?
        .install_recorder()
}

/// Takes recorded values into their buckets until `stop`, whether anybody asks for them or not.
pub(super) async fn keep_up(metrics: Metrics, stop: CancellationToken) {
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = interval.tick() => metrics.0.run_upkeep(),
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
