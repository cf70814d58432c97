//! The report of runs: rates, lengths, actions, situations and seeded bugs.

use std::time::Duration;

use maud::{Markup, PreEscaped, html};
use watertight_sim::Situation;
use watertight_sim::campaign::{Results, Sample};
use watertight_sim::schedule::Action;

use super::page::{Bar, bars, curve, fact, grouped, histogram, page as framed};
use crate::seeded_bugs::Caught;

/// A page for runs, and the table of the seeded bugs.
pub(super) fn page(results: &[Results], seeded_bugs: &[Caught]) -> Markup {
    let body = html! {
        @for results in results { (run(results)) }
        @if !seeded_bugs.is_empty() { (table_of_seeded_bugs(seeded_bugs)) }
    };
    framed("watertight-sim: what was run", &body)
}

fn run(results: &Results) -> Markup {
    let (plan, tally) = (&results.plan, &results.tally);
    html! {
        h2 { "The " (plan.world) " world" }
        div.facts {
            (fact("schedules", &grouped(tally.schedules)))
            (fact("a second", &format!("{:.0}", results.rate())))
            (fact("threads", &results.threads.to_string()))
            (fact("virtual hours", &grouped(tally.virtual_time.as_secs() / 3600)))
            (fact("first seed", &plan.first_seed.to_string()))
            (fact("violations", &results.failures.len().to_string()))
        }
        @if !results.complete { p.bad { "not complete" } }
        (failures(results))
        @if results.samples.len() > 1 {
            h2 { "Rate" }
            (figure(curve(&rates(results))))
        }
        h2 { "What happened" }
        (bars(["action", "times", "a schedule"], &actions(results)))
        h2 { "How long schedules are" }
        (figure(histogram(&lengths(results))))
        h2 { "Reached reached" }
        (bars(["situation", "schedules", "first seed"], &situations(results)))
    }
}

fn failures(results: &Results) -> Markup {
    html! {
        @if !results.failures.is_empty() {
            h2.bad { "Violations" }
            table {
                @for failure in &results.failures {
                    tr { td.number { (failure.seed) } td { (failure.violation) } }
                }
            }
        }
    }
}

/// A plot that cannot be drawn is replaced by the reason.
fn figure(svg: Result<String, Box<dyn std::error::Error>>) -> Markup {
    match svg {
        Ok(svg) => html! { figure { (PreEscaped(svg)) } },
        Err(error) => html! { p.bad { (error) } },
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate to be drawn")]
fn rates(results: &Results) -> Vec<(f64, f64)> {
    let start = Sample { at: Duration::ZERO, schedules: 0 };
    let before = [start].into_iter().chain(results.samples.iter().copied());
    let rate = |(before, after): (Sample, &Sample)| {
        let seconds = (after.at.saturating_sub(before.at)).as_secs_f64();
        let schedules = after.schedules.saturating_sub(before.schedules) as f64;
        (after.at.as_secs_f64(), schedules / seconds.max(f64::EPSILON))
    };
    before.zip(&results.samples).map(rate).collect()
}

fn lengths(results: &Results) -> Vec<(u32, u32)> {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let lengths = &results.tally.lengths;
    lengths.iter().map(|(length, count)| (small(*length as u64), small(*count))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a mean to be shown")]
fn actions(results: &Results) -> Vec<Bar> {
    let tally = &results.tally;
    let bar = |name: &'static str| {
        let count = tally.actions.get(name).copied().unwrap_or(0);
        let mean = count as f64 / (tally.schedules.max(1)) as f64;
        Bar { name: name.replace('_', " "), count, note: format!("{mean:.3}") }
    };
    Action::NAMES.into_iter().map(bar).collect()
}

fn situations(results: &Results) -> Vec<Bar> {
    let bar = |situation: Situation| {
        let reached = results.tally.situations.get(&situation);
        let count = reached.map_or(0, |reached| reached.schedules);
        let note = reached.map_or_else(|| "never".into(), |reached| reached.first_seed.to_string());
        Bar { name: situation.to_string(), count, note }
    };
    let mut all: Vec<_> = Situation::of(results.plan.world).map(bar).collect();
    all.sort_by_key(|bar| std::cmp::Reverse(bar.count));
    all
}

fn table_of_seeded_bugs(seeded_bugs: &[Caught]) -> Markup {
    let bar = |caught: &Caught| Bar {
        name: format!("{} {}: {}", caught.row, caught.name, caught.what),
        count: caught.schedules.unwrap_or(0),
        note: match caught.invariant {
            Some(invariant) if caught.is_proof() => invariant.to_string(),
            Some(invariant) => format!("{invariant}, but the right tunnel fails, too"),
            None => "not caught".into(),
        },
    };
    html! {
        h2 { "Seeded bugs: schedules it took to catch each" }
        (bars(["seeded bug", "schedules", "caught by"], &seeded_bugs.iter().map(bar).collect::<Vec<_>>()))
    }
}
