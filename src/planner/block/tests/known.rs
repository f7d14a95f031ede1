//! What the search of a block must find by itself, and what it must leave.

use super::*;

fn options(
    kind: Kind,
    dims: Dims,
    block: usize,
    cost: &Roofline,
    boundary: Layout,
) -> Vec<BlockOption> {
    let (graph, stack) = (model(kind, dims), stack(true, true));
    let context = context(&stack, cost.ranks, 1);
    block_options(&graph, &graph.blocks[block], &context, boundary, cost)
}

/// The fastest option with no more than a t-th of the weights, and two per cent for norms.
fn fastest_sharded(
    kind: Kind,
    dims: Dims,
    block: usize,
    cost: &Roofline,
    boundary: Layout,
) -> BlockOption {
    let whole = options(kind, dims, block, &nvlink(1), Layout::Replicated)[0].parameters;
    let cap = whole / cost.ranks * 102 / 100;
    let all = options(kind, dims, block, cost, boundary);
    all.into_iter().find(|option| option.parameters <= cap).unwrap()
}

#[test]
fn finds_megatron_by_itself() {
    let cost = nvlink(8);
    let found = fastest_sharded(Kind::Gpt, GPT3_175B, 1, &cost, Layout::Replicated);
    // Norms and sums may be replicated or sharded by rows; products may not differ.
    let products = |option: &BlockOption| [1, 2, 3, 6, 7, 8].map(|op: usize| option.strategies[op]);
    assert_eq!(products(&found)[1], Strategy::Heads);
    assert_eq!(products(&found)[4], Strategy::Feature);
    for (column, row) in [(0, 2), (3, 5)] {
        assert!(products(&found)[column].splits_columns(), "{:?}", found.strategies);
        assert!(products(&found)[row].splits_rows(), "{:?}", found.strategies);
    }
}

#[test]
fn finds_sequence_parallelism_by_itself() {
    for (kind, dims) in [(Kind::Gpt, GPT3_175B), (Kind::Llama, LLAMA2_70B)] {
        let cost = nvlink(8);
        let whole = options(kind, dims, 1, &nvlink(1), Layout::Replicated)[0].clone();
        let found = options(kind, dims, 1, &cost, Layout::Sequence)
            .into_iter()
            .filter(|o| o.parameters <= whole.parameters / 8 * 102 / 100)
            .min_by_key(|o| o.saved[0])
            .unwrap();
        let (graph, stack) = (model(kind, dims), stack(true, true));
        let context = context(&stack, 8, 1);
        let block = &graph.blocks[1];
        let megatron = megatron_strategies(&graph, block, &context, Layout::Sequence).unwrap();
        assert_eq!(found.strategies, megatron);
        assert!(
            megatron.contains(&Strategy::ColumnGather) && megatron.contains(&Strategy::RowScatter)
        );
    }
}

#[test]
fn finds_the_vocabulary_parallel_head_and_embedding() {
    let cost = nvlink(8);
    for boundary in [Layout::Replicated, Layout::Sequence] {
        let head = fastest_sharded(Kind::Gpt, GPT3_175B, 2, &cost, boundary);
        assert!(head.strategies[1].splits_columns(), "{:?}", head.strategies);
        assert_eq!(head.strategies[2], Strategy::Vocabulary);
        let options = options(Kind::Llama, LLAMA2_70B, 0, &cost, boundary);
        let embedding = options.iter().min_by_key(|option| option.parameters).unwrap();
        assert!(embedding.strategies[0].splits_vocabulary());
    }
}

#[test]
fn keeps_weights_whole_where_memory_allows() {
    // Without a cap on weights, rows are sharded and weights are not: no collectives of
    // activations but those of attention. Documented behaviour, not a wish.
    let all = options(Kind::Gpt, GPT3_175B, 1, &nvlink(8), Layout::Sequence);
    let fastest = &all[0];
    assert_eq!(fastest.strategies[1], Strategy::Sequence);
    assert_eq!(fastest.strategies[2], Strategy::Heads);
    assert_eq!(fastest.strategies[6], Strategy::Sequence);
}

#[test]
fn leaves_tensor_sharding_where_the_link_is_slow() {
    let slow = Roofline { ranks: 8, link: 0.2e9, latency: 50e-6 };
    let all = options(Kind::Gpt, GPT3_175B, 1, &slow, Layout::Replicated);
    assert_eq!(all[0].forward.tensor_parallel, SimTime::ZERO, "{:?}", all[0].strategies);
    assert_eq!(all[0].backward.tensor_parallel, SimTime::ZERO);
}

#[test]
fn grouped_heads_fewer_than_ranks_stay_whole() {
    let dims = Dims { a: 8, k: 2, ..SMALL };
    let all = options(Kind::Llama, dims, 1, &nvlink(4), Layout::Replicated);
    assert!(all.iter().all(|option| option.strategies[3] == Strategy::Replicated));
    let all = options(Kind::Llama, dims, 1, &nvlink(2), Layout::Replicated);
    assert!(all.iter().any(|option| option.strategies[3] == Strategy::Heads));
}

#[test]
fn one_rank_has_one_way() {
    for kind in [Kind::Gpt, Kind::Llama, Kind::Bert] {
        for block in 0..3 {
            for boundary in [Layout::Replicated, Layout::Sequence] {
                let all = options(kind, SMALL, block, &nvlink(1), boundary);
                assert_eq!(all.len(), 1);
                assert!(all[0].strategies.iter().all(|s| *s == Strategy::Replicated));
                assert_eq!(all[0].forward.tensor_parallel, SimTime::ZERO);
            }
        }
    }
}
