//! Low-rank adapters in the words of other programs.

use super::input::ExportInput;
use super::losses::Losses;
use super::python::{Assignments, quoted};
use crate::spec::{LoraSpec, LoraTarget};

const FIELD: &str = "model.training.lora";

/// Megatron-Bridge's adapters: one for each projection (`peft/canonical_lora.py`), where those of
/// queries, keys and values go together, and so do those of gate and input.
pub(super) fn bridge(subject: &ExportInput<'_>, lines: &mut Assignments, losses: &mut Losses) {
    let Some(lora) = &subject.model.training.lora else { return };
    let gated = subject.model.activation_kind().is_gated();
    let attention = [LoraTarget::Query, LoraTarget::Key, LoraTarget::Value];
    let inner = [LoraTarget::Gate, LoraTarget::Up];
    let any = |group: &[LoraTarget]| group.iter().any(|target| lora.has(*target));
    let mut names: Vec<&str> = Vec::new();
    if any(&attention) {
        names.extend(["linear_q", "linear_k", "linear_v"]);
        together(lora, &attention, losses);
    }
    if lora.has(LoraTarget::Output) {
        names.push("linear_proj");
    }
    if gated && any(&inner) {
        names.extend(["linear_fc1_gate", "linear_fc1_up"]);
        together(lora, &inner, losses);
    } else if any(&inner) {
        let said = "`CanonicalLoRA` takes `linear_fc1` for gated and halves it; here `up` has none";
        losses.say(FIELD, said);
    }
    if lora.has(LoraTarget::Down) {
        names.push("linear_fc2");
    }
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    let call = format!("CanonicalLoRA(target_modules=[{}], dim={})", names.join(", "), lora.rank);
    lines.raw("cfg.peft", &call);
    let said = "plans do not name the pre-trained weights or the scale `alpha` (32 there): set \
                `cfg.checkpoint.pretrained_checkpoint`";
    losses.say(FIELD, said);
}

/// Says which adapters a group has beyond those planned.
fn together(lora: &LoraSpec, group: &[LoraTarget], losses: &mut Losses) {
    let missing: Vec<&str> =
        group.iter().filter(|target| !lora.has(**target)).map(|target| target.name()).collect();
    if !missing.is_empty() {
        let said = format!(
            "adapters of one fused projection go together; here also {}",
            missing.join(" and ")
        );
        losses.say(FIELD, said);
    }
}

/// Programs whose configuration has no adapters.
pub(super) fn without(subject: &ExportInput<'_>, losses: &mut Losses, instead: &str) {
    if let Some(lora) = &subject.model.training.lora {
        losses.say(FIELD, format!("adapters of {} are planned; {instead}", lora.words()));
    }
}
