//! What a rank holds of a block: parameters, gradients and optimizer states, each in one flat
//! buffer, so that reductions and optimizer sharding act on whole blocks.

use super::data::initial;
use crate::executor::error::{ExecutorError, Result};
use crate::graph::{BlockKind, OpKind};
use crate::lower::{BlockCode, LocalParameter, Placed};
use tch::{Device, Kind, Tensor};

/// Where a parameter stands in the flat buffer.
#[derive(Debug, Clone)]
pub struct Range {
    /// Its operator, by index.
    pub operator: usize,
    /// The operator's name.
    pub operator_name: String,
    /// Whether it scales a norm.
    pub is_scale: bool,
    /// Whether it is the token embedding's table, at the embedding or at the head.
    pub is_table: bool,
    /// What it is.
    pub parameter: LocalParameter,
    /// First element.
    pub start: i64,
    /// Elements.
    pub length: i64,
}

/// The token embedding's table in the names of parameters, wherever it stands.
pub(crate) const TABLE: &str = "token";

impl Range {
    /// Its dimensions on this rank.
    pub fn shape(&self) -> Vec<i64> {
        self.parameter.local_shape().iter().map(|side| *side as i64).collect()
    }

    /// It in a flat buffer, as a view of its shape.
    pub fn view(&self, flat: &Tensor) -> Tensor {
        flat.narrow(0, self.start, self.length).view(self.shape().as_slice())
    }

    /// Its values before training, unsharded.
    pub fn initial(&self, placed: Placed, seed: u64) -> Tensor {
        let kind = format!("{:?}", placed.kind);
        // A tied weight is the token embedding's.
        let name: [&str; 3] = if self.is_table {
            ["Embedding", TABLE, "weight"]
        } else {
            [&kind, &self.operator_name, self.parameter.name]
        };
        let shape: Vec<i64> = self.parameter.shape.iter().map(|side| *side as i64).collect();
        let around = if self.is_scale { 1.0 } else { 0.0 };
        initial(&name, placed.layer, seed, &shape, around)
    }

    /// A rank's part of a whole parameter; what is beyond the end is zero.
    pub fn part(&self, whole: &Tensor, rank: i64) -> Tensor {
        let Some(dimension) = self.parameter.split else { return whole.shallow_clone() };
        let dimension = dimension as i64;
        let part = self.shape()[dimension as usize];
        let length = whole.size()[dimension as usize];
        let first = (rank * part).min(length);
        let count = part.min(length - first);
        let own = whole.narrow(dimension, first, count);
        if count == part {
            return own;
        }
        let mut missing = own.size();
        missing[dimension as usize] = part - count;
        let zeros = Tensor::zeros(missing, (whole.kind(), whole.device()));
        Tensor::cat(&[own, zeros], dimension)
    }
}

/// The parameters of a block on a rank, one after the other.
#[derive(Debug, Clone)]
pub struct Flat {
    /// The parameters.
    pub ranges: Vec<Range>,
    /// Elements, made up to a multiple of the replicas.
    pub elements: i64,
}

impl Flat {
    /// Lays the parameters of a block out; without the token embedding's table where `shared` says
    /// that it stands in another block of the rank.
    pub fn new(code: &BlockCode, ways: u64, replicas: u64, shared: bool) -> Flat {
        let mut start = 0;
        let mut ranges = Vec::new();
        for (operator, at) in code.operators.iter().enumerate() {
            for parameter in at.parameters(ways).into_iter().filter(|p| !(shared && p.tied)) {
                let length = parameter.local_elements() as i64;
                let is_norm = matches!(at.op.kind, OpKind::Norm { .. });
                let is_embedding = matches!(at.op.kind, OpKind::TokenEmbedding { .. });
                ranges.push(Range {
                    operator,
                    operator_name: at.op.name.clone(),
                    is_scale: is_norm && parameter.name == "weight",
                    is_table: is_embedding || parameter.tied,
                    parameter,
                    start,
                    length,
                });
                start += length;
            }
        }
        let replicas = replicas as i64;
        Flat { ranges, elements: (start + replicas - 1) / replicas * replicas }
    }

    fn find(&self, operator: usize, name: &str) -> Result<&Range> {
        let found = self
            .ranges
            .iter()
            .find(|range| range.operator == operator && range.parameter.name == name);
        found.ok_or_else(|| {
            ExecutorError::Program(format!("no parameter `{name}` of operator {operator}"))
        })
    }
}

/// Parameters that a pass reads, and the gradients to which it adds.
pub(crate) struct Held<'a> {
    pub(crate) flat: &'a Flat,
    pub(crate) weights: &'a Tensor,
    pub(crate) gradients: Option<&'a Tensor>,
    /// What is added to the gradients, summed in 64 bits, where that is asked for.
    pub(crate) sums: Option<&'a Tensor>,
    /// The token embedding's table, where it stands in another block.
    pub(crate) table: Option<&'a Table>,
}

/// The token embedding's table where it stands, as views.
pub(crate) struct Table {
    weights: Tensor,
    gradients: Tensor,
    sums: Option<Tensor>,
}

impl Held<'_> {
    /// A parameter, as a view.
    pub(crate) fn weight(&self, operator: usize, name: &str) -> Result<Tensor> {
        let range = match (self.flat.find(operator, name), self.table) {
            (Err(_), Some(table)) => return Ok(table.weights.shallow_clone()),
            (found, _) => found?,
        };
        Ok(range.view(self.weights))
    }

    /// Adds to a parameter's gradient.
    pub(crate) fn add(&self, operator: usize, name: &str, gradient: &Tensor) -> Result<()> {
        let range = match (self.flat.find(operator, name), self.table) {
            (Err(_), Some(table)) => {
                add_to(Some(&table.gradients), gradient);
                add_to(table.sums.as_ref(), gradient);
                return Ok(());
            }
            (found, _) => found?,
        };
        let Some(buffer) = self.gradients else {
            return Err(ExecutorError::Program("a gradient arises in a forward pass".into()));
        };
        let view = |flat: &Tensor| range.view(flat);
        add_to(Some(&view(buffer)), gradient);
        add_to(self.sums.map(view).as_ref(), gradient);
        Ok(())
    }
}

/// Adds to a tensor, where there is one.
fn add_to(sum: Option<&Tensor>, term: &Tensor) {
    if let Some(sum) = sum {
        let _ = sum.shallow_clone().g_add_(&term.to_kind(sum.kind()));
    }
}

/// A block's parameters, gradients and optimizer states on a rank.
#[derive(Debug)]
pub struct BlockState {
    /// Which block.
    pub placed: Placed,
    /// Where its parameters stand.
    pub flat: Flat,
    /// All parameters as the model computes with them; nothing where only a part is held between
    /// passes.
    pub weights: Option<Tensor>,
    /// This rank's part of the parameters, as the optimizer keeps them.
    pub master: Tensor,
    /// This rank's part of the parameters as the model computes with them, where that is held by
    /// itself.
    pub own_weights: Option<Tensor>,
    /// Gradients: all of them, or this rank's part.
    pub gradients: Tensor,
    /// All that this rank has added to gradients in a step, summed in 64 bits; where that is asked
    /// for.
    pub sums: Option<Tensor>,
    /// First and second moments of this rank's part.
    pub moments: [Tensor; 2],
    /// This rank's part of the flat buffer: first element and length.
    pub part: (i64, i64),
}

/// How states are split over the replicas, and their types.
#[derive(Debug, Clone, Copy)]
pub struct StateOptions {
    /// Number of this rank's replica, and replicas.
    pub replica: (i64, i64),
    /// Optimizer states are split.
    pub split_states: bool,
    /// Gradients are split.
    pub split_gradients: bool,
    /// Parameters are split.
    pub split_parameters: bool,
    /// Number of this rank in the tensor-parallel group, and its size.
    pub tensor: (i64, u64),
    /// The head reads the token embedding's table where that stands.
    pub shared_table: bool,
    /// Type of the parameters in the model.
    pub kind: Kind,
    /// Type of gradients and states.
    pub wide: Kind,
    /// Where they are.
    pub device: Device,
    /// Which initial values.
    pub seed: u64,
}

impl BlockState {
    /// The state of a block before training. Where `at_true_size`, values are drawn at local
    /// shapes and do not agree between ranks.
    pub fn new(
        placed: Placed,
        code: &BlockCode,
        options: &StateOptions,
        at_true_size: bool,
    ) -> Self {
        let (replica, replicas) = options.replica;
        let flat = Flat::new(code, options.tensor.1, replicas as u64, options.shared_table);
        let narrow = (options.kind, options.device);
        let weights = Tensor::zeros([flat.elements], narrow);
        for range in &flat.ranges {
            let shape = range.shape();
            let own = if at_true_size {
                let around = if range.is_scale { 1.0 } else { 0.0 };
                Tensor::randn(shape.as_slice(), narrow) * 0.02 + around
            } else {
                range.part(&range.initial(placed, options.seed), options.tensor.0)
            };
            range.view(&weights).copy_(&own);
        }
        let part = if options.split_states {
            let length = flat.elements / replicas;
            (replica * length, length)
        } else {
            (0, flat.elements)
        };
        let wide = (options.wide, options.device);
        let own = weights.narrow(0, part.0, part.1);
        let is_mixed = options.kind != options.wide;
        let master = match (is_mixed, options.split_parameters) {
            (true, _) => own.to_kind(options.wide),
            (false, true) => own.copy(),
            (false, false) => own.shallow_clone(),
        };
        let own_weights = match (is_mixed, options.split_parameters) {
            (true, true) => Some(own.copy()),
            (false, true) => Some(master.shallow_clone()),
            _ => None,
        };
        let gradients = if options.split_gradients { part.1 } else { flat.elements };
        BlockState {
            placed,
            weights: (!options.split_parameters).then_some(weights),
            own_weights,
            gradients: Tensor::zeros([gradients], wide),
            sums: None,
            moments: [Tensor::zeros([part.1], wide), Tensor::zeros([part.1], wide)],
            master,
            part,
            flat,
        }
    }

    /// Whether it is the embedding or the head, whose table may be shared.
    pub fn is_end(&self) -> bool {
        self.placed.kind != BlockKind::Layer
    }

    /// The token embedding's table.
    pub(crate) fn table(&self) -> Option<Table> {
        let range =
            self.flat.ranges.iter().find(|range| range.is_table && !range.parameter.tied)?;
        let view = |flat: &Tensor| range.view(flat);
        Some(Table {
            weights: view(self.weights.as_ref()?),
            gradients: view(&self.gradients),
            sums: self.sums.as_ref().map(view),
        })
    }

    /// The overlap of a range with what this rank holds of the gradients: first element in the
    /// gradient buffer, first in the range, length.
    pub fn overlap(&self, range: &Range) -> Option<(i64, i64, i64)> {
        let held = self.gradients.size()[0];
        let first = if held == self.flat.elements { 0 } else { self.part.0 };
        let begin = range.start.max(first);
        let end = (range.start + range.length).min(first + held);
        (begin < end).then(|| (begin - first, begin - range.start, end - begin))
    }
}
