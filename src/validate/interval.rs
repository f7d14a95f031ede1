//! Intervals from the errors of rows that were left out.
//!
//! The interval of a row comes from the residuals ln(predicted/measured) of rows of the same kind
//! of *other* sources: those of one source share machine and software, so its own say nothing of
//! the next.

use super::run::Compared;
use crate::units::statistics::{quantile, sorted};
use std::collections::{BTreeMap, BTreeSet};

/// Share of the rows that the interval is to hold, as that of every prediction
/// ([`crate::planner::predict::INTERVAL`]).
pub const SHARE: f64 = 0.9;

/// Fewest residuals of other sources that make an interval of a narrower kind.
const ENOUGH: usize = 20;

/// Generation of a device, from the words of its source.
fn generation(hardware: &str) -> &'static str {
    let known = ["V100", "A100", "H100", "H200", "B200", "B300"];
    known.into_iter().find(|name| hardware.contains(name)).map_or("other", |name| match name {
        "H200" => "H100",
        "B300" => "B200",
        name => name,
    })
}

/// What decides an interval: the source, whether it is BERT, the generation of the device.
type Kind<'a> = (&'a str, bool, &'static str);

fn kind(row: &Compared) -> Kind<'_> {
    (&row.row.source, row.row.arch == "bert", generation(&row.row.hardware))
}

/// The intervals of a comparison.
pub struct Intervals<'a> {
    rows: &'a [Compared],
    factors: BTreeMap<Kind<'a>, (f64, f64)>,
}

impl<'a> Intervals<'a> {
    /// Computes them, once for rows of one kind.
    pub fn new(rows: &'a [Compared]) -> Self {
        let kinds: BTreeSet<Kind<'_>> = rows.iter().map(kind).collect();
        let factors = kinds.into_iter().map(|kind| (kind, factors(kind, rows))).collect();
        Intervals { rows, factors }
    }

    /// Low and high factor on a prediction, such that [`SHARE`] of the rows of other sources of its
    /// kind lie within: by architecture and generation, by generation, or all, whichever first has
    /// enough.
    pub fn of(&self, row: &Compared) -> (f64, f64) {
        self.factors.get(&kind(row)).copied().unwrap_or((0.0, f64::INFINITY))
    }

    /// Share of the rows of confidence A and B whose measured time lies in their interval.
    pub fn coverage(&self) -> f64 {
        let (mut inside, mut count) = (0usize, 0usize);
        for row in self.rows {
            let (Ok(predicted), Some(measured)) = (&row.outcome, row.measured_s) else { continue };
            if !matches!(row.row.confidence.as_str(), "A" | "B") {
                continue;
            }
            let (low, high) = self.of(row);
            count += 1;
            let ratio = measured / predicted.seconds;
            inside += usize::from((low..=high).contains(&ratio));
        }
        // Of nothing there is no share.
        inside as f64 / count as f64
    }
}

fn factors((source, is_bert, generation): Kind<'_>, rows: &[Compared]) -> (f64, f64) {
    let narrower: [&dyn Fn(Kind<'_>) -> bool; 3] = [
        &|other| (other.1, other.2) == (is_bert, generation),
        &|other| other.2 == generation,
        &|_| true,
    ];
    for counts in narrower {
        let residuals = sorted(rows.iter().filter_map(|row| {
            let graded = matches!(row.row.confidence.as_str(), "A" | "B");
            let counts = graded && row.row.source != source && counts(kind(row));
            row.error().filter(|_| counts).map(|error| (1.0 + error).ln())
        }));
        if residuals.len() >= ENOUGH {
            let tail = (1.0 - SHARE) / 2.0;
            // measured = predicted / exp(residual)
            let (low, high) = (quantile(&residuals, 1.0 - tail), quantile(&residuals, tail));
            return ((-low).exp(), (-high).exp());
        }
    }
    (0.0, f64::INFINITY)
}
