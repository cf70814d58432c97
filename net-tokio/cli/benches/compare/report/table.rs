//! The results as Markdown tables, with ratios to the hops.

use std::fmt::Write;

use crate::comparison::ROUNDS_OF_MEMORY;
use crate::contender::Contender;
use crate::load::{Direction, Load, Metric, Trouble};
use crate::results::{Figure, Results};

/// A row for each figure, a column for each contender.
pub(super) fn whole(results: &Results) -> String {
    let mut text = format!(
        "Medians of {} rounds (memory: {} at most) of {:?} each on {} cores; ± half of the spread \
         between the rounds; × the ratio to the hops, in the same round.\n\n",
        results.rounds, ROUNDS_OF_MEMORY, results.window, results.cores
    );
    text.push_str(&table(results, &results.rows(), true));
    text
}

/// The most important columns.
pub(super) fn short(results: &Results) -> String {
    let rows: Vec<_> =
        results.rows().into_iter().filter(|(load, metric)| is_main(*load, *metric)).collect();
    table(results, &rows, false)
}

fn is_main(load: Load, metric: Metric) -> bool {
    match (load, metric) {
        (Load::Bulk { direction: Direction::Down, connections: 1 }, Metric::Rate | Metric::Cpu) => {
            true
        }
        (Load::Bulk { connections, .. }, Metric::Rate) => connections < 100,
        (Load::Requests { connections: 1, .. }, metric) => metric == Metric::P50,
        (Load::Requests { .. } | Load::Opens, Metric::PerSecond) => true,
        (Load::Beside(_), Metric::P99) => true,
        (Load::Idle { connections: 1000 }, Metric::OpenNear | Metric::OpenFar) => true,
        (Load::SlowReader | Load::HalfClose, _) => true,
        _ => false,
    }
}

fn table(results: &Results, rows: &[(Load, Metric)], spreads: bool) -> String {
    let contenders = results.contenders();
    let mut text = "| what |".to_string();
    for contender in &contenders {
        write!(text, " {contender} |").ok();
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(contenders.len()));
    for &(load, metric) in rows {
        write!(text, "\n| {load}: {metric} |").ok();
        for &contender in &contenders {
            write!(text, " {} |", cell(results, contender, load, metric, spreads)).ok();
        }
    }
    text.push('\n');
    text
}

fn cell(results: &Results, who: Contender, load: Load, metric: Metric, spreads: bool) -> String {
    let (troubled, of) = results.troubled(who, load);
    let Some(figure) = results.figure(who, load, metric) else {
        return match results.trouble(who, load) {
            Some(Trouble::Stuck) => "hangs".to_string(),
            Some(Trouble::Failed(_)) => "fails".to_string(),
            None => "–".to_string(),
        };
    };
    let mut text = match metric {
        Metric::Works => return if figure.median > 0.5 { "ok" } else { "lost" }.to_string(),
        _ => number(figure.median),
    };
    if spreads {
        text.push_str(&spread(figure));
    }
    if let Some(ratio) = figure.ratio.filter(|_| who != Contender::Hops) {
        write!(text, " ×{}", number(ratio)).ok();
    }
    if troubled > 0 {
        write!(text, " (trouble in {troubled} of {of})").ok();
    }
    text
}

fn spread(figure: Figure) -> String {
    let half = (figure.most - figure.least) / 2.0 / figure.median;
    if half.is_finite() && half > 0.0 { format!(" ±{:.0} %", half * 100.0) } else { String::new() }
}

/// With three digits that count.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}
