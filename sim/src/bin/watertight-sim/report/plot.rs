//! Curves and histograms, drawn by plotters.

use std::error::Error;

use plotters::prelude::*;

const SIZE: (u32, u32) = (1000, 260);
const FONT: (&str, u32) = ("sans-serif", 14);
const COLOUR: RGBColor = RGBColor(42, 120, 214);

/// Schedules a second over the time of a run.
pub(super) fn curve(points: &[(f64, f64)]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let seconds = points.iter().map(|(at, _)| *at).fold(1.0, f64::max);
        let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..seconds, 0.0..most * 1.1)?;
        let short = |number: &f64| ((number * 1000.0).round() / 1000.0).to_string();
        let mut mesh = chart.configure_mesh();
        mesh.x_label_formatter(&short).y_label_formatter(&short);
        mesh.x_desc("seconds").y_desc("schedules a second").label_style(FONT).draw()?;
        chart.draw_series(
            AreaSeries::new(points.iter().copied(), 0.0, COLOUR.mix(0.25)).border_style(COLOUR),
        )?;
        area.present()?;
    }
    Ok(svg)
}

/// How many schedules had how many steps.
pub(super) fn histogram(counts: &[(u32, u32)]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let longest = counts.iter().map(|(length, _)| *length).max().unwrap_or(0) + 1;
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(70)
            .build_cartesian_2d((0..longest).into_segmented(), 0..most + most / 10)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("steps of a schedule").y_desc("schedules").label_style(FONT);
        mesh.disable_x_mesh().draw()?;
        let bars = Histogram::vertical(&chart).style(COLOUR.filled()).margin(0);
        chart.draw_series(bars.data(counts.iter().copied()))?;
        area.present()?;
    }
    Ok(svg)
}
