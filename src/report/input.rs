//! What a report is made from. Nothing here is a clock or a path that differs between machines.

use crate::planner::SearchOutcome;
use crate::sim::{Prediction, Timeline};
use crate::spec::{ClusterSpec, ModelSpec};
use crate::units::UsDollars;

/// How the plan came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By a search; `SearchOutcome::search` is its certificate.
    Searched,
    /// Given by a person and only predicted; `SearchOutcome::search` is not shown.
    Given,
}

/// Iteration time on another number of devices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScalingPoint {
    /// Devices.
    pub devices: u64,
    /// Predicted iteration time of the best plan there, in seconds.
    pub iteration_time_s: f64,
    /// Model FLOPs utilisation of that plan (0 to 1).
    pub mfu: f64,
}

/// Everything that a report shows.
#[derive(Debug, Clone)]
pub struct ReportInput<'a> {
    /// The plan, its prediction, the alternatives.
    pub outcome: &'a SearchOutcome,
    /// How the plan came about.
    pub origin: Origin,
    /// One simulated iteration of the best plan.
    pub timeline: &'a Timeline,
    /// The model.
    pub model: &'a ModelSpec,
    /// The cluster.
    pub cluster: &'a ClusterSpec,
    /// The model's YAML in full.
    pub model_text: &'a str,
    /// The cluster's YAML in full, with that of its devices.
    pub cluster_text: &'a str,
    /// The software stack's YAML in full.
    pub stack_text: &'a str,
    /// Tokens of the training run; the model's own budget where `None`.
    pub tokens: Option<u64>,
    /// Price of one device for one hour; the cluster's where `None`.
    pub price_per_device_hour: Option<UsDollars>,
    /// Where the interval of the iteration time comes from, in a sentence.
    pub interval_source: &'a str,
    /// The command line that gives this report again, without paths that vary.
    pub command: &'a str,
    /// Best plans on other numbers of devices, by devices; may be empty.
    pub scaling: &'a [ScalingPoint],
    /// `certificate.json` as it is to be written, if there is one.
    pub certificate: Option<&'a [u8]>,
    /// What the certificate adds to the search's own numbers, in sentences.
    pub certificate_summary: &'a [String],
}

impl ReportInput<'_> {
    /// Prediction of the best plan.
    pub(super) fn prediction(&self) -> &Prediction {
        &self.outcome.prediction
    }

    /// Tokens of the training run, if any are known.
    pub(super) fn token_budget(&self) -> Option<u64> {
        self.tokens.or(self.model.training.tokens).filter(|tokens| *tokens > 0)
    }

    /// US dollars for one device and hour, if known.
    pub(super) fn device_hour_price(&self) -> Option<f64> {
        self.price_per_device_hour.or(self.cluster.price_per_device_hour).map(UsDollars::get)
    }
}
