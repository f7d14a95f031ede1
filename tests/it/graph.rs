//! The operator graph against formulas of the literature, and its blocks against its structure.

use lmplan::graph::{
    Block, BlockKind, Detail, Graph, GraphError, OpKind, SavedKind, SavedOptions, build, to_dot,
    to_json,
};
use lmplan::spec::{ModelSpec, Objective, ParallelBranches};
use lmplan::units::Bytes;
use petgraph::graph::{DiGraph, NodeIndex};
use proptest::prelude::*;

const FP16: SavedOptions = SavedOptions { element_bytes: 2, fused_attention: false };

fn model(name: &str) -> ModelSpec {
    let path = format!("{}/models/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    serde_saphyr::from_str(&std::fs::read_to_string(path).expect(name)).expect(name)
}

fn block(graph: &Graph, kind: BlockKind) -> &Block {
    graph.blocks.iter().find(|block| block.kind == kind).expect("there is one")
}

fn names(graph: &Graph, kind: BlockKind) -> Vec<&str> {
    block(graph, kind).ops.iter().map(|&node| graph.dag[node].name.as_str()).collect()
}

type Outline = (Vec<(BlockKind, u64, Vec<OpKind>)>, Vec<(usize, u64)>);

/// What the blocks are, without names and node numbers.
fn outline(graph: &Graph) -> Outline {
    let blocks = graph.blocks.iter().map(|block| {
        let kinds = block.ops.iter().map(|&node| graph.dag[node].kind.clone()).collect();
        (block.kind, block.multiplicity, kinds)
    });
    (blocks.collect(), graph.sequence.clone())
}

#[test]
fn a_pre_norm_layer_is_found_whole() {
    let graph = build(&model("gpt3-175b")).expect("builds");
    assert_eq!(graph.sequence, [(0, 1), (1, 96), (2, 1)]);
    assert_eq!(names(&graph, BlockKind::Embedding), ["token", "position", "dropout"]);
    let layer = [
        "attention.norm",
        "attention.qkv",
        "attention.core",
        "attention.proj",
        "attention.add",
        "mlp.norm",
        "mlp.fc1",
        "mlp.act",
        "mlp.fc2",
        "mlp.add",
    ];
    assert_eq!(names(&graph, BlockKind::Layer), layer);
    assert_eq!(names(&graph, BlockKind::Head), ["norm", "lm_head", "loss"]);
}

#[test]
fn a_post_norm_layer_begins_at_its_attention() {
    let mut bert = model("bert-base");
    for embedding_dropout in [0.1, 0.0] {
        bert.embedding_dropout = Some(embedding_dropout);
        let graph = build(&bert).expect("builds");
        assert_eq!(block(&graph, BlockKind::Layer).multiplicity, 12);
        let layer = names(&graph, BlockKind::Layer);
        assert_eq!((layer.len(), layer[0], layer[9]), (10, "attention.qkv", "mlp.norm"));
        let embedding = names(&graph, BlockKind::Embedding);
        assert_eq!(embedding[..4], ["token", "position", "token_type", "norm"]);
        assert_eq!(names(&graph, BlockKind::Head).len(), 12);
    }
}

/// Attention and feed-forward network beside each other: the same products, one norm less where
/// they share it, and a layer is still found whole.
#[test]
fn parallel_branches_read_the_layers_input() {
    let one_after_the_other = build(&model("gpt3-175b")).expect("builds");
    for (branches, norms) in [(ParallelBranches::OneNorm, 1), (ParallelBranches::TwoNorms, 2)] {
        let mut spec = model("gpt3-175b");
        spec.parallel_branches = Some(branches);
        let graph = build(&spec).expect("builds");
        assert_eq!(graph.sequence, one_after_the_other.sequence);
        let layer = block(&graph, BlockKind::Layer);
        let of_norm = |node: &&NodeIndex| matches!(graph.dag[**node].kind, OpKind::Norm { .. });
        assert_eq!(layer.ops.iter().filter(of_norm).count(), norms);
        let fewer = (2 - norms as u64) * 2 * spec.hidden_size * spec.num_layers;
        assert_eq!(graph.parameters() + fewer, one_after_the_other.parameters());
        assert_eq!(graph.model_flops(64), one_after_the_other.model_flops(64));
        // What the first product of the feed-forward network reads does not wait for attention.
        let reader = if norms == 1 { "mlp.fc1" } else { "mlp.norm" };
        let find =
            |name: &str| *layer.ops.iter().find(|node| graph.dag[**node].name == name).expect(name);
        let (core, reader) = (find("attention.core"), find(reader));
        assert!(!petgraph::algo::has_path_connecting(&graph.dag, core, reader, None));
    }
}

#[test]
fn blocks_do_not_depend_on_names() {
    for name in ["gpt1", "gpt2-124m", "bert-base", "llama3-8b", "bloom-176b"] {
        let graph = build(&model(name)).expect(name);
        let mut renamed = graph.dag.clone();
        for (number, op) in renamed.node_weights_mut().enumerate() {
            op.name = format!("op{}", number * 7919 % 101);
        }
        let renamed = Graph::from_dag(renamed).expect(name);
        assert_eq!(outline(&graph), outline(&renamed), "{name}");
    }
}

#[test]
fn blocks_do_not_depend_on_how_nodes_are_numbered() {
    for name in ["gpt2-124m", "bert-base", "llama3-8b"] {
        let graph = build(&model(name)).expect(name);
        let mut reversed = DiGraph::new();
        let last = graph.dag.node_count() - 1;
        for node in graph.dag.node_indices().rev() {
            reversed.add_node(graph.dag[node].clone());
        }
        for edge in graph.dag.raw_edges() {
            let [from, to] =
                [edge.source(), edge.target()].map(|node| NodeIndex::new(last - node.index()));
            reversed.add_edge(from, to, edge.weight.clone());
        }
        let reversed = Graph::from_dag(reversed).expect(name);
        assert_eq!(graph.sequence, reversed.sequence, "{name}");
        assert_eq!(graph.parameters(), reversed.parameters(), "{name}");
        for (block, other) in graph.blocks.iter().zip(&reversed.blocks) {
            let bytes = |graph: &Graph, block| graph.saved_bytes(block, FP16, false);
            assert_eq!(bytes(&graph, block), bytes(&reversed, other), "{name}");
        }
    }
}

#[test]
fn layers_of_two_kinds_are_two_runs() {
    let mut spec = model("gpt2-124m");
    spec.num_layers = 7;
    let mut dag = build(&spec).expect("builds").dag;
    // The fourth layer on are without bias in their second linear layer.
    let mut seen = 0;
    for op in dag.node_weights_mut().filter(|op| op.name == "mlp.fc2") {
        seen += 1;
        if let (true, OpKind::Linear { bias, .. }) = (seen > 3, &mut op.kind) {
            *bias = false;
        }
    }
    let graph = Graph::from_dag(dag).expect("blocks");
    assert_eq!(graph.sequence, [(0, 1), (1, 3), (2, 4), (3, 1)]);
    let sizes: Vec<u64> = graph.blocks.iter().map(|block| graph.block_parameters(block)).collect();
    assert_eq!(sizes[1] - sizes[2], 768);
}

#[test]
fn a_graph_without_layers_or_with_a_cycle_is_an_error() {
    let mut dag = build(&model("gpt2-124m")).expect("builds").dag;
    dag.retain_nodes(|dag, node| dag[node].name == "token" || dag[node].name == "position");
    assert!(matches!(Graph::from_dag(dag.clone()), Err(GraphError::Structure(_))));
    let edge = lmplan::graph::Edge { slot: 0, rows: 1, width: 1 };
    let nodes: Vec<_> = dag.node_indices().collect();
    dag.add_edge(nodes[1], nodes[0], edge);
    assert!(matches!(Graph::from_dag(dag), Err(GraphError::Structure("it has a cycle"))));
    assert!(Graph::from_dag(Default::default()).is_err(), "empty");
}

/// Narayanan et al. 2021, eq. 3, without the factor 4/3 of full recomputation.
#[test]
fn model_flops_follow_the_published_formula() {
    for name in ["gpt2-1.5b", "gpt3-175b", "megatron-gpt-1008b", "megatron-530b"] {
        let spec = model(name);
        let graph = build(&spec).expect(name);
        let [batch, s, l, h, v] = [
            spec.training.global_batch_size,
            spec.sequence_length,
            spec.num_layers,
            spec.hidden_size,
            spec.vocab_size,
        ]
        .map(|value| value as f64);
        let formula = 72.0 * batch * s * l * h * h * (1.0 + s / (6.0 * h) + v / (12.0 * l * h));
        let counted = graph.model_flops(spec.training.global_batch_size).get();
        assert!((counted / formula - 1.0).abs() < 1e-9, "{name}: {counted:e} {formula:e}");
    }
}

/// Touvron et al. count 6 operations per parameter and token; attention comes on top.
#[test]
fn model_flops_of_gated_grouped_models_are_six_per_parameter_and_token() {
    let spec = model("llama3-70b");
    let graph = build(&spec).expect("builds");
    let embedding = spec.vocab_size * spec.hidden_size;
    let norms = (2 * spec.num_layers + 1) * spec.hidden_size;
    let matrices = (graph.parameters() - embedding - norms) as f64;
    let s = spec.sequence_length as f64;
    let attention = 12.0 * s * s * (spec.num_layers * spec.hidden_size) as f64;
    let expected = 6.0 * matrices * s + attention;
    assert!((graph.model_flops(1).get() / expected - 1.0).abs() < 1e-9);
}

/// Korthikanti et al. 2022, eq. 1: s·b·h·(34 + 5·a·s/h) bytes a layer, 34·s·b·h without the core;
/// §4.3: s·b·h for the dropout of the embedding, 4·s·b·h·(1 + v/h) for the head.
#[test]
fn saved_bytes_follow_korthikanti() {
    for name in ["megatron-22b", "megatron-175b", "megatron-530b", "megatron-1t", "gpt2-1.5b"] {
        let spec = model(name);
        let graph = build(&spec).expect(name);
        let (s, h) = (spec.sequence_length, spec.hidden_size);
        let (a, v) = (spec.num_heads, spec.vocab_size);
        let layer = block(&graph, BlockKind::Layer);
        let bytes = |kind, recompute| graph.saved_bytes(block(&graph, kind), FP16, recompute).get();
        assert_eq!(bytes(BlockKind::Layer, false), 34 * s * h + 5 * a * s * s, "{name}");
        assert_eq!(bytes(BlockKind::Layer, true), 34 * s * h, "{name}");
        assert_eq!(bytes(BlockKind::Embedding, false), s * h, "{name}");
        assert_eq!(bytes(BlockKind::Head, false), 4 * s * h + 4 * s * v, "{name}");
        assert_eq!(2 * graph.block_input_elements(layer), 2 * s * h, "{name}: full recompute");
    }
}

/// Eq. 2 and 4 follow from the layouts of the producers: what the column-parallel projections and
/// the operators up to the row-parallel ones make is sharded t ways, the rest only with sequence
/// parallelism.
#[test]
fn producers_tell_how_saved_tensors_are_sharded() {
    let spec = model("megatron-175b");
    let graph = build(&spec).expect("builds");
    let (s, h, a, t) = (spec.sequence_length, spec.hidden_size, spec.num_heads, 8);
    let sharded = ["attention.qkv", "attention.core", "mlp.fc1", "mlp.act"];
    let bytes = |sequence_parallel: bool| -> u64 {
        let tensors = graph.saved(block(&graph, BlockKind::Layer), FP16).into_iter().flatten();
        let local = tensors.map(|tensor| {
            let within = sharded.contains(&graph.dag[tensor.producer].name.as_str());
            tensor.bytes().get() / if within || sequence_parallel { t } else { 1 }
        });
        local.sum()
    };
    assert_eq!(bytes(false), 10 * s * h + 24 * s * h / t + 5 * a * s * s / t);
    assert_eq!(bytes(true), (34 * s * h + 5 * a * s * s) / t);
}

#[test]
fn fused_attention_keeps_its_output_once_and_its_denominators() {
    let spec = model("gpt3-13b");
    let graph = build(&spec).expect("builds");
    let layer = block(&graph, BlockKind::Layer);
    let fused = SavedOptions { fused_attention: true, ..FP16 };
    let (s, h, a) = (spec.sequence_length, spec.hidden_size, spec.num_heads);
    let expected = Bytes::new(34 * s * h + 4 * a * s);
    assert_eq!(graph.saved_bytes(layer, fused, false), expected);
    let saved = graph.saved(layer, fused);
    let core = saved[2].iter().find(|tensor| tensor.what == SavedKind::Output).expect("kept");
    assert_eq!(core.shared_with, Some(layer.ops[3]), "the projection is charged for it");
}

#[test]
fn relu_shares_its_output_and_gates_keep_both_halves() {
    let count = |name: &str| {
        let spec = model(name);
        let graph = build(&spec).expect(name);
        let layer = block(&graph, BlockKind::Layer);
        (graph.saved_bytes(layer, FP16, true).get(), spec)
    };
    let (bytes, opt) = count("opt-13b");
    assert_eq!(bytes, 26 * opt.sequence_length * opt.hidden_size, "8 less than with GELU");
    let (bytes, llama) = count("llama2-70b");
    let (h, f, kv) = (llama.hidden_size, llama.ffn(), llama.kv_heads() * llama.head_width());
    // Norms and projections 2h each, Q, K and V, the attention's output; no dropout.
    let elements = 4 * h + (h + 2 * kv) + h + 3 * f;
    assert_eq!(bytes, 2 * llama.sequence_length * elements);
}

#[test]
fn objectives_have_their_heads() {
    let mut spec = model("bert-base");
    let base = build(&spec).expect("builds").parameters();
    let trunk = base - (590_592 + 1_536 + 30_522) - 590_592 - 1_538;
    for (objective, extra) in [
        (Objective::MaskedLm, 590_592 + 1_536 + 30_522),
        (Objective::Classification, 590_592 + 1_538),
        (Objective::TokenClassification, 1_538),
        (Objective::QuestionAnswering, 1_538),
    ] {
        spec.training.objective = objective;
        let graph = build(&spec).expect("builds");
        assert_eq!(graph.parameters(), trunk + extra, "{objective:?}");
        assert_eq!(block(&graph, BlockKind::Layer).multiplicity, 12, "{objective:?}");
    }
    spec.training.objective = Objective::CausalLm;
    assert!(matches!(build(&spec), Err(GraphError::Objective { .. })));
    let mut gpt = model("gpt2-124m");
    gpt.training.objective = Objective::MaskedLmNsp;
    assert!(matches!(build(&gpt), Err(GraphError::Objective { .. })));
    gpt.training.objective = Objective::Classification;
    assert_eq!(build(&gpt).expect("builds").parameters(), 124_439_808 + 2 * 768);
}

#[test]
fn nonsense_is_refused_and_named() {
    let refused = |change: fn(&mut ModelSpec), part: &str| {
        let mut spec = model("gpt2-124m");
        change(&mut spec);
        let message = build(&spec).expect_err(part).to_string();
        assert!(message.contains(part) && message.contains("gpt2-124m"), "{part}: {message}");
    };
    refused(|spec| spec.num_layers = 0, "`num_layers`");
    refused(|spec| spec.num_layers = u64::MAX, "`num_layers`");
    refused(|spec| spec.hidden_size = 0, "`hidden_size`");
    refused(|spec| spec.num_heads = 0, "`num_heads`");
    refused(|spec| spec.num_heads = 7, "not a multiple of `num_heads` 7");
    refused(|spec| spec.num_kv_heads = Some(5), "`num_kv_heads` 5");
    refused(|spec| spec.num_kv_heads = Some(0), "`num_kv_heads`");
    refused(|spec| spec.head_dim = Some(u64::MAX), "`head_dim`");
    refused(|spec| spec.ffn_hidden_size = Some(u64::MAX), "`ffn_hidden_size`");
    refused(|spec| spec.vocab_size = u64::MAX, "`vocab_size`");
    refused(|spec| spec.max_position_embeddings = Some(512), "`sequence_length`");
    refused(|spec| spec.hidden_dropout = Some(f64::NAN), "`hidden_dropout`");
    refused(|spec| spec.training.num_labels = Some(0), "`num_labels`");
    let error = build(&model("mixtral-8x7b")).expect_err("a mixture of experts");
    assert!(
        error.to_string().contains("mixture of experts, for which lmplan can not make plans yet")
    );
}

#[test]
fn exports_name_every_operator_and_repeat_byte_for_byte() {
    let graph = build(&model("bert-base")).expect("builds");
    let json = to_json(&graph);
    assert_eq!(json["ops"].as_array().map(Vec::len), Some(graph.dag.node_count()));
    assert_eq!(json["edges"].as_array().map(Vec::len), Some(graph.dag.edge_count()));
    assert_eq!(json["parameters"], 110_106_428);
    assert_eq!(json.to_string(), to_json(&graph).to_string());
    let (whole, distinct) = (to_dot(&graph, Detail::Whole), to_dot(&graph, Detail::DistinctBlocks));
    assert_eq!(whole.matches("subgraph").count(), 14);
    assert_eq!(distinct.matches("subgraph").count(), 3);
    assert!(distinct.contains("layer × 12") && distinct.contains("style=dashed"));
    assert_eq!(whole.matches(" -> ").count(), graph.dag.edge_count());
    assert_eq!(whole.matches('{').count(), whole.matches('}').count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Blocks expand to the whole graph, counts are additive over layers, and every occurrence of
    /// a block keeps the same.
    #[test]
    fn counts_are_additive(
        name in prop::sample::select(vec!["gpt1", "gpt2-124m", "bert-base", "llama3-8b", "mpt-1b"]),
        layers in 1u64..9,
        fused_attention in any::<bool>(),
    ) {
        let mut spec = model(name);
        spec.num_layers = layers;
        let graph = build(&spec).expect(name);
        let mut nodes: Vec<_> =
            graph.occurrences().into_iter().flat_map(|(_, ops)| ops).collect();
        nodes.sort();
        prop_assert_eq!(nodes, graph.dag.node_indices().collect::<Vec<_>>());
        prop_assert_eq!(block(&graph, BlockKind::Layer).multiplicity, layers);

        let options = SavedOptions { element_bytes: 2, fused_attention };
        let layer = block(&graph, BlockKind::Layer);
        for (index, ops) in graph.occurrences() {
            let kind = graph.blocks[index].kind;
            let occurrence = Block { kind, ops, multiplicity: 1 };
            let first = &graph.blocks[index];
            prop_assert_eq!(graph.block_parameters(&occurrence), graph.block_parameters(first));
            prop_assert_eq!(
                graph.saved_bytes(&occurrence, options, false),
                graph.saved_bytes(first, options, false)
            );
        }
        let parameters = graph.parameters();
        let flops = graph.model_flops(3).get();
        spec.num_layers = layers + 1;
        let deeper = build(&spec).expect(name);
        prop_assert_eq!(deeper.parameters() - parameters, graph.block_parameters(layer));
        let step = 9.0 * graph.block_forward_flops(layer).get();
        prop_assert!(((deeper.model_flops(3).get() - flops) / step - 1.0).abs() < 1e-9);
    }
}
