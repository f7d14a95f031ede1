//! Why a field changes nothing that is planned.

/// Fields with a reason of their own.
const REASONS: [(&str, &[&str]); 7] = [
    (
        "changes the angles of the rotation, not its size",
        &["rope_theta", "rotary_emb_base", "rope_scaling", "rope_parameters", "offset_alibi"],
    ),
    (
        "numbers of special tokens",
        &[
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "sep_token_id",
            "cls_token_id",
            "mask_token_id",
            "unk_token_id",
            "decoder_start_token_id",
            "forced_eos_token_id",
        ],
    ),
    (
        "for text generation, not for training",
        &[
            "use_cache",
            "task_specific_params",
            "max_length",
            "min_length",
            "do_sample",
            "num_beams",
            "temperature",
            "top_k",
            "top_p",
            "repetition_penalty",
            "prefix",
            "max_window_layers",
            "output_past",
            "generation_config",
        ],
    ),
    (
        "about the library or the file, not the model",
        &[
            "transformers_version",
            "auto_map",
            "gradient_checkpointing",
            "output_attentions",
            "output_hidden_states",
            "return_dict",
            "use_return_dict",
            "torchscript",
            "skip_bias_add",
            "skip_bias_add_qkv",
            "slow_but_exact",
            "masked_softmax_fusion",
            "bias_dropout_fusion",
            "attn_implementation",
            "_attn_implementation",
            "_attn_implementation_internal",
            "_commit_hash",
            "_remove_final_layer_norm",
            "reorder_and_upcast_attn",
            "scale_attn_weights",
            "use_bfloat16",
            "apply_query_key_layer_scaling",
            "attention_softmax_in_fp32",
            "pretraining_tp",
            "n_ctx",
            "model_type",
        ],
    ),
    (
        "first values of the weights, or a small constant",
        &[
            "initializer_range",
            "initializer_factor",
            "init_std",
            "layerdrop",
            "layer_norm_eps",
            "layer_norm_epsilon",
            "rms_norm_eps",
            "router_aux_loss_coef",
            "router_jitter_noise",
            "output_router_logits",
        ],
    ),
    (
        "of a head that pre-training does not have",
        &[
            "id2label",
            "label2id",
            "num_labels",
            "problem_type",
            "classifier_dropout",
            "summary_activation",
            "summary_first_dropout",
            "summary_proj_to_labels",
            "summary_type",
            "summary_use_proj",
            "finetuning_task",
        ],
    ),
    ("how weights are stored for inference", &["quantization_config", "torch_dtype", "dtype"]),
];

/// Why `field` is not read.
pub(super) fn reason(field: &str) -> &'static str {
    let known = REASONS.iter().find(|(_, fields)| fields.contains(&field));
    known.map_or("not known: check that it does not change the model", |(reason, _)| reason)
}
