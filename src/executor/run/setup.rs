//! From a workload and its mapping to a rank that is ready to run.

use super::comm::Ranks;
use super::data::DataShape;
use super::ops::Env;
use super::rank::{Groups, Rank, RankSetup};
use crate::executor::error::{ExecutorError, Result};
use crate::lower::{Mapping, Program, Workload};
use crate::mesh::Coordinates;
use crate::spec::{ModelSpec, Precision};
use tch::{Device, Kind};

/// How a rank runs, beside its program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOptions {
    /// Where tensors are.
    pub device: Device,
    /// Compute in 64 bits, to tell errors of the method from those of rounding.
    pub double: bool,
    /// Drop out as the model says; not where runs of different topologies are compared.
    pub dropout: bool,
    /// Tensor-parallel ranks of the plan that is executed or compared with.
    pub gate_pieces: u64,
    /// Parameters are drawn at local shapes, and differ between topologies.
    pub at_true_size: bool,
    /// Instructions are timed.
    pub timed: bool,
    /// Which weights and data: another number gives others.
    pub seed: u64,
}

impl RunOptions {
    /// In host memory, without dropout, comparable over topologies.
    pub fn comparable(gate_pieces: u64, double: bool) -> RunOptions {
        RunOptions {
            device: Device::Cpu,
            double,
            dropout: false,
            gate_pieces,
            at_true_size: false,
            timed: false,
            seed: 0,
        }
    }
}

/// Type of activations and that of gradients and states.
pub(crate) fn kinds(precision: Precision, double: bool) -> Result<(Kind, Kind)> {
    match precision {
        Precision::Fp32 | Precision::Tf32 if double => Ok((Kind::Double, Kind::Double)),
        Precision::Fp32 | Precision::Tf32 => Ok((Kind::Float, Kind::Float)),
        Precision::Bf16Mixed => Ok((Kind::BFloat16, Kind::Float)),
        Precision::Fp16Mixed => Ok((Kind::Half, Kind::Float)),
        Precision::Fp8 => Err(ExecutorError::Unsupported("products in FP8".to_owned())),
    }
}

/// Sizes of a model's data.
pub fn data_shape(model: &ModelSpec) -> DataShape {
    let rows = model.sequence_length as i64;
    DataShape {
        rows,
        vocabulary: model.vocab_size as i64,
        types: model.token_types() as i64,
        masked: model.training.max_predictions_per_sequence.map_or(rows, |count| count as i64),
        global_batch: model.training.global_batch_size as i64,
        seed: 0,
    }
}

/// A rank with its groups.
///
/// # Errors
/// What the executor lacks; a mapping made for another workload.
pub fn rank(
    workload: &Workload,
    mapping: &Mapping,
    seat: Coordinates,
    tensor: Ranks,
    groups: Groups,
    options: &RunOptions,
) -> Result<Rank> {
    let program = mapping
        .program(workload, seat.stage)
        .map_err(|error| ExecutorError::Program(error.to_string()))?;
    of_program(workload, program, seat, tensor, groups, options)
}

/// A rank with a program of its own.
///
/// # Errors
/// What the executor lacks.
pub fn of_program(
    workload: &Workload,
    program: Program,
    seat: Coordinates,
    tensor: Ranks,
    groups: Groups,
    options: &RunOptions,
) -> Result<Rank> {
    if program.context > 1 {
        return Err(ExecutorError::Unsupported("sequences split over ranks".to_owned()));
    }
    let (kind, wide) = kinds(workload.model.training.precision, options.double)?;
    let half = kind == Kind::Half;
    let env = Env {
        tensor,
        micro_batch: program.micro_batch as i64,
        device: options.device,
        kind,
        wide,
        dropout: if options.dropout { workload.model.dropout() } else { (0.0, 0.0) },
        gate_pieces: options.gate_pieces as i64,
        // Gradients of 16-bit floats vanish below 6e-8 (Micikevicius et al. 2018, section 3.2).
        loss_scale: if half { 4096.0 } else { 1.0 },
        global_batch: workload.model.training.global_batch_size as i64,
        kink: 0.0,
        keeps_gradients: false,
    };
    Rank::new(RankSetup {
        program,
        env,
        groups,
        seat,
        data: DataShape { seed: options.seed, ..data_shape(&workload.model) },
        optimizer: workload.model.training.optimizer,
        at_true_size: options.at_true_size,
        timed: options.timed,
    })
}

/// The only rank of a plan for one device.
///
/// # Errors
/// As [`rank`].
pub fn alone(workload: &Workload, mapping: &Mapping, options: &RunOptions) -> Result<Rank> {
    let groups = Groups { data: Ranks::Alone, tied: Ranks::Alone, world: Ranks::Alone };
    let seat = Coordinates::default();
    rank(workload, mapping, seat, Ranks::Alone, groups, options)
}
