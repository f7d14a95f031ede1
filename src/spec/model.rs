//! `models/*.yaml`: the architecture of a transformer and how it is trained.

use super::LoraSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A transformer of the BERT, GPT or Llama kind, in Hugging Face's words where one exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Name, as in the catalogue.
    pub name: String,
    /// Family; sets the defaults of the fields left out.
    pub family: Family,
    /// Transformer layers (L).
    pub num_layers: u64,
    /// Width of the residual stream (h).
    pub hidden_size: u64,
    /// Query heads (a).
    pub num_heads: u64,
    /// Key and value heads (k); all heads where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_kv_heads: Option<u64>,
    /// Width of one head; `hidden_size / num_heads` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<u64>,
    /// Inner width of the feed-forward network (f); `4 * hidden_size` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ffn_hidden_size: Option<u64>,
    /// Rows of the token embedding (V).
    pub vocab_size: u64,
    /// Tokens of a training sequence (s).
    pub sequence_length: u64,
    /// Rows of a learned position embedding; `sequence_length` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_position_embeddings: Option<u64>,
    /// Rows of the token-type embedding; 2 for BERT, 0 for others, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_vocab_size: Option<u64>,
    /// Normalisation; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// Where the norms stand; by family where left out (`post` for BERT and GPT-1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_placement: Option<NormPlacement>,
    /// Attention and feed-forward network beside each other, both reading the layer's input (Wang
    /// and Komatsuzaki 2021); one after the other where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_branches: Option<ParallelBranches>,
    /// A norm after the embeddings; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_norm: Option<bool>,
    /// Activation of the feed-forward network; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Position information; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Whether the head shares the token embedding's weights; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tied_embeddings: Option<bool>,
    /// Whether linear layers and layer norms have a bias; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<bool>,
    /// Whether the query, key and value projections have a bias; as `bias` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qkv_bias: Option<bool>,
    /// Whether layer norms have a bias; as `bias` where left out. RMSNorm never has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_bias: Option<bool>,
    /// Probability of dropout on attention weights; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_dropout: Option<f64>,
    /// Probability of dropout on the residual branches; by family where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_dropout: Option<f64>,
    /// Probability of dropout after the embeddings; as `hidden_dropout` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_dropout: Option<f64>,
    /// Mixture of experts, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moe: Option<MoeSpec>,
    /// How it is trained, unless flags say otherwise.
    pub training: TrainingSpec,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Parameters as published, where the source counts them exactly; checked against the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_parameters: Option<u64>,
}

/// The family of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Bidirectional encoder, post-norm, with token types (Devlin et al. 2019).
    Bert,
    /// Causal decoder with learned positions (Radford et al. 2018, 2019; Brown et al. 2020).
    Gpt,
    /// Causal decoder with RMSNorm, rotary positions and SwiGLU (Touvron et al. 2023).
    Llama,
    /// Causal decoder whose feed-forward networks are mixtures of experts.
    Moe,
}

/// Kind of normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Mean and variance (Ba et al. 2016).
    Layernorm,
    /// Root mean square (Zhang and Sennrich 2019).
    Rmsnorm,
}

/// Where a layer's norms stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NormPlacement {
    /// Before each branch, with a last norm in the head.
    Pre,
    /// After each residual sum.
    Post,
}

/// How many norms a layer has whose attention and feed-forward network stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ParallelBranches {
    /// Both read the same norm (GPT-J, Falcon 7B).
    OneNorm,
    /// Each has its own (GPT-NeoX, Falcon 40B).
    TwoNorms,
}

/// Activation of the feed-forward network. The gated kinds have a second input projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Gaussian error linear unit (Hendrycks and Gimpel 2016).
    Gelu,
    /// Rectified linear unit.
    Relu,
    /// Squared ReLU (So et al. 2021).
    #[serde(rename = "squared-relu")]
    SquaredRelu,
    /// Gated SiLU (Shazeer 2020).
    Swiglu,
    /// Gated GELU (Shazeer 2020).
    Geglu,
    /// Hyperbolic tangent (BERT's pooler).
    Tanh,
}

impl Activation {
    /// Whether the activation multiplies two projections.
    pub const fn is_gated(self) -> bool {
        matches!(self, Activation::Swiglu | Activation::Geglu)
    }
}

/// How positions enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// A learned table added to the token embedding.
    Learned,
    /// Rotation of queries and keys (Su et al. 2021).
    Rope,
    /// A bias on attention scores (Press et al. 2021).
    Alibi,
    /// None.
    None,
}

/// What the model learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Next token at every position.
    CausalLm,
    /// Masked tokens, and whether the second sentence follows the first (Devlin et al. 2019).
    #[serde(rename = "masked-lm+nsp")]
    MaskedLmNsp,
    /// Masked tokens only (Liu et al. 2019).
    MaskedLm,
    /// One label a sequence.
    Classification,
    /// One label a token.
    TokenClassification,
    /// Start and end of an answer span.
    QuestionAnswering,
}

/// Numeric recipe.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Everything in 32-bit floats.
    Fp32,
    /// 32-bit storage with TF32 tensor cores.
    Tf32,
    /// 16-bit floats with a 32-bit master copy and loss scaling (Micikevicius et al. 2018).
    Fp16Mixed,
    /// bfloat16 with a 32-bit master copy.
    Bf16Mixed,
    /// FP8 matrix products over a bfloat16 recipe.
    Fp8,
}

impl Precision {
    /// Whether the model computes in fewer bits than its master copy has.
    pub const fn is_mixed(self) -> bool {
        matches!(self, Precision::Fp16Mixed | Precision::Bf16Mixed | Precision::Fp8)
    }

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Tf32 => "tf32",
            Precision::Fp16Mixed => "fp16-mixed",
            Precision::Bf16Mixed => "bf16-mixed",
            Precision::Fp8 => "fp8",
        }
    }
}

/// Optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam or AdamW: two moments.
    Adam,
    /// LAMB: Adam's moments and a norm per layer (You et al. 2020).
    Lamb,
    /// Momentum SGD: one moment.
    Sgd,
}

/// How the model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingSpec {
    /// What is learnt.
    pub objective: Objective,
    /// Sequences per optimizer step (B).
    pub global_batch_size: u64,
    /// Numeric recipe.
    pub precision: Precision,
    /// Optimizer; Adam where left out.
    #[serde(default = "adam")]
    pub optimizer: Optimizer,
    /// Masked positions a sequence, gathered before the masked-LM head; the head runs over all
    /// positions where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_predictions_per_sequence: Option<u64>,
    /// Labels of a fine-tuning head; 2 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_labels: Option<u64>,
    /// Tokens of the whole training run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Low-rank adapters in place of full training; everything is trained where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSpec>,
}

fn adam() -> Optimizer {
    Optimizer::Adam
}

/// Mixture of experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoeSpec {
    /// Routed experts of a layer.
    pub num_experts: u64,
    /// Experts a token visits.
    pub experts_per_token: u64,
    /// Inner width of one expert.
    pub expert_ffn_hidden_size: u64,
    /// Experts that every token visits.
    #[serde(default)]
    pub num_shared_experts: u64,
    /// Layers at the front that are dense.
    #[serde(default)]
    pub num_dense_layers: u64,
}

impl ModelSpec {
    /// Key and value heads (k).
    pub fn kv_heads(&self) -> u64 {
        self.num_kv_heads.unwrap_or(self.num_heads)
    }

    /// Width of one head.
    pub fn head_width(&self) -> u64 {
        self.head_dim.unwrap_or(self.hidden_size / self.num_heads.max(1))
    }

    /// Inner width of the feed-forward network (f).
    pub fn ffn(&self) -> u64 {
        self.ffn_hidden_size.unwrap_or(4 * self.hidden_size)
    }

    /// Rows of the learned position embedding.
    pub fn positions(&self) -> u64 {
        self.max_position_embeddings.unwrap_or(self.sequence_length)
    }

    /// Rows of the token-type embedding.
    pub fn token_types(&self) -> u64 {
        self.type_vocab_size.unwrap_or(if self.family == Family::Bert { 2 } else { 0 })
    }

    /// Kind of normalisation.
    pub fn norm_kind(&self) -> Norm {
        self.norm.unwrap_or(match self.family {
            Family::Bert | Family::Gpt => Norm::Layernorm,
            Family::Llama | Family::Moe => Norm::Rmsnorm,
        })
    }

    /// Where a layer's norms stand.
    pub fn norm_position(&self) -> NormPlacement {
        self.norm_placement.unwrap_or(if self.family == Family::Bert {
            NormPlacement::Post
        } else {
            NormPlacement::Pre
        })
    }

    /// Whether a norm follows the embeddings.
    pub fn has_embedding_norm(&self) -> bool {
        self.embedding_norm.unwrap_or(self.family == Family::Bert)
    }

    /// Activation of the feed-forward network.
    pub fn activation_kind(&self) -> Activation {
        self.activation.unwrap_or(match self.family {
            Family::Bert | Family::Gpt => Activation::Gelu,
            Family::Llama | Family::Moe => Activation::Swiglu,
        })
    }

    /// How positions enter.
    pub fn position_kind(&self) -> Position {
        self.position.unwrap_or(match self.family {
            Family::Bert | Family::Gpt => Position::Learned,
            Family::Llama | Family::Moe => Position::Rope,
        })
    }

    /// Whether the head shares the token embedding's weights.
    pub fn has_tied_embeddings(&self) -> bool {
        self.tied_embeddings.unwrap_or(matches!(self.family, Family::Bert | Family::Gpt))
    }

    /// Whether linear layers and layer norms have a bias.
    pub fn has_bias(&self) -> bool {
        self.bias.unwrap_or(matches!(self.family, Family::Bert | Family::Gpt))
    }

    /// Whether the query, key and value projections have a bias.
    pub fn has_qkv_bias(&self) -> bool {
        self.qkv_bias.unwrap_or(self.has_bias())
    }

    /// Whether norms have a bias beside their scale.
    pub fn has_norm_bias(&self) -> bool {
        self.norm_kind() == Norm::Layernorm && self.norm_bias.unwrap_or(self.has_bias())
    }

    /// Probability of dropout after the embeddings.
    pub fn embedding_dropout_rate(&self) -> f64 {
        self.embedding_dropout.unwrap_or(self.dropout().1)
    }

    /// Probabilities of dropout on attention weights and on residual branches.
    pub fn dropout(&self) -> (f64, f64) {
        let default = if matches!(self.family, Family::Bert | Family::Gpt) { 0.1 } else { 0.0 };
        (self.attention_dropout.unwrap_or(default), self.hidden_dropout.unwrap_or(default))
    }

    /// Whether a position sees only those before it.
    pub fn is_causal(&self) -> bool {
        self.family != Family::Bert
    }
}
