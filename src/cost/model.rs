//! The cost model as planner and simulator use it.

use super::collective::CollectiveModel;
use super::compute::DeviceModel;
use super::contention::among;
use super::state::{StateBytes, optimizer_kernels, state_bytes};
use crate::graph::{Collective, Kernel};
use crate::mesh::{GroupPlacement, Nodes};
use crate::sharding::{Group, InstructionCost};
use crate::spec::{ClusterSpec, DeviceSpec, Optimizer, Precision, StackSpec};
use crate::units::{Bytes, SimTime};

/// Device, links, network, software and recipe of one training job.
#[derive(Debug, Clone)]
pub struct CostModel {
    device: DeviceModel,
    collectives: CollectiveModel,
    stack: StackSpec,
    precision: Precision,
}

impl CostModel {
    /// The model of `device` in `cluster` under `stack`, at a numeric recipe.
    pub fn new(
        cluster: &ClusterSpec,
        device: &DeviceSpec,
        stack: &StackSpec,
        precision: Precision,
    ) -> Self {
        // All devices of a node are busy at once.
        let busy = Nodes::of(cluster).largest();
        let device = among(device, busy);
        CostModel {
            device: DeviceModel::with_stack(&device, precision, stack),
            collectives: CollectiveModel::new(cluster, &device),
            stack: stack.clone(),
            precision,
        }
    }

    /// The price list for groups that are placed so.
    pub fn with_groups(
        &self,
        tensor: GroupPlacement,
        context: GroupPlacement,
        data: GroupPlacement,
    ) -> PlacedCost<'_> {
        PlacedCost { model: self, tensor, context, data }
    }

    /// Times of kernels.
    pub fn device(&self) -> &DeviceModel {
        &self.device
    }

    /// Times of collectives and transfers.
    pub fn collectives(&self) -> &CollectiveModel {
        &self.collectives
    }

    /// The software stack.
    pub fn stack(&self) -> &StackSpec {
        &self.stack
    }

    /// The numeric recipe.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes kept for each parameter element.
    pub fn state_bytes(&self, optimizer: Optimizer) -> StateBytes {
        state_bytes(self.precision, &self.stack, optimizer)
    }

    /// Time of the optimizer step over `elements` parameters of one rank, collectives apart: the
    /// longer of its kernels and their launches.
    pub fn optimizer_time(&self, elements: u64, optimizer: Optimizer) -> SimTime {
        let kernels = optimizer_kernels(elements, self.precision, &self.stack, optimizer);
        let busy: SimTime = kernels.iter().map(|kernel| self.device.kernel_time(kernel)).sum();
        busy.max(self.launch_time(kernels.iter().map(Kernel::launches).sum()))
    }

    /// Time of the host to launch kernels; none where they are replayed from a graph.
    pub fn launch_time(&self, launches: u64) -> SimTime {
        if self.stack.cuda_graphs {
            return SimTime::ZERO;
        }
        SimTime::from_seconds(self.stack.launch_overhead) * launches
    }
}

/// The price list of instructions whose groups are placed.
#[derive(Debug, Clone, Copy)]
pub struct PlacedCost<'a> {
    model: &'a CostModel,
    tensor: GroupPlacement,
    context: GroupPlacement,
    data: GroupPlacement,
}

impl PlacedCost<'_> {
    /// Where the groups of a kind stand.
    pub fn placement(&self, group: Group) -> &GroupPlacement {
        match group {
            Group::Tensor => &self.tensor,
            Group::Context => &self.context,
            Group::Data => &self.data,
        }
    }
}

impl InstructionCost for PlacedCost<'_> {
    fn kernel(&self, kernel: &Kernel) -> SimTime {
        self.model.device.kernel_time(kernel)
    }

    fn collective(&self, collective: Collective, bytes: Bytes, group: Group) -> SimTime {
        self.model.collectives.collective_time(collective, bytes, self.placement(group))
    }

    fn launch(&self) -> SimTime {
        self.model.launch_time(1)
    }
}
