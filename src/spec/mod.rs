//! What people write: models, devices, clusters, software stacks. The only layer that knows YAML.

pub mod catalog;
pub mod cluster;
pub mod device;
pub mod diagnostic;
pub mod load;
mod lora;
pub mod machine;
mod measured;
pub mod model;
mod nearest;
mod observed;
pub mod read;
mod resolved;
pub mod schema;
pub mod stack;
mod structure;
mod tree;
pub(crate) mod validate;

pub use catalog::Kind;
pub use cluster::{
    ClusterSpec, LinkKind, NetworkSpec, NodeGroupSpec, RecoverySpec, TierSpec, Topology,
};
pub use device::{
    Calibration, CollectiveConstants, Contention, DeviceSpec, KernelConstants, LinkSpec,
    MeasuredTable, Pace,
};
pub use diagnostic::{Diagnostic, Finding, Source, SpecError};
pub(crate) use diagnostic::{Mark, quoted};
pub use load::{Document, load, load_cluster, load_device, load_model, load_stack, parse, placed};
pub use lora::{LoraSpec, LoraTarget};
pub use measured::MeasuredRow;
pub use model::{
    Activation, Family, ModelSpec, MoeSpec, Norm, NormPlacement, Objective, Optimizer,
    ParallelBranches, Position, Precision, TrainingSpec,
};
pub(crate) use nearest::nearest;
pub use observed::{Load, Observed};
pub use resolved::{Cluster, NodeGroup};
pub use stack::{ScheduleKind, StackSpec, TensorOverlap};
pub use validate::job_findings;
