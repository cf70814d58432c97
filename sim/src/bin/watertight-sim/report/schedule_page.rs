//! A page for one schedule, with its sequence chart.

use std::collections::BTreeSet;

use maud::{Markup, html};
use watertight_sim::schedule::Host;
use watertight_sim::{Case, Moment, Outcome, Violation};

use super::page::{fact, page as framed};

/// A page for one schedule: its conditions, its outcome and its trace.
pub(super) fn page(case: &Case, outcome: &Outcome, moments: &[Moment]) -> Markup {
    let schedule = &case.schedule;
    let body = html! {
        @if !case.about.is_empty() { p { (case.about) } }
        div.facts {
            (fact("world", case.world.name()))
            (fact("seed", &schedule.seed.to_string()))
            (fact("steps", &schedule.steps.len().to_string()))
            (fact("virtual time", &format!("{:?}", outcome.virtual_time)))
        }
        @match &outcome.violation {
            Some(violation) => p.bad { (violation) },
            None => p { "All invariants hold." },
        }
        h2 { "The schedule" }
        table {
            @for agent in schedule.cast.agents.iter().zip(0..) {
                tr {
                    td { "agent" (agent.1) }
                    td {
                        (format!("{:?} on {:?}, at server{}", agent.0.kind, agent.0.transport, agent.0.home))
                    }
                }
            }
            @for step in &schedule.steps {
                tr { td.number { "+" (step.after) " ms" } td { (step.action) } }
            }
            tr { td {} td { "then: " (format!("{:?}", schedule.traffic_end)) } }
        }
        h2 { "What came of it" }
        div.scroll { (sequence(moments, outcome.violation.as_ref())) }
    };
    framed(&format!("watertight-sim: seed {} in the {} world", schedule.seed, case.world), &body)
}

const ROW: usize = 20;
const TOP: usize = 40;
/// Where the first host's line is; the times stand left of it.
const LEFT: usize = 160;
const COLUMN: usize = 300;
/// Longer texts are in the trace, which has no width.
const TEXT: usize = 150;
/// More rows than a reader needs.
const ROWS: usize = 3000;

/// Hosts over time, and what goes between them: time runs down, each moment has a row.
pub(super) fn sequence(moments: &[Moment], violation: Option<&Violation>) -> Markup {
    let hosts: Vec<_> = moments
        .iter()
        .flat_map(|moment| moment.host.into_iter().chain(moment.to))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let shown = moments.get(..ROWS).unwrap_or(moments);
    let bottom = TOP + ROW * (shown.len() + 2);
    let width = LEFT + COLUMN * hosts.len().max(2) + 500;
    let index =
        |host: Host| LEFT + COLUMN * hosts.iter().position(|other| *other == host).unwrap_or(0);
    html! {
        svg.sequence width=(width) height=(bottom) viewBox=(format!("0 0 {width} {bottom}")) role="img" {
            @for host in &hosts {
                line.life x1=(index(*host)) x2=(index(*host)) y1=(TOP - 12) y2=(bottom) {}
                text x=(index(*host)) y=(TOP - 18) text-anchor="middle" { (host) }
            }
            @for (number, moment) in shown.iter().enumerate() {
                (row(moment, TOP + ROW * (number + 1), width, index))
            }
            @if let Some(violation) = violation {
                text.bad x="8" y=(bottom - ROW / 2) { (cut(&violation.to_string())) }
            } @else if shown.len() < moments.len() {
                text x="8" y=(bottom - ROW / 2) { "and " (moments.len() - shown.len()) " more" }
            }
        }
    }
}

fn row(moment: &Moment, y: usize, width: usize, index: impl Fn(Host) -> usize) -> Markup {
    let micros = moment.at.as_micros();
    let time = format!("{}.{:03} ms", micros / 1000, micros % 1000);
    html! {
        text.time x="8" y=(y) { (time) }
        @match (moment.host, moment.to) {
            (None, _) => {
                rect.band x="110" y=(y - 14) width=(width - 120) height=(ROW - 2) {}
                text x="116" y=(y) { (cut(&moment.what)) }
            }
            (Some(host), None) => {
                circle.head cx=(index(host)) cy=(y - 4) r="3" {}
                text x=(index(host) + 8) y=(y) { (cut(&moment.what)) }
            }
            (Some(from), Some(to)) => {
                (arrow(index(from), index(to), y))
                text x=(index(from).min(index(to)) + 12) y=(y - 3) { (cut(&moment.what)) }
            }
        }
    }
}

fn arrow(from: usize, to: usize, y: usize) -> Markup {
    let (near, far) = if from < to { (to - 7, to) } else { (to + 7, to) };
    let head = format!("{far},{y} {near},{} {near},{}", y - 4, y + 4);
    html! {
        line.arrow x1=(from) x2=(to) y1=(y) y2=(y) {}
        polygon.head points=(head) {}
    }
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(TEXT).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
