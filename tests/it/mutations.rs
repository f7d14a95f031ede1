//! No input makes the reader panic.

use crate::invalid_files::read_as;
use proptest::prelude::*;

const FILES: [(&str, &str); 6] = [
    ("model", include_str!("../fixtures/valid/model.yaml")),
    ("model", include_str!("../fixtures/valid/model-moe.yaml")),
    ("cluster", include_str!("../fixtures/valid/cluster.yaml")),
    ("device", include_str!("../fixtures/valid/device.yaml")),
    ("stack", include_str!("../fixtures/valid/stack.yaml")),
    ("plan", include_str!("../fixtures/valid/plan.yaml")),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn changed_bytes_never_panic(
        file in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let (kind, text) = FILES[file];
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { if bytes.len() > 1 { bytes.remove(at); } }
            }
        }
        if let Err(error) = read_as(kind, "mutated.yaml", bytes) {
            prop_assert!(!error.diagnostics.is_empty());
            prop_assert!(error.to_string().starts_with("error["));
        }
    }

    #[test]
    fn changed_words_never_panic(
        file in 0..FILES.len(),
        at in any::<prop::sample::Index>(),
        word in prop::sample::select(vec![
            "", "0", "-1", "18446744073709551615", "1e400", ".inf", "null", "[]", "{}", "&a", "*a",
            "!x", "|", ">-", "\"", "'", "---", "...", "? a", "0..0", "9..1", "1 B", "0 B", "é", "\u{2028}",
            "99999999999 TiB", "true", "# x", "%YAML 9.9", "\u{feff}", "@", "`",
        ]),
    ) {
        let (kind, text) = FILES[file];
        let spans: Vec<&str> = text.split_inclusive([' ', '\n', ':', ',']).collect();
        let at = at.index(spans.len());
        let mut changed = String::new();
        for (index, span) in spans.iter().enumerate() {
            changed.push_str(if index == at { word } else { span });
            if index == at && span.ends_with(['\n', ' ', ':', ',']) {
                changed.push_str(&span[span.len() - 1..]);
            }
        }
        let _ = read_as(kind, "mutated.yaml", changed.into_bytes());
    }
}
