//! Intervals from the errors of rows that were left out.
//!
//! The interval of a row comes from the residuals ln(predicted/measured) of rows of the same kind
//! of *other* sources: those of one source share machine and software, so its own say nothing of
//! the next.

use super::run::Compared;
use super::summary::{quantile, sorted};

/// Share of the rows that the interval is to hold.
pub const SHARE: f64 = 0.8;

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

/// Low and high factor on a prediction, such that `SHARE` of the rows of other sources of its kind
/// lie within: by architecture and generation, by generation, or all, whichever first has enough.
pub fn factors(row: &Compared, all: &[Compared]) -> (f64, f64) {
    let kinds: [&dyn Fn(&Compared) -> bool; 3] = [
        &|other| {
            generation(&other.row.hardware) == generation(&row.row.hardware)
                && (other.row.arch == "bert") == (row.row.arch == "bert")
        },
        &|other| generation(&other.row.hardware) == generation(&row.row.hardware),
        &|_| true,
    ];
    for kind in kinds {
        let residuals = sorted(all.iter().filter_map(|other| {
            let counts = other.row.source != row.row.source
                && matches!(other.row.confidence.as_str(), "A" | "B")
                && kind(other);
            other.error().filter(|_| counts).map(|error| (1.0 + error).ln())
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

/// Share of the rows of confidence A and B whose measured time lies in their interval.
pub fn coverage(rows: &[Compared]) -> f64 {
    let (mut inside, mut count) = (0usize, 0usize);
    for row in rows {
        let (Ok(predicted), Some(measured)) = (&row.outcome, row.measured_s) else { continue };
        if !matches!(row.row.confidence.as_str(), "A" | "B") {
            continue;
        }
        let (low, high) = factors(row, rows);
        count += 1;
        let ratio = measured / predicted.seconds;
        inside += usize::from((low..=high).contains(&ratio));
    }
    inside as f64 / count.max(1) as f64
}
