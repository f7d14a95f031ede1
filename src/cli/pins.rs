//! Parts of the plan that the user fixes.

use super::enumerations::named;
use super::names::words;
use super::numbers::is_negative;
use crate::plan::{OptimizerSharding, Recompute};
use crate::planner::space::Asked;
use crate::planner::space::{Pins, divisors};
use crate::spec::ScheduleKind;
use clap::Args;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
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
            if is_negative(part) {
                return Err(format!("`{part}` is less than 1: write 1 or more"));
            }
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
    #[arg(long, value_name = "WAYS", allow_negative_numbers = true)]
    pub tp: Option<Counts>,
    /// Pipeline stages
    #[arg(long, value_name = "WAYS", allow_negative_numbers = true)]
    pub pp: Option<Counts>,
    /// Data-parallel ways
    #[arg(long, value_name = "WAYS", allow_negative_numbers = true)]
    pub dp: Option<Counts>,
    /// Sequences of one micro-batch
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub micro_batch: Option<Counts>,
    /// Model chunks of a stage
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
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
    /// Reads `tp=4,pp=2`: names of the flags, or what they stand for in short.
    ///
    /// # Errors
    /// Names and values that are none.
    pub fn of_choices(text: &str) -> Result<PinArgs, String> {
        let mut pins = PinArgs::default();
        for part in text.split(',').map(str::trim) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("`{part}` is no choice: write `tp=4,pp=2`"));
            };
            let counts = || value.parse::<Counts>().map(Some);
            match name.trim() {
                "tp" => pins.tp = counts()?,
                "pp" => pins.pp = counts()?,
                "dp" => pins.dp = counts()?,
                "micro-batch" | "b" => pins.micro_batch = counts()?,
                "virtual-stages" | "v" => pins.virtual_stages = counts()?,
                "schedule" => pins.schedule = vec![word(value)?],
                "recompute" => pins.recompute = vec![word(value)?],
                "optimizer-sharding" => pins.optimizer_sharding = vec![word(value)?],
                "sequence-parallel" | "sp" => pins.sequence_parallel = Some(word_flag(value)?),
                other => return Err(unknown_choice(other)),
            }
        }
        Ok(pins)
    }

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

    /// What is fixed, in the user's words.
    fn asked(&self) -> Vec<Asked> {
        let counts = [
            ("tp", &self.tp),
            ("pp", &self.pp),
            ("dp", &self.dp),
            ("micro-batch", &self.micro_batch),
            ("virtual-stages", &self.virtual_stages),
        ];
        let count = |flag: &str| {
            let counts = counts.iter().find(|(name, _)| *name == flag)?.1.as_ref()?;
            Some(counts.least())
        };
        self.flags()
            .into_iter()
            .filter_map(|(flag, text)| Some(Asked { flag, text: text?, count: count(flag) }))
            .collect()
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
            asked: self.asked(),
        }
    }
}

/// Names of choices, as flags write them.
const CHOICES: [&str; 9] = [
    "tp",
    "pp",
    "dp",
    "micro-batch",
    "virtual-stages",
    "schedule",
    "recompute",
    "sequence-parallel",
    "optimizer-sharding",
];

fn unknown_choice(name: &str) -> String {
    let known = CHOICES.join("`, `");
    match crate::spec::nearest(name, CHOICES) {
        Some(meant) => {
            format!("`{name}` is no choice: did you mean `{meant}`? There are `{known}`")
        }
        None => format!("`{name}` is no choice: there are `{known}`"),
    }
}

/// A word of an enumeration, as files write it.
fn word<T: DeserializeOwned + JsonSchema>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.trim().to_owned())).map_err(|_| {
        let words = super::enumerations::words::<T>().join("`, `");
        format!("`{text}` is none of `{words}`")
    })
}

fn word_flag(text: &str) -> Result<bool, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
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

    #[test]
    fn choices_are_read() {
        let pins =
            PinArgs::of_choices("tp=4,pp=2..4,schedule=gpipe,sp=false,recompute=full").unwrap();
        assert_eq!(pins.tp.unwrap().only(), Some(4));
        assert!(pins.pp.unwrap().allows(3));
        assert_eq!(pins.schedule, [ScheduleKind::Gpipe]);
        assert_eq!(pins.sequence_parallel, Some(false));
        for (wrong, said) in [
            ("tp", "is no choice"),
            ("tq=4", "did you mean `tp`?"),
            ("tp=0", "at least 1"),
            ("schedule=2f2b", "none of `gpipe`"),
            ("sp=maybe", "neither"),
            ("", "is no choice"),
        ] {
            assert!(PinArgs::of_choices(wrong).unwrap_err().contains(said), "{wrong}");
        }
    }
}
