//! The frame of a page, and the charts on it.

use std::error::Error;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::prelude::*;

const STYLE: &str = include_str!("page.css");

/// A page with its style in it.
pub(super) fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (body)
            }
        }
    }
}

/// A figure with what it means.
pub(super) fn fact(name: &str, value: &str) -> Markup {
    html! { div.fact { span.value { (value) } span.name { (name) } } }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

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

/// A quantity with its name, for a table of bars.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) count: u64,
    /// The remarks.
    pub(super) note: String,
}

/// A table with a bar for each quantity, on a logarithmic scale: they differ by powers of ten.
pub(super) fn bars(head: [&str; 3], bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0);
    html! {
        table {
            tr { th { (head[0]) } th.number { (head[1]) } th { "on a logarithmic scale" } th { (head[2]) } }
            @for bar in bars {
                tr {
                    td class=[(bar.count == 0).then_some("bad")] { (bar.name) }
                    td.number { (grouped(bar.count)) }
                    td.bar { div style=(format!("width: {:.1}%", percent(bar.count, most))) {} }
                    td { (bar.note) }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
fn percent(count: u64, most: u64) -> f64 {
    let scale = |count: u64| (count as f64 + 1.0).ln();
    if most == 0 { 0.0 } else { 100.0 * scale(count) / scale(most) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let texts = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}
