use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// What becomes of capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Casing {
    Lower,
    Kept,
}

/// Words and punctuation marks as BERT cuts them before it cuts words into pieces; accents are kept.
///
/// White space separates, control characters go, each punctuation mark and each Chinese character stands alone.
pub(super) fn basic_tokens(text: &str, casing: Casing) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let is_alone = is_punctuation(c) || is_chinese(c);
        if is_alone || is_space(c) {
            if !word.is_empty() {
                tokens.push(std::mem::take(&mut word));
            }
            if is_alone {
                tokens.push(c.to_string());
            }
        } else if !is_dropped(c) {
            match casing {
                Casing::Lower => word.extend(c.to_lowercase()),
                Casing::Kept => word.push(c),
            }
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r') || c.general_category() == GeneralCategory::SpaceSeparator
}

fn is_dropped(c: char) -> bool {
    matches!(c, '\0' | '\u{FFFD}') || c.general_category_group() == GeneralCategoryGroup::Other
}

/// All ASCII marks count, such as `$` and `^`, which Unicode calls symbols.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '\u{20000}'..='\u{2A6DF}'
        | '\u{2A700}'..='\u{2B73F}' | '\u{2B740}'..='\u{2B81F}' | '\u{2B820}'..='\u{2CEAF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_cut_as_bert_cuts_them() {
        let cases: [(&str, &[&str]); 4] = [
            (
                "It's  $5, really!",
                &["it", "'", "s", "$", "5", ",", "really", "!"],
            ),
            ("well-made\tfilm", &["well", "-", "made", "film"]),
            ("a\u{200B}b 我们", &["ab", "我", "们"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(basic_tokens(text, Casing::Lower), expected, "{text}");
        }
        assert_eq!(basic_tokens("A b", Casing::Kept), ["A", "b"]);
    }
}
