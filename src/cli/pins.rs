//! Parts of the plan that the user fixes.

use super::args::named;
use super::output::words;
use crate::plan::{OptimizerSharding, Recompute};
use crate::planner::space::{Pins, divisors};
use crate::spec::ScheduleKind;
use clap::Args;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Counts that are allowed: `8`, `4,8` or `1..4` (both ends included).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(Vec<RangeInclusive<u64>>);

impl Counts {
    /// Whether a count is allowed.
    pub fn allows(&self, count: u64) -> bool {
        self.0.iter().any(|range| range.contains(&count))
    }

    /// The smallest count that is allowed.
    pub fn least(&self) -> u64 {
        self.0.iter().map(|range| *range.start()).min().unwrap_or(1)
    }

    /// The one count that is allowed, where there is only one.
    pub fn only(&self) -> Option<u64> {
        match self.0.as_slice() {
            [range] if range.start() == range.end() => Some(*range.start()),
            _ => None,
        }
    }
}

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = |part: &str| -> Result<u64, String> {
            let wrong = || format!("`{part}` is no count: write `8`, `4,8` or `1..4`");
            let value: u64 = part.trim().parse().map_err(|_| wrong())?;
            if value == 0 { Err("a count is at least 1".into()) } else { Ok(value) }
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once("..") {
                Some((first, last)) => (count(first)?, count(last.trim_start_matches('='))?),
                None => (count(part)?, count(part)?),
            };
            if first > last {
                return Err(format!("`{part}` is empty: write the smaller end first"));
            }
            ranges.push(first..=last);
        }
        ranges.sort_by_key(|range| *range.start());
        ranges.dedup();
        Ok(Counts(ranges))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if range.start() == range.end() {
                write!(f, "{}", range.start())?;
            } else {
                write!(f, "{}..{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

/// Parts of the plan that are fixed; everything else is searched.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Fixed parts of the plan (`8`, `4,8` or `1..4`)")]
pub struct PinArgs {
    /// Tensor-parallel ways
    #[arg(long, value_name = "WAYS")]
    pub tp: Option<Counts>,
    /// Pipeline stages
    #[arg(long, value_name = "WAYS")]
    pub pp: Option<Counts>,
    /// Data-parallel ways
    #[arg(long, value_name = "WAYS")]
    pub dp: Option<Counts>,
    /// Sequences of one micro-batch
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<Counts>,
    /// Model chunks of a stage
    #[arg(long, value_name = "N")]
    pub virtual_stages: Option<Counts>,
    /// Pipeline schedules
    #[arg(long, value_name = "SCHEDULE", value_delimiter = ',', value_parser = named::<ScheduleKind>())]
    pub schedule: Vec<ScheduleKind>,
    /// What layers may recompute
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = named::<Recompute>())]
    pub recompute: Vec<Recompute>,
    /// Whether activations outside the tensor-parallel region are sharded
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub sequence_parallel: Option<bool>,
    /// What is sharded over the data-parallel ranks
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = named::<OptimizerSharding>())]
    pub optimizer_sharding: Vec<OptimizerSharding>,
}

impl PinArgs {
    /// The flags that give these pins again.
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let counts = |counts: &Option<Counts>| counts.as_ref().map(ToString::to_string);
        vec![
            ("tp", counts(&self.tp)),
            ("pp", counts(&self.pp)),
            ("dp", counts(&self.dp)),
            ("micro-batch", counts(&self.micro_batch)),
            ("virtual-stages", counts(&self.virtual_stages)),
            ("schedule", words(&self.schedule)),
            ("recompute", words(&self.recompute)),
            ("sequence-parallel", self.sequence_parallel.map(|on| on.to_string())),
            ("optimizer-sharding", words(&self.optimizer_sharding)),
        ]
    }

    /// The pins of a job with so many devices, sequences in a batch, and layers.
    pub fn pins(&self, devices: u64, global_batch: u64, layers: u64) -> Pins {
        let up_to = |counts: &Option<Counts>, most: u64| {
            counts.as_ref().map(|counts| (1..=most).filter(|n| counts.allows(*n)).collect())
        };
        let batch = divisors(global_batch);
        let dividing = |counts: &Option<Counts>| {
            let counts = counts.as_ref()?;
            Some(batch.iter().copied().filter(|n| counts.allows(*n)).collect())
        };
        Pins {
            tensor: up_to(&self.tp, devices),
            pipeline: up_to(&self.pp, layers),
            data: dividing(&self.dp),
            micro_batch: dividing(&self.micro_batch),
            chunks: up_to(&self.virtual_stages, layers),
            schedule: (!self.schedule.is_empty()).then(|| self.schedule.clone()),
            sequence_parallel: self.sequence_parallel,
            sharding: (!self.optimizer_sharding.is_empty())
                .then(|| self.optimizer_sharding.clone()),
            recompute: (!self.recompute.is_empty()).then(|| self.recompute.clone()),
            all_devices: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let counts: Counts = "1..4,8".parse().unwrap();
        let allowed: Vec<u64> = (0..10).filter(|count| counts.allows(*count)).collect();
        assert_eq!(allowed, [1, 2, 3, 4, 8]);
        assert_eq!(counts.to_string(), "1..4,8");
        assert_eq!(counts.least(), 1);
        assert_eq!("8".parse::<Counts>().unwrap().only(), Some(8));
        assert_eq!("4,8".parse::<Counts>().unwrap().only(), None);
        for wrong in ["", "0", "4..1", "a", "1,", "-1", "1..", "..4", "1.5"] {
            assert!(wrong.parse::<Counts>().is_err(), "{wrong}");
        }
    }
}
