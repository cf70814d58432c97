//! A sequence diagram of hosts and messages, as SVG.

use std::collections::BTreeSet;

use maud::{Markup, html};
use watertight_sim::schedule::Host;
use watertight_sim::{Moment, Violation};

const ROW: usize = 20;
const TOP: usize = 40;
/// Where the first host's line is; the times stand left of it.
const LEFT: usize = 160;
const COLUMN: usize = 300;
/// Longer texts are in the story, which has no width.
const TEXT: usize = 150;
/// More rows than anybody looks at.
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
    let place =
        |host: Host| LEFT + COLUMN * hosts.iter().position(|other| *other == host).unwrap_or(0);
    html! {
        svg.sequence width=(width) height=(bottom) viewBox=(format!("0 0 {width} {bottom}")) role="img" {
            @for host in &hosts {
                line.life x1=(place(*host)) x2=(place(*host)) y1=(TOP - 12) y2=(bottom) {}
                text x=(place(*host)) y=(TOP - 18) text-anchor="middle" { (host) }
            }
            @for (number, moment) in shown.iter().enumerate() {
                (row(moment, TOP + ROW * (number + 1), width, place))
            }
            @if let Some(violation) = violation {
                text.bad x="8" y=(bottom - ROW / 2) { (cut(&violation.to_string())) }
            } @else if shown.len() < moments.len() {
                text x="8" y=(bottom - ROW / 2) { "and " (moments.len() - shown.len()) " more" }
            }
        }
    }
}

fn row(moment: &Moment, y: usize, width: usize, place: impl Fn(Host) -> usize) -> Markup {
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
                circle.head cx=(place(host)) cy=(y - 4) r="3" {}
                text x=(place(host) + 8) y=(y) { (cut(&moment.what)) }
            }
            (Some(from), Some(to)) => {
                (arrow(place(from), place(to), y))
                text x=(place(from).min(place(to)) + 12) y=(y - 3) { (cut(&moment.what)) }
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
