//! The charts. Each is readable alone: title, units, legend, and a description for those who can
//! not see it. Drawn by plotters' SVG backend; nothing here measures fonts, so margins are ample.

mod axis;
mod breakdown;
mod canvas;
pub(super) mod cost_time;
mod frontier;
pub(super) mod goodput;
mod memory;
mod memory_over_time;
#[cfg(feature = "torch")]
pub(super) mod pairs;
mod palette;
mod phases;
mod pipeline;
pub(super) mod review_scaling;
mod rows;
mod scaling;
pub(super) mod scatter;
mod series;
#[cfg(feature = "torch")]
pub(super) mod timelines;
pub(super) mod tornado;

#[cfg(feature = "torch")]
pub(super) use axis::time_unit;
pub(super) use canvas::Drawing;
pub(super) use palette::style_sheet;

use super::input::ReportInput;

/// Width of all charts, in pixels.
const WIDTH: f64 = 960.0;
/// Left edge of the plots, in pixels.
const LEFT: f64 = 64.0;
/// Right edge of the plots, in pixels.
const RIGHT: f64 = WIDTH - 24.0;

/// A chart of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chart {
    /// File name without extension.
    pub(super) name: &'static str,
    /// Title.
    pub(super) title: String,
    /// What it shows, in a sentence or two.
    pub(super) description: String,
    /// The picture.
    pub(super) drawing: Drawing,
}

impl Chart {
    fn new(
        name: &'static str,
        size: (f64, f64),
        title: String,
        description: String,
        content: impl FnOnce(&mut canvas::Canvas<'_>),
    ) -> Self {
        let drawing = canvas::draw(name, size, &title, &description, |canvas| {
            axis::title(canvas, &title);
            content(canvas);
        });
        Chart { name, title, description, drawing }
    }
}

/// All charts that the input has data for, in the order of the report.
pub(super) fn charts(input: &ReportInput<'_>) -> Vec<Chart> {
    [
        breakdown::chart(input.prediction()),
        pipeline::chart(input.timeline),
        memory::chart(input.prediction()),
        memory_over_time::chart(input.prediction(), input.timeline),
        frontier::chart(input.outcome),
        scaling::chart(input.scaling),
    ]
    .into_iter()
    .flatten()
    .collect()
}
