//! What a plan is predicted to do. Field names are those of the JSON output.

use serde::{Deserialize, Serialize};

/// Predicted time, memory and rates of one iteration of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// One optimizer step over the global batch.
    pub iteration_time_s: f64,
    /// Lower end of the interval.
    pub iteration_time_low_s: f64,
    /// Upper end of the interval.
    pub iteration_time_high_s: f64,
    /// Tokens of the whole job per second.
    pub tokens_per_s: f64,
    /// The same for each device.
    pub tokens_per_s_per_device: f64,
    /// Model FLOPs per second and device, in 10^12.
    pub model_tflops_per_device: f64,
    /// Executed FLOPs per second and device, in 10^12.
    pub hardware_tflops_per_device: f64,
    /// Model FLOPs over the dense peak.
    pub mfu: f64,
    /// Executed FLOPs over the dense peak.
    pub hfu: f64,
    /// The fullest rank's peak.
    pub peak_memory_bytes: u64,
    /// Memory of that rank's device.
    pub memory_capacity_bytes: u64,
    /// Parameters that are trained, where not all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_parameters: Option<u64>,
    /// Parameters that stay as they are, where some do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_parameters: Option<u64>,
    /// Where the iteration goes, on the stage that decides it; exposed parts only, sums to the
    /// iteration time.
    pub breakdown: Breakdown,
    /// Stages in pipeline order.
    pub stages: Vec<StagePrediction>,
}

/// Where the iteration goes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the JSON output")]
pub struct Breakdown {
    pub compute_s: f64,
    pub tensor_parallel_s: f64,
    pub context_parallel_s: f64,
    pub expert_parallel_s: f64,
    pub pipeline_p2p_s: f64,
    pub pipeline_bubble_s: f64,
    pub data_parallel_s: f64,
    pub optimizer_s: f64,
    pub recompute_s: f64,
}

impl Breakdown {
    /// Name and value of each part, in the order of the charts.
    pub fn parts(&self) -> [(&'static str, f64); 9] {
        [
            ("compute", self.compute_s),
            ("recompute", self.recompute_s),
            ("tensor parallel", self.tensor_parallel_s),
            ("context parallel", self.context_parallel_s),
            ("expert parallel", self.expert_parallel_s),
            ("pipeline transfers", self.pipeline_p2p_s),
            ("pipeline bubble", self.pipeline_bubble_s),
            ("data parallel", self.data_parallel_s),
            ("optimizer", self.optimizer_s),
        ]
    }
}

/// One stage of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePrediction {
    /// Layers, as in the plan.
    pub layers: String,
    /// Forward pass of one micro-batch.
    pub forward_s: f64,
    /// Backward pass of one micro-batch, recomputation included.
    pub backward_s: f64,
    /// Peak of everything below.
    pub peak_memory_bytes: u64,
    /// Parameters.
    pub parameters_bytes: u64,
    /// Gradients.
    pub gradients_bytes: u64,
    /// Optimizer states and master copies.
    pub optimizer_bytes: u64,
    /// Saved activations at the peak.
    pub activations_bytes: u64,
    /// Workspace, communication buffers, context, fragmentation.
    pub other_bytes: u64,
}
