//! The results of a comparison, kept as JSON so that they can be drawn again.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::contender::Contender;
use crate::load::{Load, Measured, Metric, Trouble};

/// All samples of a comparison.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) cores: usize,
    pub(crate) samples: Vec<Sample>,
}

/// A contender under a load, once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) contender: Contender,
    pub(crate) load: Load,
    pub(crate) outcome: std::result::Result<Measured, Trouble>,
}

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// Of the rounds' ratios to the hops.
    pub(crate) ratio: Option<f64>,
}

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        // A line a sample, so that a difference can be read.
        let mut text = serde_json::to_string(self)?.replace("{\"round\"", "\n{\"round\"");
        text.push('\n');
        Ok(std::fs::write(path, text)?)
    }

    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let has = |contender: &Contender| self.samples.iter().any(|s| s.contender == *contender);
        Contender::ALL.into_iter().filter(has).collect()
    }

    /// Loads and their metrics, in the order of the table.
    pub(crate) fn rows(&self) -> Vec<(Load, Metric)> {
        let mut rows = Vec::new();
        let measured = self.samples.iter().filter_map(|s| Some((s.load, s.outcome.as_ref().ok()?)));
        for (load, measured) in measured {
            rows.extend(measured.iter().map(|(metric, _)| (load, *metric)));
        }
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// None if no round has it.
    pub(crate) fn figure(&self, who: Contender, load: Load, metric: Metric) -> Option<Figure> {
        let value = |round| self.value(round, who, load, metric);
        let mut values: Vec<f64> = (0..self.rounds).filter_map(value).collect();
        let median = median(&mut values)?;
        let ratio = |round| {
            let hops = self.value(round, Contender::Hops, load, metric)?;
            Some(value(round)? / hops).filter(|ratio| ratio.is_finite())
        };
        let mut ratios: Vec<f64> = (0..self.rounds).filter_map(ratio).collect();
        let [least, most] = [*values.first()?, *values.last()?];
        Some(Figure { median, least, most, ratio: self::median(&mut ratios) })
    }

    fn value(&self, round: usize, who: Contender, load: Load, metric: Metric) -> Option<f64> {
        self.of(who, load)
            .filter(|sample| sample.round == round)
            .filter_map(|sample| sample.outcome.as_ref().ok())
            .find_map(|measured| measured.iter().find(|(of, _)| *of == metric))
            .map(|(_, value)| *value)
    }

    /// What went wrong most often.
    pub(crate) fn trouble(&self, who: Contender, load: Load) -> Option<&Trouble> {
        let mut troubles: Vec<_> =
            self.of(who, load).filter_map(|sample| sample.outcome.as_ref().err()).collect();
        troubles.sort();
        troubles.get(troubles.len() / 2).copied()
    }

    /// In how many rounds something went wrong, and of how many.
    pub(crate) fn troubled(&self, who: Contender, load: Load) -> (usize, usize) {
        let troubled = self.of(who, load).filter(|sample| sample.outcome.is_err()).count();
        (troubled, self.of(who, load).count())
    }

    fn of(&self, who: Contender, load: Load) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.contender == who && sample.load == load)
    }
}

/// Sorts them.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) =
        (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}
