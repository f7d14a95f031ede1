//! From a model's specification to its operator graph.

use super::builder::Builder;
use super::error::GraphError;
use super::op::Graph;
use super::trained;
use super::{head, layer};
use crate::spec::ModelSpec;

/// Builds the operator graph of one training step of `model`: every operator of every layer is a
/// node, every tensor an edge. Sizes are per sequence.
///
/// # Errors
/// A mixture of experts, sizes that are zero, absurd or do not divide, and objectives that the
/// family can not learn; see [`GraphError`].
pub fn build(model: &ModelSpec) -> Result<Graph, GraphError> {
    let mut builder = Builder::new(model)?;
    let mut stream = builder.embedding();
    for _ in 0..model.num_layers {
        stream = layer::add(&mut builder, stream);
    }
    head::add(&mut builder, stream);
    trained::freeze(&mut builder.dag, model);
    Graph::from_dag(builder.dag)
}
