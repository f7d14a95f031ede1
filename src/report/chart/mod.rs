//! The charts. Each is readable alone: title, units, legend, and a description for those who can
//! not see it. Drawn by plotters' SVG backend; nothing here measures fonts, so margins are ample.

mod axis;
mod breakdown;
mod canvas;
pub(super) mod cost_time;
mod figure;
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
pub(super) use figure::Chart;
pub(super) use palette::style_sheet;

use super::input::ReportInput;

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
