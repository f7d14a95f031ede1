//! The name that was meant.

/// The candidate nearest to `wrong` by edits, if one is near enough to be meant.
pub(crate) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = fold(wrong);
    if wrong.is_empty() || wrong.len() > MAX_LENGTH {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_LENGTH)
        .map(|candidate| (distance(&wrong, &fold(candidate)), candidate))
        .map(|(distance, candidate)| {
            let begins = wrong.len() >= 3 && fold(candidate).starts_with(&wrong);
            (if begins { 1 } else { distance }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (wrong.len().max(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The candidates that `wrong` is the beginning of, else those that it is a part of, where only
/// letters and digits count: `gpt-3` begins `gpt3-13b`. The shortest first.
pub(crate) fn family<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let wrong = letters(wrong);
    if wrong.len() < 3 || wrong.len() > MAX_LENGTH {
        return Vec::new();
    }
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let with = |holds: &dyn Fn(&str) -> bool| -> Vec<&'a str> {
        candidates.iter().copied().filter(|name| holds(&letters(name))).collect()
    };
    let mut found = with(&|name| name.starts_with(&wrong));
    if found.is_empty() {
        found = with(&|name| name.contains(&wrong));
    }
    found.sort_by_key(|name| (name.len(), *name));
    found
}

/// Letters and digits alone, in lower case.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Names longer than this are not compared.
const MAX_LENGTH: usize = 64;

/// Case, and `-` for `_`, are no difference in meaning.
fn fold(name: &str) -> Vec<char> {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from one to the other
/// (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &b) in right.iter().enumerate() {
            let mut best = (above[column] + usize::from(a != b))
                .min(above[column + 1] + 1)
                .min(current[column] + 1);
            if row > 0 && column > 0 && a == right[column - 1] && left[row - 1] == b {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{family, nearest};

    #[test]
    fn finds_what_was_meant() {
        let fields = ["hidden_size", "num_layers", "num_heads", "vocab_size"];
        assert_eq!(nearest("hiden_size", fields), Some("hidden_size"));
        assert_eq!(nearest("Hidden-Size", fields), Some("hidden_size"));
        assert_eq!(nearest("num_haeds", fields), Some("num_heads"));
        assert_eq!(nearest("bf16", ["fp16-mixed", "bf16-mixed"]), Some("bf16-mixed"));
        assert_eq!(nearest("temperature", fields), None);
        assert_eq!(nearest("", fields), None);
    }
    #[test]
    fn a_family_shares_its_beginning() {
        let names = ["mpt-3b", "gpt3-175b", "gpt3-1.3b", "gpt2-124m", "a100-40gb-x1024", "a100x64"];
        assert_eq!(family("gpt-3", names), ["gpt3-1.3b", "gpt3-175b"]);
        assert_eq!(family("A100", names), ["a100x64", "a100-40gb-x1024"]);
        assert_eq!(family("175b", names), ["gpt3-175b"]);
        assert!(family("gp", names).is_empty() && family("bert", names).is_empty());
    }
}
