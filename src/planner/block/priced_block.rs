//! Prices of a block's parts: of every operator under every strategy, and of every tensor between
//! every pair of them. Everything that is chosen from is a sum (or, for workspaces, a maximum) of
//! these.

use super::error::BlockError;
use super::option::BlockOption;
use super::structure::{Flow, Structure};
use crate::graph::{Block, Graph, Kernel};
use crate::sharding::pass::cost_of;
use crate::sharding::rules::gradient_sum;
use crate::sharding::{
    Instruction, InstructionCost, Layout, PassCost, Port, ShardContext, TensorShape, beside_next,
    conversion, local_elements,
};
use crate::units::{Bytes, SimTime};
use std::collections::BTreeMap;

/// What a part of a block costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measure {
    pub forward: PassCost,
    pub backward: PassCost,
    /// Forward work that selective recomputation repeats.
    pub selective: PassCost,
    /// Forward work that full recomputation repeats.
    pub again: PassCost,
    pub parameters: u64,
    pub tied_parameters: u64,
    pub frozen_parameters: u64,
    pub reduced_parameters: u64,
    /// Kept whether or not the attention core is recomputed.
    pub saved: u64,
    /// Kept unless it is.
    pub core_saved: u64,
    /// Rebuilt by full recomputation beside what it has kept.
    pub rebuilt: u64,
    /// Largest workspace: a maximum, not a sum.
    pub workspace: u64,
}

impl Measure {
    /// Puts two parts together.
    pub(super) fn join(&mut self, other: &Measure) {
        self.forward += &other.forward;
        self.backward += &other.backward;
        self.selective += &other.selective;
        self.again += &other.again;
        self.parameters += other.parameters;
        self.tied_parameters += other.tied_parameters;
        self.frozen_parameters += other.frozen_parameters;
        self.reduced_parameters += other.reduced_parameters;
        self.saved += other.saved;
        self.core_saved += other.core_saved;
        self.rebuilt += other.rebuilt;
        self.workspace = self.workspace.max(other.workspace);
    }
}

/// What distinguishes the outputs of an operator's shardings for its readers.
pub(super) type OutputClass = (Port, bool);

/// A block with the prices of its parts.
pub(super) struct PricedBlock<'a> {
    pub structure: Structure<'a>,
    /// By operator and sharding; conversions at the block's ends included.
    pub nodes: Vec<Vec<Measure>>,
    /// Which distinct output each operator's shardings have.
    pub class_of: Vec<Vec<usize>>,
    /// By flow inside the block: producer's class, then reader's sharding. Empty for flows that
    /// enter the block, whose prices are in `nodes`.
    pub flows: Vec<Vec<Vec<Measure>>>,
    /// What does not depend on any choice.
    pub fixed: Measure,
    /// Bytes of the block's input in the boundary layout.
    pub input: u64,
    /// Whether the host's launches may take longer than some pass: if not, no choice is compared
    /// by them.
    pub launches_matter: bool,
}

struct Pricer<'a> {
    context: &'a ShardContext<'a>,
    cost: &'a dyn InstructionCost,
    conversions: BTreeMap<(u64, u64, u64, Layout, Layout), PassCost>,
}

impl Pricer<'_> {
    fn price(&self, instructions: &[Instruction]) -> PassCost {
        cost_of(instructions, self.cost)
    }

    fn conversion(&mut self, shape: TensorShape, from: Layout, to: Layout) -> PassCost {
        if from == to {
            return PassCost::default();
        }
        let (context, cost) = (self.context, self.cost);
        *self
            .conversions
            .entry((shape.rows, shape.width, shape.element_bytes, from, to))
            .or_insert_with(|| cost_of(&conversion(0, shape, from, to, context), cost))
    }

    /// A conversion that runs beside a kernel, without the kernel.
    fn conversion_beside(
        &self,
        shape: TensorShape,
        from: Layout,
        to: Layout,
        kernel: &Kernel,
    ) -> PassCost {
        let mut list = conversion(0, shape, from, to, self.context);
        beside_next(&mut list);
        let alone = Instruction::Compute { op: 0, kernel: kernel.clone() };
        let kernel = cost_of(std::slice::from_ref(&alone), self.cost);
        list.push(alone);
        let mut both = cost_of(&list, self.cost);
        both.compute = both.compute.saturating_sub(kernel.compute);
        both.launches -= kernel.launches;
        both.flops -= kernel.flops;
        both
    }
}

impl<'a> PricedBlock<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        block: &Block,
        context: &'a ShardContext<'a>,
        boundary: Layout,
        cost: &'a dyn InstructionCost,
    ) -> Result<Self, BlockError> {
        let structure = Structure::new(graph, block, context, boundary)?;
        let mut pricer = Pricer { context, cost, conversions: BTreeMap::new() };
        let (mut classes, mut class_of) = (Vec::new(), Vec::new());
        for shardings in &structure.shardings {
            let mut distinct: Vec<OutputClass> = Vec::new();
            let mut of = Vec::with_capacity(shardings.len());
            for sharding in shardings {
                let class = (sharding.output, sharding.output_kept);
                of.push(distinct.iter().position(|c| *c == class).unwrap_or_else(|| {
                    distinct.push(class);
                    distinct.len() - 1
                }));
            }
            classes.push(distinct);
            class_of.push(of);
        }
        let nodes = (0..structure.ops.len()).map(|op| node_prices(&structure, op, &mut pricer));
        let nodes = nodes.collect();
        let mut flows = Vec::with_capacity(structure.flows.len());
        for flow in &structure.flows {
            flows.push(match flow.from {
                None => Vec::new(),
                Some(producer) => classes[producer]
                    .iter()
                    .map(|class| flow_prices(&structure, flow, *class, &mut pricer))
                    .collect(),
            });
        }
        let mut fixed = Measure::default();
        let mut input = 0;
        for (shape, readers) in &structure.entering {
            let sum = gradient_sum(0, *shape, structure.boundary_port(), *readers, context);
            fixed.backward += &pricer.price(sum.as_slice());
            input += local_elements(*shape, boundary, context) * shape.element_bytes;
        }
        let launches_matter = true;
        let mut priced =
            PricedBlock { structure, nodes, class_of, flows, fixed, input, launches_matter };
        priced.launches_matter = priced.may_be_launch_bound(cost.launch());
        Ok(priced)
    }

    /// Whether under some choice the host may take longer to launch a pass than the device to run
    /// it: the least time of all choices against the most launches of all.
    fn may_be_launch_bound(&self, launch: SimTime) -> bool {
        let (mut forward, mut backward) = (SimTime::ZERO, self.fixed.backward.time());
        let (mut forwards, mut backwards) = (0, self.fixed.backward.launches);
        let tables = self.nodes.iter().map(|row| row.iter().collect::<Vec<_>>());
        let flows = self.flows.iter().map(|table| table.iter().flatten().collect::<Vec<_>>());
        for choices in tables.chain(flows) {
            let least = |time: fn(&Measure) -> SimTime| {
                choices.iter().map(|m| time(m)).min().unwrap_or_default()
            };
            let most = |count: fn(&Measure) -> u64| {
                choices.iter().map(|m| count(m)).max().unwrap_or_default()
            };
            forward += least(|m| m.forward.time());
            backward += least(|m| m.backward.time());
            forwards += most(|m| m.forward.launches);
            backwards += most(|m| m.backward.launches + m.selective.launches);
        }
        forward < launch * forwards || backward < launch * backwards
    }

    /// The option that a choice of shardings is.
    pub(super) fn option(&self, choice: &[usize]) -> BlockOption {
        let mut total = self.fixed;
        for (op, &k) in choice.iter().enumerate() {
            total.join(&self.nodes[op][k]);
        }
        for (flow, prices) in self.structure.flows.iter().zip(&self.flows) {
            if let Some(from) = flow.from {
                total.join(&prices[self.class_of[from][choice[from]]][choice[flow.to]]);
            }
        }
        let bytes = |count: u64| Bytes::new(count);
        BlockOption {
            strategies: choice
                .iter()
                .zip(&self.structure.shardings)
                .map(|(&k, shardings)| shardings[k].strategy)
                .collect(),
            forward: total.forward,
            backward: total.backward,
            recompute: [PassCost::default(), total.selective, total.again],
            saved: [bytes(total.saved + total.core_saved), bytes(total.saved), bytes(self.input)],
            transient: [
                bytes(total.workspace),
                bytes(total.core_saved + total.workspace),
                bytes(total.rebuilt + total.workspace),
            ],
            parameters: total.parameters,
            tied_parameters: total.tied_parameters,
            frozen_parameters: total.frozen_parameters,
            tensor_reduced_parameters: total.reduced_parameters,
        }
    }
}

/// An operator under each of its shardings, with the conversions at the block's ends.
fn node_prices(structure: &Structure, op: usize, pricer: &mut Pricer) -> Vec<Measure> {
    let in_core = structure.ops[op].1;
    let mut prices = Vec::with_capacity(structure.shardings[op].len());
    for (k, sharding) in structure.shardings[op].iter().enumerate() {
        let forward = pricer.price(&sharding.forward);
        let own = sharding.saved.get();
        let mut measure = Measure {
            forward,
            backward: pricer.price(&sharding.backward),
            selective: if in_core { forward } else { PassCost::default() },
            again: PassCost::default(),
            parameters: sharding.parameters,
            tied_parameters: sharding.tied_parameters,
            frozen_parameters: sharding.frozen_parameters,
            reduced_parameters: sharding.tensor_reduced_parameters,
            saved: if in_core { 0 } else { own },
            core_saved: if in_core { own } else { 0 },
            rebuilt: own,
            workspace: sharding.workspace.get(),
        };
        for (_, flow) in structure.flows_to(op).filter(|(_, flow)| flow.from.is_none()) {
            let class = (structure.boundary_port(), false);
            measure.join(&flow_price(structure, flow, class, k, pricer));
        }
        if structure.leaves[op] {
            let (shape, boundary) = (structure.outputs[op], structure.boundary);
            measure.forward += &pricer.conversion(shape, sharding.output.layout, boundary);
            measure.backward += &pricer.conversion(shape, boundary, sharding.output.gradient);
        }
        measure.again = if structure.repeated[op] { measure.forward } else { PassCost::default() };
        prices.push(measure);
    }
    prices
}

fn flow_prices(
    structure: &Structure,
    flow: &Flow,
    class: OutputClass,
    pricer: &mut Pricer,
) -> Vec<Measure> {
    (0..structure.shardings[flow.to].len())
        .map(|k| flow_price(structure, flow, class, k, pricer))
        .collect()
}

/// A tensor from its producer's layout to a reader's: forward the activation, backward its
/// gradient, and what is kept of it. Reader and producer keep one copy where nothing is converted.
fn flow_price(
    structure: &Structure,
    flow: &Flow,
    (port, produced_kept): OutputClass,
    choice: usize,
    pricer: &mut Pricer,
) -> Measure {
    let read = structure.input(flow, choice);
    let context = structure.context;
    let in_core = |op: usize| structure.ops[op].1;
    let reader_core = in_core(flow.to);
    let producer_core = flow.from.is_some_and(in_core);
    let forward = pricer.conversion(flow.shape, port.layout, read.port.layout);
    let early = structure.shardings[flow.to][choice].early_conversion().map(|(_, kernel)| kernel);
    let backward = match early {
        Some(kernel) => {
            pricer.conversion_beside(flow.shape, read.port.gradient, port.gradient, kernel)
        }
        None => pricer.conversion(flow.shape, read.port.gradient, port.gradient),
    };
    let mut measure = Measure { forward, backward, ..Measure::default() };
    if structure.repeated[flow.to] {
        measure.again = forward;
    }
    if reader_core && producer_core {
        measure.selective = forward;
    }
    let unconverted = port.layout == read.port.layout;
    let bytes = |layout| local_elements(flow.shape, layout, context) * flow.shape.element_bytes;
    if read.kept {
        let kept = bytes(read.port.layout);
        let inside_core = reader_core && producer_core;
        *(if inside_core { &mut measure.core_saved } else { &mut measure.saved }) += kept;
        // The block's input is there already.
        measure.rebuilt += if flow.from.is_none() && unconverted { 0 } else { kept };
    }
    if produced_kept && flow.first && !(read.kept && unconverted) {
        let kept = bytes(port.layout);
        *(if producer_core { &mut measure.core_saved } else { &mut measure.saved }) += kept;
        measure.rebuilt += kept;
    }
    measure
}
