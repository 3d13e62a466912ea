use limbeck_text::edit::word_spans;

/// Which version of `TextAttack` cut a text into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordRule {
    /// 0.3.11: `' - _ * @` belong to a word inside it only.
    #[default]
    Current,
    /// Up to 0.3.10: they are cut off a word's beginning, not its end. Published numbers of words were counted so.
    LeadingOnly,
}

/// What a word may hold, but not begin (and now not end) with.
const INNER: [char; 5] = ['\'', '-', '_', '*', '@'];

impl WordRule {
    /// The words of `text`.
    pub fn words(self, text: &str) -> Vec<&str> {
        match self {
            Self::Current => word_spans(text)
                .into_iter()
                .map(|span| &text[span])
                .collect(),
            Self::LeadingOnly => text
                .split(char::is_whitespace)
                .flat_map(|piece| piece.trim_start_matches(INNER).split(|c| !is_word_char(c)))
                .map(|run| run.trim_start_matches(INNER))
                .filter(|word| !word.is_empty())
                .collect(),
        }
    }

    /// How many words differ, place by place over the common length.
    pub fn words_changed(self, original: &str, perturbed: &str) -> usize {
        let (original, perturbed) = (self.words(original), self.words(perturbed));
        let pairs = original.iter().zip(&perturbed);
        pairs.filter(|(old, new)| old != new).count()
    }
}

/// Whether `c` belongs to words: between two letters it then cuts none off.
fn is_word_char(c: char) -> bool {
    if c.is_ascii_alphanumeric() || INNER.contains(&c) {
        return true;
    }
    let between = format!("a{c}a");
    // Chinese is cut by a dictionary, which says nothing of the character.
    ('\u{4E00}'..='\u{9FFF}').contains(&c)
        || matches!(word_spans(&between).as_slice(), [span] if span.len() == between.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_differ_in_the_ends_of_words() {
        let text = "the '90s directors' cut -- it 's *bold* ``so'' é-";
        let now = [
            "the",
            "90s",
            "directors",
            "cut",
            "it",
            "s",
            "bold",
            "``so",
            "é",
        ];
        let then = [
            "the",
            "90s",
            "directors'",
            "cut",
            "it",
            "s",
            "bold*",
            "``so''",
            "é-",
        ];
        assert_eq!(WordRule::Current.words(text), now);
        assert_eq!(WordRule::LeadingOnly.words(text), then);
        assert_eq!(WordRule::LeadingOnly.words_changed("a b' c", "a b c d"), 1);
    }
}
