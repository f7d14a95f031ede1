//! Peak memory as tools count it, and measured peaks compared.

use super::row::MeasuredRun;
use crate::planner::job::Job;
use crate::planner::job::costs::Costs;
use crate::planner::predict::choice::Choice;
use crate::sim::Prediction;

/// Bytes of the fullest rank, by what counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeakMemory {
    /// What the allocator handed out (`torch.cuda.max_memory_allocated`).
    pub allocated: u64,
    /// What it reserved for that (`max_memory_reserved`).
    pub reserved: u64,
    /// What the device has given away, runtime and communicators included (`nvidia-smi`).
    pub device: u64,
}

impl PeakMemory {
    /// The peak of a predicted plan on its fullest stage, or on its first.
    pub fn of(job: &Job, choice: &Choice, prediction: &Prediction, first: bool) -> PeakMemory {
        let memory = job.memory(&choice.mapping.candidate);
        let stages = prediction.stages.iter();
        let count = if first { 1 } else { usize::MAX };
        let stage = stages.take(count).max_by_key(|stage| stage.peak_memory_bytes);
        let Some(stage) = stage else { return PeakMemory::default() };
        let device = stage.peak_memory_bytes;
        let reserved = device.saturating_sub(memory.fixed.get());
        // `other` holds the fixed part, two transfers, the working memory w and what is lost of it
        // and of the activations a: f (a + w).
        let kept = memory.fixed.get() + 2 * memory.transfer.get();
        let rest = stage.other_bytes.saturating_sub(kept) as f64;
        let activations = stage.activations_bytes as f64;
        let f = memory.fragmentation;
        let working = ((rest - f * activations) / (1.0 + f)).max(0.0);
        let lost = (f * (activations + working)) as u64;
        PeakMemory { allocated: reserved.saturating_sub(lost), reserved, device }
    }

    /// What a measurement of this kind counts.
    pub fn counted_as(&self, kind: &str) -> u64 {
        let kind = kind.to_lowercase();
        if kind.contains("smi") {
            self.device
        } else if kind.contains("reserved") {
            self.reserved
        } else {
            self.allocated
        }
    }
}

/// Whether a measurement was read off one device, and so off the first: `nvidia-smi` shows the
/// devices of one node, and only some sources say that they took the largest of the stages.
pub fn is_of_the_first_rank(row: &MeasuredRun) -> bool {
    let kind = row.mem_kind.to_lowercase();
    kind.contains("smi") && !kind.contains("max")
}
