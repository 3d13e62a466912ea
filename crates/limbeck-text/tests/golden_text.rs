//! Words and edits against cases made by running TextAttack.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod golden;

use limbeck_text::edit::{WordText, recover_case};
use serde::Deserialize;

#[derive(Deserialize)]
struct TextOps {
    cases: Vec<TextCase>,
    recover_word_case: Vec<(String, String, String)>,
}

#[derive(Deserialize)]
struct TextCase {
    text: String,
    words: Vec<String>,
    #[serde(default)]
    replace: Vec<Edit>,
    #[serde(default)]
    delete: Vec<Edit>,
    #[serde(default)]
    insert_before: Vec<Edit>,
    #[serde(default)]
    windows_5: Vec<String>,
    #[serde(default)]
    windows_15: Vec<String>,
}

#[derive(Deserialize)]
struct Edit {
    i: usize,
    #[serde(flatten)]
    result: EditResult,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EditResult {
    Edited {
        text: String,
        words: Vec<String>,
        modified: Vec<u32>,
        map: Vec<i64>,
    },
    /// The peer fails on texts that contain its own column mark; limbeck has none.
    #[expect(dead_code, reason = "the error is the peer's")]
    Failed { error: String },
}

fn check(edit: &Edit, edited: &WordText) {
    let EditResult::Edited {
        text,
        words,
        modified,
        map,
    } = &edit.result
    else {
        return;
    };
    assert_eq!(edited.text(), text);
    assert_eq!(edited.words().collect::<Vec<_>>(), *words, "{text}");
    assert_eq!(edited.modified(), modified, "{text}");
    let indices = edited
        .original_indices()
        .iter()
        .map(|index| index.map_or(-1, i64::from));
    assert_eq!(indices.collect::<Vec<_>>(), *map, "{text}");
}

#[test]
fn golden_text_ops() {
    let Some(golden) = golden::read::<TextOps>("text_ops.json") else {
        return;
    };
    for case in &golden.cases {
        let text = WordText::new(&case.text);
        assert_eq!(
            text.words().collect::<Vec<_>>(),
            case.words,
            "{}",
            case.text
        );
        for edit in &case.replace {
            check(edit, &text.replace(edit.i, "ZZZ"));
        }
        for edit in &case.delete {
            check(edit, &text.delete(edit.i));
        }
        for edit in &case.insert_before {
            check(edit, &text.insert_before(edit.i, "new"));
        }
        for (size, windows) in [(5, &case.windows_5), (15, &case.windows_15)] {
            for (index, window) in windows.iter().enumerate() {
                assert_eq!(
                    text.window(index, size),
                    window,
                    "{} {index} {size}",
                    case.text
                );
            }
        }
    }
    for (word, reference, expected) in &golden.recover_word_case {
        assert_eq!(
            &recover_case(word, reference),
            expected,
            "{word} {reference}"
        );
    }
    assert!(!golden.cases.is_empty() && !golden.recover_word_case.is_empty());
}
