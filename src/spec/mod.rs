//! What people write: models, devices, clusters, software stacks. The only layer that knows YAML.

pub mod cluster;
pub mod device;
pub mod model;
pub mod stack;

pub use cluster::{ClusterSpec, LinkKind, NetworkSpec, NodeGroupSpec, TierSpec, Topology};
pub use device::{CollectiveConstants, DeviceSpec, KernelConstants, LinkSpec};
pub use model::{
    Activation, Family, ModelSpec, MoeSpec, Norm, NormPlacement, Objective, Optimizer, Position,
    Precision, TrainingSpec,
};
pub use stack::{ScheduleKind, StackSpec};
