//! Bars, drawn by plotters.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::number;
use crate::contender::Contender;
use crate::load::{Direction, Load, Metric, Neighbour};
use crate::results::{Figure, Results};

const COLUMNS: usize = 2;
const PANEL: (u32, u32) = (480, 280);
const TITLE: i32 = 30;
/// For the names on the left, for the numbers on the right.
const MARGINS: (i32, i32) = (120, 60);
const OURS: RGBColor = RGBColor(42, 120, 214);
const OTHERS: RGBColor = RGBColor(150, 150, 150);
const TEXT: RGBColor = RGBColor(90, 90, 90);

/// The part of the table that is shown.
const PANELS: [(Load, Metric, &str); 10] = [
    (Load::Bulk { direction: Direction::Down, connections: 1 }, Metric::Rate, "Download, GiB/s"),
    (Load::Bulk { direction: Direction::Up, connections: 1 }, Metric::Rate, "Upload, GiB/s"),
    (
        Load::Bulk { direction: Direction::Down, connections: 16 },
        Metric::Rate,
        "16 downloads, GiB/s",
    ),
    (
        Load::Bulk { direction: Direction::Both, connections: 1 },
        Metric::Rate,
        "Both directions at once, GiB/s each",
    ),
    (
        Load::Bulk { direction: Direction::Down, connections: 1 },
        Metric::Cpu,
        "Download, CPU seconds a GiB (less is better)",
    ),
    (
        Load::Requests { length: 64, connections: 1 },
        Metric::P50,
        "64 bytes there and back, p50 in µs (less is better)",
    ),
    (
        Load::Requests { length: 64, connections: 64 },
        Metric::PerSecond,
        "64 bytes there and back on 64 connections, a second",
    ),
    (Load::Opens, Metric::PerSecond, "Open, a byte to and fro, close, a second"),
    (
        Load::Beside(Neighbour::Full),
        Metric::P99,
        "64 bytes beside a full-speed download, p99 in µs (less is better)",
    ),
    (
        Load::Idle { connections: 1000 },
        Metric::OpenNear,
        "An idle connection, KiB at the near end (less is better)",
    ),
];

pub(super) fn svg(results: &Results) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut svg = String::new();
    let rows = PANELS.len().div_ceil(COLUMNS);
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32);
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (area, panel) in area.split_evenly((rows, COLUMNS)).iter().zip(PANELS) {
            draw(area, results, panel)?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(
    area: &Area<'_>,
    results: &Results,
    (load, metric, title): (Load, Metric, &str),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let bars: Vec<(Contender, Option<Figure>)> = results
        .contenders()
        .into_iter()
        .map(|who| (who, results.figure(who, load, metric)))
        .filter(|(who, figure)| *who != Contender::Direct || figure.is_some())
        .collect();
    let most = bars.iter().filter_map(|(_, figure)| figure.map(|it| it.most)).fold(0.0, f64::max);
    let text = |size: i32, anchor| {
        TextStyle::from(("sans-serif", size)).color(&TEXT).pos(Pos::new(anchor, VPos::Center))
    };
    area.draw(&Text::new(title, (10, TITLE / 2), text(15, HPos::Left)))?;
    let (width, height) = (PANEL.0 as i32, PANEL.1 as i32);
    let step = (height - TITLE - 10) / i32::try_from(bars.len().max(1))?;
    let room = f64::from(width - MARGINS.0 - MARGINS.1);
    let at = |value: f64| MARGINS.0 + (value.max(0.0) / most * room).round() as i32;
    for (row, (who, figure)) in (0..).zip(&bars) {
        let (top, bottom) = (TITLE + row * step, TITLE + (row + 1) * step - 4);
        let middle = (top + bottom) / 2;
        area.draw(&Text::new(who.name(), (MARGINS.0 - 8, middle), text(12, HPos::Right)))?;
        let Some(figure) = figure else {
            area.draw(&Text::new("–", (MARGINS.0 + 4, middle), text(12, HPos::Left)))?;
            continue;
        };
        let colour = if who.is_ours() { OURS } else { OTHERS };
        let bar = [(MARGINS.0, top), (at(figure.median), bottom)];
        area.draw(&Rectangle::new(bar, colour.filled()))?;
        let spread = vec![(at(figure.least), middle), (at(figure.most), middle)];
        area.draw(&PathElement::new(spread, BLACK.mix(0.5)))?;
        let label = (at(figure.most) + 6, middle);
        area.draw(&Text::new(number(figure.median), label, text(12, HPos::Left)))?;
    }
    Ok(())
}
