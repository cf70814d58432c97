//! A table with bars on a logarithmic scale.

use maud::{Markup, html};

use super::page::grouped;

/// A quantity with its name, for a table of bars.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) count: u64,
    /// What else is to say.
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
