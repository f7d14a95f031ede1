//! Recomputation as programs know it: one rule for all stages.

use super::layout::Chunk;
use super::losses::Losses;

/// One rule for all stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing is recomputed.
    Nothing,
    /// The attention core of every layer.
    AttentionCore,
    /// Every layer.
    All,
    /// The first layers of every chunk.
    First(u64),
}

/// The rule that recomputes what was planned, or the least that keeps no more than planned.
///
/// `mixes` says whether the program can recompute some layers and not others.
pub(super) fn rule(chunks: &[Chunk], mixes: bool, losses: &mut Losses) -> Rule {
    let sum = |part: fn(&Chunk) -> u64| chunks.iter().map(part).sum::<u64>();
    let none = sum(|chunk| chunk.recompute.none);
    let selective = sum(|chunk| chunk.recompute.selective);
    let full = sum(|chunk| chunk.recompute.full);
    match (none, selective, full) {
        (_, 0, 0) => Rule::Nothing,
        (0, _, 0) => Rule::AttentionCore,
        (0, 0, _) => Rule::All,
        (_, _, 0) => {
            losses.say(
                "stages.recompute",
                format!(
                    "{selective} of {} layers recompute the attention core; here all do, which \
                     keeps less and is slower",
                    none + selective
                ),
            );
            Rule::AttentionCore
        }
        _ if !mixes => {
            let all = none + selective + full;
            losses.say(
                "stages.recompute",
                format!(
                    "{full} of {all} layers recompute everything; here all do, which keeps less \
                     and is slower"
                ),
            );
            Rule::All
        }
        _ => first(chunks, selective, losses),
    }
}

/// As many layers of each chunk as the chunk that recomputes most.
fn first(chunks: &[Chunk], selective: u64, losses: &mut Losses) -> Rule {
    let any = |chunk: &Chunk| chunk.recompute.selective + chunk.recompute.full;
    let most = chunks.iter().map(any).max().unwrap_or(0);
    let alike = chunks
        .iter()
        .all(|chunk| chunk.recompute.full == most.min(chunk.layers.end - chunk.layers.start));
    if selective > 0 {
        let said = format!(
            "layers that recompute the attention core stand beside layers that recompute \
             everything; here {most} of every chunk recompute everything, which keeps less and is \
             slower"
        );
        losses.say("stages.recompute", said);
    } else if !alike {
        let said = format!(
            "stages recompute different numbers of layers; here {most} of every chunk, which keeps \
             less and is slower"
        );
        losses.say("stages.recompute", said);
    }
    Rule::First(most)
}
