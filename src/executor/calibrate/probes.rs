//! The small models whose kernels are measured: layers of several widths, lengths and batches, and
//! layers that are little but attention.

use crate::executor::gpu;
use crate::spec::{self, ModelSpec, Precision};

/// A model of one layer, and the sequences of its micro-batch.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) model: ModelSpec,
    pub(crate) batch: u64,
}

/// Width of a head of the probes of whole layers.
const HEAD: u64 = 64;

/// Words of the probes of a GPU.
const GPU_VOCABULARY: u64 = 8192;

/// A layer: model, hidden size, rows of a sequence, sequences, vocabulary.
type Layer = (&'static str, u64, u64, u64, u64);

/// Attention: model, heads, width of a head, rows of a sequence, sequences.
type Attention = (&'static str, u64, u64, u64, u64);

const GPT: &str = "gpt2-124m";
const BERT: &str = "bert-base";
const LLAMA: &str = "llama-7b";

const QUICK_LAYERS: [Layer; 6] = [
    (GPT, 128, 64, 2, 1024),
    (GPT, 256, 128, 4, 16384),
    (GPT, 512, 512, 2, 1024),
    (GPT, 768, 256, 1, 1024),
    (BERT, 256, 128, 4, 4096),
    (LLAMA, 384, 128, 2, 1024),
];

const QUICK_ATTENTION: [Attention; 5] = [
    (GPT, 4, 64, 128, 2),
    (GPT, 8, 64, 512, 1),
    (GPT, 6, 64, 1024, 1),
    (BERT, 8, 64, 512, 1),
    (LLAMA, 4, 128, 512, 1),
];

const LAYERS: [(u64, u64, u64, u64); 14] = [
    (128, 64, 4, 8192),
    (192, 96, 4, 4096),
    (256, 128, 1, 8192),
    (256, 128, 4, 8192),
    (256, 256, 2, 8192),
    (384, 192, 2, 4096),
    (512, 64, 2, 8192),
    (512, 256, 1, 4096),
    (512, 128, 4, 8192),
    (512, 256, 2, 8192),
    (512, 512, 4, 2048),
    (768, 128, 2, 4096),
    (640, 512, 1, 4096),
    (1024, 256, 1, 8192),
];

const ATTENTION: [(u64, u64, u64, u64); 10] = [
    (2, 64, 64, 1),
    (8, 64, 64, 4),
    (4, 64, 128, 2),
    (4, 64, 256, 1),
    (8, 64, 256, 2),
    (8, 64, 512, 1),
    (6, 64, 1024, 1),
    (4, 128, 256, 1),
    (8, 128, 512, 1),
    (2, 64, 2048, 1),
];

/// The probes, in an order in which like ones do not follow each other.
pub(crate) fn probes(quick: bool, cuda: bool) -> Vec<Probe> {
    let (mut layers, mut attention) = (Vec::new(), Vec::new());
    let precision = if cuda { Precision::Bf16Mixed } else { Precision::Fp32 };
    if cuda {
        let sizes = if quick { &gpu::LAYERS[2..5] } else { &gpu::LAYERS };
        for name in [GPT, BERT, LLAMA] {
            let of = |&(hidden, rows, batch)| (name, hidden, rows, batch, GPU_VOCABULARY);
            layers.extend(sizes.iter().map(of));
        }
    } else if quick {
        layers.extend(QUICK_LAYERS);
        attention.extend(QUICK_ATTENTION);
    } else {
        let all =
            |name| LAYERS.map(|(hidden, rows, batch, words)| (name, hidden, rows, batch, words));
        layers.extend([GPT, BERT, LLAMA].into_iter().flat_map(all));
        let all =
            |name| ATTENTION.map(|(heads, width, rows, batch)| (name, heads, width, rows, batch));
        attention.extend([GPT, BERT].into_iter().flat_map(all));
    }
    let layers = layers.into_iter().filter_map(|(name, hidden, rows, batch, words)| {
        let sizes = Sizes { hidden, heads: hidden / HEAD, ffn: None, rows, words };
        Some(Probe { model: model(name, &sizes, batch, precision)?, batch })
    });
    let attention = attention.into_iter().filter_map(|(name, heads, width, rows, batch)| {
        // As little as there can be beside attention.
        let sizes = Sizes { hidden: heads * width, heads, ffn: Some(HEAD), rows, words: HEAD };
        Some(Probe { model: model(name, &sizes, batch, precision)?, batch })
    });
    layers.chain(attention).collect()
}

/// What is taken from no catalogue.
struct Sizes {
    hidden: u64,
    heads: u64,
    /// The model's own multiple of the hidden size where none is given.
    ffn: Option<u64>,
    rows: u64,
    words: u64,
}

/// One layer of a model of the catalogue at other sizes.
fn model(name: &str, sizes: &Sizes, batch: u64, precision: Precision) -> Option<ModelSpec> {
    let (mut model, _) = spec::load_model(name, crate::spec::catalog::built_in()).ok()?;
    // Llama's is 8/3 of the hidden size (Touvron et al. 2023), in multiples of 32.
    let usual = if name == LLAMA { sizes.hidden * 8 / 3 / 32 * 32 } else { 4 * sizes.hidden };
    model.num_layers = 1;
    model.hidden_size = sizes.hidden;
    model.num_heads = sizes.heads;
    model.num_kv_heads = model.num_kv_heads.map(|_| sizes.heads);
    model.ffn_hidden_size = Some(sizes.ffn.unwrap_or(usual));
    model.vocab_size = sizes.words;
    model.sequence_length = sizes.rows;
    model.max_position_embeddings = None;
    let training = &mut model.training;
    training.max_predictions_per_sequence =
        training.max_predictions_per_sequence.map(|_| (sizes.rows / 6).max(1));
    training.precision = precision;
    training.global_batch_size = batch;
    model.published_parameters = None;
    Some(model)
}
