//! Neighbouring passes of a stage drawn as one block, for timelines with more passes than pixels.

use crate::sim::{Span, SpanKind};

/// What a stage does over a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Forward passes.
    Forward,
    /// Backward passes.
    Backward,
    /// Forward and backward passes in turn.
    Alternating,
}

/// A block of passes without a gap that could be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PhaseRun {
    /// What they are.
    pub(super) phase: Phase,
    /// Start in seconds.
    pub(super) start: f64,
    /// End in seconds.
    pub(super) end: f64,
}

/// Blocks of the forward and backward passes `spans` of one stage, which are in the order of their
/// starts. Passes apart by more than `gap` seconds are not joined, so that idle time stays visible.
pub(super) fn runs<'a>(spans: impl Iterator<Item = &'a Span>, gap: f64) -> Vec<PhaseRun> {
    let passes: Vec<(bool, f64, f64)> = spans
        .filter(|span| matches!(span.kind, SpanKind::Forward | SpanKind::Backward))
        .map(|span| {
            let forward = span.kind == SpanKind::Forward;
            (forward, span.start.seconds().get(), span.end.seconds().get())
        })
        .collect();
    let mut runs: Vec<PhaseRun> = Vec::new();
    for (index, &(forward, start, end)) in passes.iter().enumerate() {
        let turned = |other: Option<&(bool, f64, f64)>| {
            other.is_some_and(|(kind, from, to)| {
                *kind != forward && from - end <= gap && start - to <= gap
            })
        };
        let before = index.checked_sub(1).and_then(|index| passes.get(index));
        let phase = if turned(before) || turned(passes.get(index + 1)) {
            Phase::Alternating
        } else if forward {
            Phase::Forward
        } else {
            Phase::Backward
        };
        match runs.last_mut() {
            Some(last) if last.phase == phase && start - last.end <= gap => last.end = end,
            _ => runs.push(PhaseRun { phase, start, end }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;

    fn spans(text: &str) -> Vec<Span> {
        text.chars()
            .enumerate()
            .filter(|(_, letter)| *letter != '.')
            .map(|(slot, letter)| Span {
                stage: 0,
                kind: if letter == 'F' { SpanKind::Forward } else { SpanKind::Backward },
                micro_batch: None,
                chunk: 0,
                start: SimTime::from_picos(slot as u64 * 1_000_000_000_000),
                end: SimTime::from_picos((slot as u64 + 1) * 1_000_000_000_000),
            })
            .collect()
    }

    #[test]
    fn joins_equal_neighbours_and_keeps_gaps() {
        let runs = runs(spans("FFF..FBFBFB.B").iter(), 0.5);
        let shape: Vec<(Phase, f64, f64)> =
            runs.iter().map(|run| (run.phase, run.start, run.end)).collect();
        assert_eq!(
            shape,
            [
                (Phase::Forward, 0.0, 3.0),
                (Phase::Alternating, 5.0, 11.0),
                (Phase::Backward, 12.0, 13.0),
            ]
        );
    }
}
