//! One iteration as it was predicted above the same one as it was measured: what ran when, and the
//! memory in use.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Canvas, Lettering};
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::memory_over_time::steps;
use super::palette::Ink;
use super::pipeline::{self, MOST_MARKS, NARROWEST};
use super::rows;
use crate::report::number;
use crate::sim::{SpanKind, Timeline};
use crate::units::Bytes;

const TOP: f64 = 116.0;
const FOOT: f64 = 52.0;
/// Between the two panels, for the heading of the lower one.
const BETWEEN: f64 = 40.0;
const MEMORY_HEIGHT: f64 = 320.0;
const NAMES: [&str; 2] = ["Predicted", "Measured"];

fn end(timeline: &Timeline) -> f64 {
    timeline.end.seconds().get()
}

/// Both timelines on one axis; nothing where one is empty.
pub(in crate::report) fn chart(timelines: &[Timeline; 2]) -> Option<Chart> {
    if timelines.iter().any(|one| one.spans.is_empty() || one.stages == 0) {
        return None;
    }
    let longest = timelines.iter().map(end).fold(0.0, f64::max);
    if longest <= 0.0 {
        return None;
    }
    let [predicted, measured] = timelines.each_ref().map(|one| number::seconds(end(one)));
    let description = format!(
        "What each stage does when, in one iteration, on one time axis: predicted {predicted}, \
         measured {measured} (the last repetition). Blank is idle, or waiting for a message."
    );
    let panel = pipeline::rows_height(timelines[0].stages, 34.0);
    let height = TOP + 2.0 * (panel + FOOT) + BETWEEN;
    let title = "Predicted and measured timeline".to_owned();
    Some(Chart::new("verify-timeline", (WIDTH, height), title, description, |canvas| {
        pipeline::legend(canvas, &[&timelines[0], &timelines[1]], true);
        for (index, timeline) in timelines.iter().enumerate() {
            let top = TOP + index as f64 * (panel + FOOT + BETWEEN);
            let heading = format!("{}: {}", NAMES[index], number::seconds(end(timeline)));
            let look = Lettering::new(SMALL + 1.0, Ink::Text).bold();
            canvas.text(16.0, top - 32.0, &heading, look);
            draw(canvas, timeline, (top, panel), longest);
        }
    }))
}

/// Pass by pass where passes are some pixels wide, otherwise in blocks.
fn draw(canvas: &mut Canvas<'_>, timeline: &Timeline, (top, height): (f64, f64), longest: f64) {
    let window = (0.0, longest);
    let rows = pipeline::plot(canvas, timeline, top, height, window);
    let pass = pipeline::mean_duration(timeline, SpanKind::Forward);
    if pass / longest * (RIGHT - LEFT) >= NARROWEST && timeline.spans.len() <= MOST_MARKS {
        pipeline::draw_spans(canvas, &rows, timeline, window, rows::is_communication);
        pipeline::draw_spans(canvas, &rows, timeline, window, |kind| !rows::is_communication(kind));
        return;
    }
    pipeline::draw_spans(canvas, &rows, timeline, window, |kind| {
        rows::is_communication(kind) && kind != SpanKind::Transfer
    });
    for (stage, runs) in pipeline::blocks(timeline, longest) {
        runs.iter().for_each(|run| rows.run(canvas, stage, run));
    }
    pipeline::draw_spans(canvas, &rows, timeline, window, |kind| kind == SpanKind::Optimizer);
}

/// Memory of the fullest stage over the iteration, both; nothing where one was not recorded.
pub(in crate::report) fn memory(timelines: &[Timeline; 2]) -> Option<Chart> {
    let fullest = timelines[1].memory.iter().rev().max_by_key(|sample| sample.bytes)?;
    let stage = fullest.stage;
    let samples = timelines.each_ref().map(|timeline| -> Vec<(f64, Bytes)> {
        let of_stage = timeline.memory.iter().filter(|sample| sample.stage == stage);
        of_stage.map(|sample| (sample.time.seconds().get(), sample.bytes)).collect()
    });
    let ends = timelines.each_ref().map(end);
    if samples.iter().any(Vec::is_empty) || ends.iter().any(|end| *end <= 0.0) {
        return None;
    }
    let peaks = samples
        .each_ref()
        .map(|all| all.iter().map(|(_, bytes)| *bytes).max().unwrap_or(Bytes::ZERO));
    let title = format!("Memory over time on stage {stage}, predicted and measured");
    let description = format!(
        "Bytes of tensors between passes on one rank of the stage that holds most: at most {} \
         predicted, {} measured. The prediction holds the working memory of the largest pass all \
         the time; in the measurement it is given back at the end of a pass.",
        peaks[0], peaks[1]
    );
    Some(Chart::new(
        "verify-memory-over-time",
        (WIDTH, MEMORY_HEIGHT),
        title,
        description,
        |canvas| {
            lines(canvas, &samples, peaks, ends);
        },
    ))
}

fn lines(
    canvas: &mut Canvas<'_>,
    samples: &[Vec<(f64, Bytes)>; 2],
    peaks: [Bytes; 2],
    ends: [f64; 2],
) {
    let longest = ends[0].max(ends[1]);
    let area = Area { left: LEFT, top: 100.0, right: RIGHT, bottom: MEMORY_HEIGHT - 48.0 };
    let (unit, size) = axis::time_unit(longest);
    let highest = peaks.iter().map(|peak| peak.as_f64()).fold(0.0, f64::max);
    let (bytes_unit, bytes_size) = super::pairs::bytes_unit(highest);
    let across = Scale::linear((0.0, longest / size), (area.left, area.right));
    let up = Scale::linear((0.0, highest / bytes_size * 1.1), (area.bottom, area.top));
    let inks = [Ink::Blue, Ink::Orange];
    axis::legend(
        canvas,
        50.0,
        &[(Mark::Box(inks[0]), "predicted"), (Mark::Box(inks[1]), "measured")],
    );
    axis::ground(canvas, area);
    axis::beside(canvas, area, &up, 5, &format!("tensors ({bytes_unit})"));
    axis::below(canvas, area, &across, 8, &format!("time ({unit})"));
    for ((samples, end), ink) in samples.iter().zip(ends).zip(inks) {
        let samples: Vec<(f64, f64)> =
            samples.iter().map(|(time, bytes)| (*time, bytes.as_f64() / bytes_size)).collect();
        let area = Area { right: across.at(end / size), ..area };
        let points = steps(&samples, |time| across.at(time / size), |amount| up.at(amount), area);
        canvas.path(&points, ink, 1.5);
    }
}
