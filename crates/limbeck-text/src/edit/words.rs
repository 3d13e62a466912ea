use std::ops::Range;
use std::sync::LazyLock;

use jieba_rs::Jieba;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Inside a word these belong to it, at its ends they do not: `don't` is one word, `'don't'` is the same word.
const INNER: [char; 5] = ['\'', '-', '_', '*', '@'];

/// Neither letters nor digits, but looking like some, and standing for them in perturbed text; the back-tick is another.
const HOMOGLYPHS: [char; 2] = ['\u{2D7}', '\u{D7}'];

/// Dictionary and model for Chinese, read at the first Chinese text.
static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// The byte ranges of the words of `text`, in order.
///
/// A word is a maximal run of letters, digits and `_ ' - * @` inside a run of non-space characters, without `' - _ * @` at its
/// ends. Text with Chinese characters is cut into words by a dictionary first. The rule is TextAttack 0.3.11's.
pub fn word_spans(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let is_chinese = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
    if !text.is_ascii() && text.contains(is_chinese) {
        let mut start = 0;
        for segment in JIEBA.cut(text, true) {
            pieces(text, start..start + segment.word.len(), &mut spans);
            start += segment.word.len();
        }
    } else {
        pieces(text, 0..text.len(), &mut spans);
    }
    spans
}

/// Whether `text` is exactly one word, ignoring what is not part of words.
pub fn is_one_word(text: &str) -> bool {
    word_spans(text).len() == 1
}

fn pieces(text: &str, range: Range<usize>, spans: &mut Vec<Range<usize>>) {
    let mut start = range.start;
    for piece in text[range].split(is_space) {
        let inner = trim(text, start..start + piece.len());
        let mut from = inner.start;
        for run in text[inner].split(|c| !is_word_char(c)) {
            let word = trim(text, from..from + run.len());
            if !word.is_empty() {
                spans.push(word);
            }
            from += run.len()
                + text[from + run.len()..]
                    .chars()
                    .next()
                    .map_or(0, char::len_utf8);
        }
        start += piece.len()
            + text[start + piece.len()..]
                .chars()
                .next()
                .map_or(0, char::len_utf8);
    }
}

fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let piece = &text[range.clone()];
    let without_start = piece.trim_start_matches(INNER);
    let start = range.end - without_start.len();
    start..start + without_start.trim_end_matches(INNER).len()
}

/// White space as Python's `str.split` sees it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || INNER.contains(&c) || c == '`';
    }
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number
    ) || HOMOGLYPHS.contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<&str> {
        word_spans(text)
            .into_iter()
            .map(|span| &text[span])
            .collect()
    }

    #[test]
    fn words_are_cut_as_textattack_does() {
        let cases: [(&str, &[&str]); 8] = [
            (
                "It's a well-made film.",
                &["It's", "a", "well-made", "film"],
            ),
            ("U.S.A. 3.14 's", &["U", "S", "A", "3", "14", "s"]),
            ("``quoted'' -- it’s", &["``quoted", "it", "s"]),
            ("-_- *** @user", &["user"]),
            ("", &[]),
            ("naïve café ß", &["naïve", "café", "ß"]),
            ("a\u{1F}b", &["a", "b"]),
            ("我喜欢这部电影", &["我", "喜欢", "这部", "电影"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn spans_are_ordered_and_not_empty(text in any::<String>()) {
            let mut end = 0;
            for span in word_spans(&text) {
                prop_assert!(span.start >= end && span.end > span.start);
                prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
                end = span.end;
            }
        }
    }
}
