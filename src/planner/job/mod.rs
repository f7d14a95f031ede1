//! A planning job: model, cluster and stack put together, and the costs that the search asks for.

pub mod block_choices;
pub mod costs;
pub mod machine;

use crate::cost::{CostModel, PlacedCost};
use crate::graph::{BlockKind, Collective, Kernel, OpKind};
use crate::lower::Candidate;
use crate::lower::{Links, MemoryModel, Prices, StageSettings, Workload, WorkloadError};
use crate::mesh::{Axis, GroupPlacement, Mesh};
use crate::planner::block::block_options;
use crate::planner::job::block_choices::{BlockChoices, pareto};
use crate::planner::job::costs::{BlockSet, Costs};
use crate::planner::job::machine::{Machine, MachineError};
use crate::planner::space::{Pins, Space};
use crate::sharding::{Group, InstructionCost, Layout};
use crate::spec::{Cluster, ModelSpec, NodeGroupSpec, Optimizer, StackSpec};
use crate::units::{Bytes, SimTime};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Why a model can not be planned on a cluster.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// The model.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The cluster.
    #[error(transparent)]
    Machine(#[from] MachineError),
}

/// A model on a cluster under a software stack.
#[derive(Debug)]
pub struct Job {
    /// What is trained.
    pub workload: Workload,
    /// What it runs on.
    pub machine: Machine,
    cost: CostModel,
    choices: Arc<Choices>,
}

/// Tensor-parallel ways, micro-batch size, sequence parallelism.
type BlockKey = (u64, u64, bool);

/// Shardings of the blocks that were found so far.
type Choices = Mutex<BTreeMap<BlockKey, Arc<BlockChoices>>>;

impl Job {
    /// Puts a job together.
    ///
    /// # Errors
    /// A model without a graph or with layers of several kinds, a cluster with devices of several
    /// kinds or none.
    pub fn new(model: ModelSpec, cluster: Cluster, stack: StackSpec) -> Result<Job, JobError> {
        let workload = Workload::new(model, stack)?;
        Ok(Job::of(workload, Machine::new(cluster)?, Arc::default()))
    }

    fn of(workload: Workload, machine: Machine, choices: Arc<Choices>) -> Job {
        let precision = workload.model.training.precision;
        let Machine { cluster, device, .. } = &machine;
        let cost = CostModel::new(cluster, device, &workload.stack, precision);
        Job { workload, machine, cost, choices }
    }

    /// The same job on another number of nodes or with other memory. Shardings of blocks depend on
    /// neither, but for whether there is one node or several, and are shared with this job.
    pub fn resized(&self, nodes: Vec<NodeGroupSpec>, memory: Bytes) -> Job {
        let several =
            |nodes: &[NodeGroupSpec]| nodes.iter().map(|group| group.count).sum::<u64>() > 1;
        let widths = |nodes: &[NodeGroupSpec]| -> Vec<u64> {
            nodes.iter().map(|group| group.devices_per_node).collect()
        };
        let own = &self.machine.cluster.nodes;
        let alike = several(&nodes) == several(own) && widths(&nodes) == widths(own);
        let choices = if alike { self.choices.clone() } else { Arc::default() };
        Job::of(self.workload.clone(), self.machine.resized(nodes, memory), choices)
    }

    /// The space of all plans, with what the user has fixed.
    pub fn space(&self, pins: Pins) -> Space {
        let model = &self.workload.model;
        let mut tensor_divides = vec![model.num_heads, model.ffn(), model.hidden_size];
        tensor_divides.extend(self.workload.split_kv_heads());
        Space {
            devices: self.machine.devices,
            global_batch: self.workload.model.training.global_batch_size,
            num_layers: self.workload.model.num_layers,
            tensor_divides,
            sequence_length: self.workload.model.sequence_length,
            schedules: self.workload.stack.schedules.clone(),
            pins,
        }
    }

    /// The cost model.
    pub fn cost(&self) -> &CostModel {
        &self.cost
    }

    /// Prices inside one tensor-parallel and one context-parallel group, for block choices.
    pub fn block_prices(&self, tensor: u64, context: u64) -> PlacedCost<'_> {
        let mesh = Mesh::new(tensor, context, 1, 1);
        let place = |axis| mesh.placement(axis, &self.machine.nodes);
        self.cost.with_groups(place(Axis::Tensor), place(Axis::Context), place(Axis::Pipeline))
    }

    /// Time of the host to launch one kernel.
    pub fn launch(&self) -> SimTime {
        self.cost.launch_time(1)
    }

    /// The Pareto-best shardings of all blocks, computed once for each key.
    pub fn choices(
        &self,
        tensor: u64,
        micro_batch: u64,
        sequence_parallel: bool,
    ) -> Arc<BlockChoices> {
        let key = (tensor, micro_batch, sequence_parallel);
        let lock = || self.choices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(choices) = lock().get(&key) {
            return choices.clone();
        }
        let choices = Arc::new(self.make_choices(key));
        lock().entry(key).or_insert(choices).clone()
    }

    fn make_choices(&self, (tensor, micro_batch, sequence_parallel): BlockKey) -> BlockChoices {
        let context = self.workload.shard_context(tensor, 1, micro_batch);
        let prices = self.block_prices(tensor, 1);
        let boundary = Layout::boundary(sequence_parallel);
        let options = |kind: BlockKind| {
            block_options(
                &self.workload.graph,
                self.workload.block(kind),
                &context,
                boundary,
                &prices,
            )
        };
        let launch = self.launch();
        let (embedding_times, embedding) = pareto(options(BlockKind::Embedding), launch, true);
        let (layer_times, layer) = pareto(options(BlockKind::Layer), launch, true);
        let heads = options(BlockKind::Head);
        let (beside_times, beside) = pareto(heads.clone(), launch, false);
        let (head_times, head) = pareto(heads, launch, true);
        let set = BlockSet::new(embedding_times, layer_times, [head_times, beside_times]);
        BlockChoices { set: Arc::new(set), embedding, layer, head: [head, beside] }
    }

    /// Bytes of the activation between two blocks, on one rank.
    fn boundary_bytes(&self, candidate: &Candidate) -> Bytes {
        let context =
            self.workload.shard_context(candidate.tensor, candidate.context, candidate.micro_batch);
        let rows =
            candidate.micro_batch * self.workload.model.sequence_length.div_ceil(candidate.context);
        let whole = Bytes::new(rows * self.workload.model.hidden_size * context.element_bytes());
        if candidate.sequence_parallel { whole.div_ceil(candidate.tensor) } else { whole }
    }

    /// Times of the transfers from every stage to the next, the last to the first.
    fn hops(&self, candidate: &Candidate) -> Vec<SimTime> {
        let p = candidate.pipeline;
        if p == 1 {
            return vec![SimTime::ZERO];
        }
        let mesh = candidate.mesh();
        let ranks = mesh.stride(Axis::Pipeline);
        let node = |rank: u64| self.machine.nodes.place(rank).map(|place| place.node);
        let same_node = |from: u64, to: u64| {
            self.machine.nodes.count() <= 1
                || (ranks <= self.machine.nodes.largest()
                    && mesh.stage(from).zip(mesh.stage(to)).all(|(a, b)| node(a) == node(b)))
        };
        let sharing = ranks.min(self.machine.nodes.smallest());
        let [inside, across] = [true, false].map(|same| self.transfer(candidate, same, sharing));
        (0..p).map(|q| if same_node(q, (q + 1) % p) { inside } else { across }).collect()
    }

    /// Time of a transfer from one stage to the next. Where activations are replicated over the
    /// tensor ranks, the stack may send each rank's share and gather on arrival (Narayanan et al.
    /// 2021, §4.1).
    fn transfer(&self, candidate: &Candidate, same_node: bool, sharing: u64) -> SimTime {
        let bytes = self.boundary_bytes(candidate);
        let send =
            |bytes: Bytes| self.cost.collectives().point_to_point_time(bytes, same_node, sharing);
        let splits = self.workload.stack.p2p_scatter_gather
            && candidate.tensor > 1
            && !candidate.sequence_parallel;
        if !splits {
            return send(bytes);
        }
        let tensor = self.block_prices(candidate.tensor, 1);
        send(bytes.div_ceil(candidate.tensor))
            + tensor.collective(Collective::AllGather, bytes, Group::Tensor)
    }

    /// Elements of a token embedding's shard, where the head uses and trains the same weights.
    fn tied_elements(&self, tensor: u64) -> u64 {
        let tied = |op: &crate::graph::Op| op.parameters().iter().any(|p| p.tied && p.trained);
        let head = self.workload.block(BlockKind::Head);
        if !head.ops.iter().any(|node| tied(&self.workload.graph.dag[*node])) {
            return 0;
        }
        let tables = self.workload.block(BlockKind::Embedding).ops.iter().map(|node| {
            let op = &self.workload.graph.dag[*node];
            match op.kind {
                OpKind::TokenEmbedding { vocab } => vocab.div_ceil(tensor) * op.width,
                _ => 0,
            }
        });
        tables.sum()
    }
}

/// Prices of one candidate's stages.
struct StagePrices<'a> {
    placed: PlacedCost<'a>,
    cost: &'a CostModel,
    optimizer: Optimizer,
}

impl InstructionCost for StagePrices<'_> {
    fn kernel(&self, kernel: &Kernel) -> SimTime {
        self.placed.kernel(kernel)
    }

    fn collective(&self, collective: Collective, bytes: Bytes, group: Group) -> SimTime {
        self.placed.collective(collective, bytes, group)
    }

    fn launch(&self) -> SimTime {
        self.placed.launch()
    }
}

impl Prices for StagePrices<'_> {
    fn optimizer_step(&self, elements: u64) -> SimTime {
        self.cost.optimizer_time(elements, self.optimizer)
    }
}

impl Costs for Job {
    fn blocks(&self, tensor: u64, micro_batch: u64, sequence_parallel: bool) -> Arc<BlockSet> {
        self.choices(tensor, micro_batch, sequence_parallel).set.clone()
    }

    fn prices(&self, candidate: &Candidate) -> Box<dyn Prices + '_> {
        let mesh = candidate.mesh();
        let placed = self.cost.with_groups(
            mesh.placement(Axis::Tensor, &self.machine.nodes),
            mesh.placement(Axis::Context, &self.machine.nodes),
            mesh.placement_of_replicas(&self.machine.nodes),
        );
        let optimizer = self.workload.model.training.optimizer;
        Box::new(StagePrices { placed, cost: &self.cost, optimizer })
    }

    fn links(&self, candidate: &Candidate) -> Links {
        let p = candidate.pipeline;
        let hops = self.hops(candidate);
        let all_reduce = |bytes: u64, size: u64, stride: u64| {
            let group = GroupPlacement::new(&self.machine.nodes, size, stride);
            self.cost.collectives().collective_time(
                Collective::AllReduce,
                Bytes::new(bytes),
                &group,
            )
        };
        let tied = self.tied_elements(candidate.tensor);
        let tied_reduce = if p > 1 && tied > 0 {
            let stride = candidate.mesh().stride(Axis::Pipeline) * (p - 1);
            all_reduce(tied * self.shape(candidate).gradient_bytes, 2, stride)
        } else {
            SimTime::ZERO
        };
        // One 32-bit norm, summed over all ranks.
        let gradient_norm = if candidate.devices() > 1 {
            all_reduce(4, candidate.devices(), 1)
        } else {
            SimTime::ZERO
        };
        // Without interleaving, stacks wait for their transfers (Megatron-Core's schedules.py);
        // with it they run them beside other chunks.
        let blocking = !(self.workload.stack.overlap_p2p && candidate.chunks > 1);
        Links { hops, blocking, tied_reduce, gradient_norm }
    }

    fn shape(&self, candidate: &Candidate) -> StageSettings {
        let element_bytes = self.workload.shard_context(1, 1, 1).element_bytes();
        let mixed = self.workload.model.training.precision.is_mixed();
        StageSettings {
            replicas: candidate.replicas(),
            sharding: candidate.sharding,
            parameter_bytes: element_bytes,
            gradient_bytes: if mixed { self.workload.stack.gradient_reduce_bytes } else { 4 },
            bucket_elements: self.workload.stack.bucket_elements,
            overlap_reduce: self.workload.stack.overlap_gradient_reduce,
            overlap_gather: self.workload.stack.overlap_parameter_gather,
            contention: self.workload.stack.overlap_contention,
            stages: candidate.pipeline,
            step_overhead: SimTime::from_seconds(self.workload.stack.step_overhead),
        }
    }

    fn memory(&self, candidate: &Candidate) -> MemoryModel {
        let state = self.cost.state_bytes(self.workload.model.training.optimizer);
        let ways = [
            candidate.tensor,
            candidate.context,
            candidate.pipeline,
            candidate.replicas(),
            candidate.devices(),
        ];
        let groups = ways.iter().filter(|ways| **ways > 1).count() as u64;
        let transfer =
            if candidate.pipeline > 1 { self.boundary_bytes(candidate) } else { Bytes::ZERO };
        let mixed = self.workload.model.training.precision.is_mixed();
        MemoryModel {
            state: [state.parameters, state.gradients, state.optimizer],
            gradient_copy: if mixed { self.workload.stack.gradient_copy_bytes } else { 0 },
            reduce_buffers: self.workload.stack.reduce_buffers,
            fixed: self.workload.stack.context_memory
                + self.workload.stack.communicator_memory * groups,
            transfer,
            keeps_stage_outputs: self.workload.stack.keeps_stage_outputs,
            fragmentation: self.workload.stack.fragmentation,
            capacity: self.capacity(),
        }
    }

    fn capacity(&self) -> Bytes {
        self.machine.device.memory
    }
}
