//! The rows of the pipeline chart: one for each stage, time from left to right.

use super::axis::{Area, SMALL, Scale};
use super::canvas::{Anchor, Canvas, Lettering, text_width};
use super::palette::Ink;
use super::phases::{Phase, PhaseRun};
use crate::sim::{Span, SpanKind};

/// Rows of at least this height have a lane of their own for communication.
const LANE_FROM: f64 = 13.0;

/// Kinds of instructions with their names, in the order of legends.
pub(super) const KINDS: [(SpanKind, &str); 6] = [
    (SpanKind::Forward, "forward"),
    (SpanKind::Backward, "backward"),
    (SpanKind::Transfer, "transfer"),
    (SpanKind::GradientReduce, "gradient reduction"),
    (SpanKind::ParameterGather, "parameter gathering"),
    (SpanKind::Optimizer, "optimizer"),
];

/// Rows of equal height between the upper and lower edge of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// Where.
    pub(super) area: Area,
    /// Stages.
    pub(super) stages: u64,
    /// From seconds to pixels.
    pub(super) scale: Scale,
}

impl Rows {
    /// Height of one row, in pixels.
    fn height(&self) -> f64 {
        (self.area.bottom - self.area.top) / self.stages.max(1) as f64
    }

    fn gap(&self) -> f64 {
        if self.height() >= 6.0 { 1.0 } else { 0.0 }
    }

    /// Top and height of the marks of a stage: its computation, or its communication.
    fn band(&self, stage: u64, communication: bool) -> (f64, f64) {
        let (height, gap) = (self.height(), self.gap());
        let top = self.area.top + stage as f64 * height + gap / 2.0;
        let inner = height - gap;
        match (height >= LANE_FROM, communication) {
            (false, _) => (top, inner),
            (true, false) => (top, inner * 0.74),
            (true, true) => (top + inner * 0.78, inner * 0.22),
        }
    }

    /// Left edge and width of a time window, cut at the edges of the plot.
    fn across(&self, start: f64, end: f64) -> Option<(f64, f64)> {
        let left = self.scale.at(start).max(self.area.left);
        let right = self.scale.at(end).min(self.area.right);
        (right > left).then_some((left, right - left))
    }

    /// Draws one instruction; computation bears the number of its micro-batch where there is room.
    pub(super) fn span(&self, canvas: &mut Canvas<'_>, span: &Span) {
        let communication = is_communication(span.kind);
        if span.kind == SpanKind::Transfer && self.height() < LANE_FROM {
            return;
        }
        let window = (span.start.seconds().get(), span.end.seconds().get());
        let Some((left, width)) = self.across(window.0, window.1) else { return };
        let (top, height) = self.band(span.stage, communication);
        let ink = ink(span.kind);
        let gap = if width > 3.0 && !communication { 0.5 } else { 0.0 };
        // Transfers are short; a mark of less than a pixel would lose its colour.
        let least = if communication { 1.0 } else { 0.0 };
        canvas.rect(left, top, (width - gap).max(least), height, ink);
        let Some(micro_batch) = span.micro_batch.filter(|_| !communication) else { return };
        let label = micro_batch.to_string();
        if height >= 10.0 && width >= text_width(&label, 10.0) + 3.0 {
            let look = Lettering::new(10.0, ink.contrast()).at(Anchor::Middle);
            canvas.text(left + width / 2.0, top + height / 2.0, &label, look);
        }
    }

    /// Draws a run of passes as one block; both colours where forward and backward alternate.
    pub(super) fn run(&self, canvas: &mut Canvas<'_>, stage: u64, run: &PhaseRun) {
        let Some((left, width)) = self.across(run.start, run.end) else { return };
        let (top, height) = self.band(stage, false);
        match run.phase {
            Phase::Forward => canvas.rect(left, top, width, height, Ink::Blue),
            Phase::Backward => canvas.rect(left, top, width, height, Ink::Orange),
            Phase::Alternating => {
                canvas.rect(left, top, width, height / 2.0, Ink::Blue);
                canvas.rect(left, top + height / 2.0, width, height / 2.0, Ink::Orange);
            }
        }
    }

    /// Numbers of the stages, as many as have room.
    pub(super) fn labels(&self, canvas: &mut Canvas<'_>) {
        let look = Lettering::new(SMALL, Ink::Muted).at(Anchor::End);
        let height = self.height();
        for stage in (0..self.stages).step_by(stride(15.0 / height)) {
            let y = self.area.top + (stage as f64 + 0.5) * height;
            canvas.text(self.area.left - 8.0, y, &stage.to_string(), look);
        }
        let Area { left, top, bottom, .. } = self.area;
        canvas.line((left, top), (left, bottom), Ink::Axis, 1.0);
        canvas.text(16.0, top - 12.0, "stage", Lettering::new(SMALL, Ink::Muted));
    }
}

/// Whether an instruction runs on a communication stream.
pub(super) fn is_communication(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::Transfer | SpanKind::GradientReduce | SpanKind::ParameterGather)
}

/// Colour of an instruction.
pub(super) fn ink(kind: SpanKind) -> Ink {
    match kind {
        SpanKind::Forward => Ink::Blue,
        SpanKind::Backward => Ink::Orange,
        SpanKind::Transfer => Ink::Purple,
        SpanKind::GradientReduce => Ink::Green,
        SpanKind::ParameterGather => Ink::Yellow,
        SpanKind::Optimizer => Ink::Vermilion,
    }
}

/// The smallest of 1, 2, 4, 5, 8, 10, 16 … that is at least `need`.
pub(super) fn stride(need: f64) -> usize {
    const STRIDES: [usize; 13] = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128];
    STRIDES.into_iter().find(|stride| *stride as f64 >= need).unwrap_or(need.min(1e9) as usize + 1)
}
