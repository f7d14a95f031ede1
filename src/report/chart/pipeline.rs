//! The pipeline timeline: what each stage does when. Drawn pass by pass where a pass is some pixels
//! wide; otherwise the whole iteration in blocks, and below it a window of the steady state pass by
//! pass.

use super::axis::{self, Area, Mark, SMALL, Scale};
use super::canvas::{Canvas, Lettering};
use super::figure::{Chart, LEFT, RIGHT, WIDTH};
use super::palette::Ink;
use super::phases;
use super::rows::{self, Rows};
use crate::report::number;
use crate::sim::{Span, SpanKind, Timeline};

/// Passes narrower than this are drawn as blocks, in pixels.
pub(super) const NARROWEST: f64 = 3.0;
/// More marks than this are drawn as blocks.
pub(super) const MOST_MARKS: usize = 6000;
/// Micro-batches in the window of the steady state.
const WINDOW: f64 = 12.0;
const TOP: f64 = 104.0;
const FOOT: f64 = 52.0;

/// The timeline of one iteration; nothing where it is empty.
pub(super) fn chart(timeline: &Timeline) -> Option<Chart> {
    let end = timeline.end.seconds().get();
    if timeline.spans.is_empty() || timeline.stages == 0 || end <= 0.0 {
        return None;
    }
    let pass = mean_duration(timeline, SpanKind::Forward);
    let fits = pass / end * (RIGHT - LEFT) >= NARROWEST && timeline.spans.len() <= MOST_MARKS;
    let micro_batches =
        timeline.spans.iter().filter_map(|span| span.micro_batch).max().map_or(1, |last| last + 1);
    let facts = format!(
        "{} stages, {micro_batches} micro-batches, one iteration of {}",
        timeline.stages,
        number::seconds(end)
    );
    let title = "Pipeline timeline".to_owned();
    if fits {
        let description =
            format!("What each stage does when: {facts}. Every pass is drawn; blank is idle.");
        let height = TOP + rows_height(timeline.stages, 34.0) + FOOT;
        return Some(Chart::new("pipeline", (WIDTH, height), title, description, |canvas| {
            legend(canvas, &[timeline], true);
            passes(canvas, timeline, TOP, (0.0, end));
        }));
    }
    let description = format!(
        "What each stage does when: {facts}. Above, the whole iteration with neighbouring passes \
         drawn as one block (half and half where forward and backward alternate); below, about \
         {WINDOW:.0} micro-batches from the middle of the iteration, pass by pass. Blank is idle."
    );
    let height = TOP + 2.0 * (rows_height(timeline.stages, 22.0) + FOOT) + 36.0;
    Some(Chart::new("pipeline", (WIDTH, height), title, description, |canvas| {
        legend(canvas, &[timeline], false);
        overview_and_window(canvas, timeline, end);
    }))
}

pub(super) fn rows_height(stages: u64, tallest: f64) -> f64 {
    let stages = stages as f64;
    (stages * (420.0 / stages).clamp(7.0, tallest)).min(900.0)
}

pub(super) fn mean_duration(timeline: &Timeline, kind: SpanKind) -> f64 {
    let of_kind = || timeline.spans.iter().filter(|span| span.kind == kind);
    let sum: f64 = of_kind().map(duration).sum();
    sum / of_kind().count().max(1) as f64
}

fn duration(span: &Span) -> f64 {
    span.end.saturating_sub(span.start).seconds().get()
}

/// A box for each kind of span that one of the timelines has; transfers only where `all` is drawn or
/// there is room for them.
pub(super) fn legend(canvas: &mut Canvas<'_>, timelines: &[&Timeline], all: bool) {
    let has =
        |kind: SpanKind| timelines.iter().flat_map(|one| &one.spans).any(|span| span.kind == kind);
    let few = timelines.iter().all(|one| one.stages < 32);
    let mut entries = Vec::with_capacity(7);
    for (kind, name) in rows::KINDS {
        if has(kind) && (all || few || kind != SpanKind::Transfer) {
            entries.push((Mark::Box(rows::ink(kind)), name));
        }
        if !all && kind == SpanKind::Backward {
            entries.push((Mark::Both(Ink::Blue, Ink::Orange), "in turn"));
        }
    }
    axis::legend(canvas, 50.0, &entries);
}

pub(super) fn plot(
    canvas: &mut Canvas<'_>,
    timeline: &Timeline,
    top: f64,
    height: f64,
    window: (f64, f64),
) -> Rows {
    let area = Area { left: LEFT, top, right: RIGHT, bottom: top + height };
    let (unit, size) = axis::time_unit(window.1);
    let shown = Scale::linear((window.0 / size, window.1 / size), (area.left, area.right));
    axis::ground(canvas, area);
    axis::below(canvas, area, &shown, 8, &format!("time ({unit})"));
    let scale = Scale::linear(window, (area.left, area.right));
    let rows = Rows { area, stages: timeline.stages, scale };
    rows.labels(canvas);
    rows
}

/// All passes of a window, one mark each.
fn passes(canvas: &mut Canvas<'_>, timeline: &Timeline, top: f64, window: (f64, f64)) {
    let whole = window.0 == 0.0;
    let height = rows_height(timeline.stages, if whole { 34.0 } else { 22.0 });
    let rows = plot(canvas, timeline, top, height, window);
    draw_spans(canvas, &rows, timeline, window, rows::is_communication);
    draw_spans(canvas, &rows, timeline, window, |kind| !rows::is_communication(kind));
}

pub(super) fn draw_spans(
    canvas: &mut Canvas<'_>,
    rows: &Rows,
    timeline: &Timeline,
    (from, to): (f64, f64),
    wanted: impl Fn(SpanKind) -> bool,
) {
    let inside = |span: &&Span| {
        span.stage < timeline.stages
            && wanted(span.kind)
            && span.end.seconds().get() > from
            && span.start.seconds().get() < to
    };
    for span in timeline.spans.iter().filter(inside) {
        rows.span(canvas, span);
    }
}

fn overview_and_window(canvas: &mut Canvas<'_>, timeline: &Timeline, end: f64) {
    let height = rows_height(timeline.stages, 22.0);
    let rows = plot(canvas, timeline, TOP, height, (0.0, end));
    draw_spans(canvas, &rows, timeline, (0.0, end), |kind| {
        matches!(kind, SpanKind::GradientReduce | SpanKind::ParameterGather)
    });
    for (stage, runs) in blocks(timeline, end) {
        for run in &runs {
            rows.run(canvas, stage, run);
        }
    }
    draw_spans(canvas, &rows, timeline, (0.0, end), |kind| kind == SpanKind::Optimizer);

    let slot =
        mean_duration(timeline, SpanKind::Forward) + mean_duration(timeline, SpanKind::Backward);
    let half = (slot * WINDOW / 2.0).min(end / 2.0);
    let window = (end / 2.0 - half, end / 2.0 + half);
    let top = TOP + height + FOOT + 36.0;
    let note = format!(
        "The middle of the iteration, pass by pass ({} to {})",
        number::seconds(window.0),
        number::seconds(window.1)
    );
    canvas.text(16.0, top - 34.0, &note, Lettering::new(SMALL + 1.0, Ink::Text).bold());
    passes(canvas, timeline, top, window);
}

/// The blocks of each stage, joined over gaps small enough that the marks stay countable.
pub(super) fn blocks(timeline: &Timeline, end: f64) -> Vec<(u64, Vec<phases::PhaseRun>)> {
    let pixel = end / (RIGHT - LEFT);
    let mut gap = pixel;
    loop {
        let blocks: Vec<(u64, Vec<phases::PhaseRun>)> = timeline
            .spans
            .chunk_by(|a, b| a.stage == b.stage)
            .filter(|spans| spans[0].stage < timeline.stages)
            .map(|spans| (spans[0].stage, phases::runs(spans.iter(), gap)))
            .collect();
        let marks: usize = blocks.iter().map(|(_, runs)| runs.len()).sum();
        if marks <= MOST_MARKS || gap > end {
            return blocks;
        }
        gap *= 2.0;
    }
}
