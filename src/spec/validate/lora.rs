//! Low-rank adapters.

use super::{Findings, short};
use crate::spec::diagnostic::Finding;
use crate::spec::{LoraTarget, ModelSpec};

const CODE: &str = "model::lora";
const TARGETS: &str = "training/lora/targets";

/// Adapters that are none, too many, or on what the model does not have.
pub(super) fn check(model: &ModelSpec, found: &mut Findings) {
    let Some(lora) = &model.training.lora else { return };
    const RANK: &str = "training/lora/rank";
    found.count(CODE, RANK, lora.rank, 1, u64::MAX);
    if lora.rank > model.hidden_size {
        let message = format!(
            "a rank of {} is not low: `hidden_size` is {}",
            short(lora.rank),
            short(model.hidden_size)
        );
        let help = "ranks are 4 to 64 as a rule (Hu et al. 2021, §7.2); leave `lora` out to train \
                    everything";
        found.add(Finding::new(CODE, RANK, message).help(help));
    }
    if lora.targets.is_empty() {
        let message = "no targets are named, so that nothing would be trained";
        found.add(Finding::new(CODE, TARGETS, message).help("write `targets: [query, value]`"));
    }
    for (index, target) in lora.targets.iter().enumerate() {
        let path = format!("{TARGETS}/{index}");
        let name = target.name();
        if lora.targets[..index].contains(target) {
            found.add(Finding::new(CODE, path, format!("`{name}` is named twice")));
        } else if model.moe.is_some() && target.is_feed_forward() {
            let message = format!("adapters on experts are not planned yet: `{name}` is in them");
            let help = "`query`, `key`, `value` and `output` are outside of the experts";
            found.add(Finding::new(CODE, path, message).help(help));
        } else if *target == LoraTarget::Gate && !model.activation_kind().is_gated() {
            let message = "`gate` is a target, but the feed-forward network has no gate";
            let help = "its two projections are `up` and `down`";
            found.add(Finding::new(CODE, path, message).help(help));
        }
    }
}
