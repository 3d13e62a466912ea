//! Inflected words traced back to the forms that WordNet lists.

use super::wordnet::WordClass;

/// Ending to take off and ending to put on, in the order in which the results are listed (WordNet's `morphy(7WN)`).
fn endings(class: WordClass) -> &'static [(&'static str, &'static str)] {
    match class {
        WordClass::Noun => &[
            ("s", ""),
            ("ses", "s"),
            ("ves", "f"),
            ("xes", "x"),
            ("zes", "z"),
            ("ches", "ch"),
            ("shes", "sh"),
            ("men", "man"),
            ("ies", "y"),
        ],
        WordClass::Verb => &[
            ("s", ""),
            ("ies", "y"),
            ("es", "e"),
            ("es", ""),
            ("ed", "e"),
            ("ed", ""),
            ("ing", "e"),
            ("ing", ""),
        ],
        WordClass::Adjective => &[("er", ""), ("est", ""), ("er", "e"), ("est", "e")],
        WordClass::Adverb => &[],
    }
}

/// Every form that `word` may be an inflection of, itself first; whether it is listed is for the caller to see.
///
/// A word with irregular forms has these and no others. Otherwise each ending is exchanged once, as NLTK does; the C library would
/// go on where that finds nothing.
pub(super) fn visit_base_forms<'a>(
    word: &str,
    class: WordClass,
    irregular: Option<impl Iterator<Item = &'a str>>,
    mut visit: impl FnMut(&str),
) {
    visit(word);
    if let Some(forms) = irregular {
        forms.for_each(visit);
        return;
    }
    let mut form = String::new();
    for (old, new) in endings(class) {
        if let Some(stem) = word.strip_suffix(old) {
            form.clear();
            form.push_str(stem);
            form.push_str(new);
            visit(&form);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, class: WordClass, irregular: Option<&[&str]>, expected: &[&str]) {
        let mut found = Vec::new();
        let irregular = irregular.map(|forms| forms.iter().copied());
        visit_base_forms(word, class, irregular, |form| found.push(form.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn endings_are_exchanged_once_and_in_order() {
        check("dogs", WordClass::Noun, None, &["dogs", "dog"]);
        check("boxes", WordClass::Noun, None, &["boxes", "boxe", "box"]);
        check("firemen", WordClass::Noun, None, &["firemen", "fireman"]);
        check(
            "flies",
            WordClass::Verb,
            None,
            &["flies", "flie", "fly", "flie", "fli"],
        );
        check("making", WordClass::Verb, None, &["making", "make", "mak"]);
        check(
            "finest",
            WordClass::Adjective,
            None,
            &["finest", "fin", "fine"],
        );
        check("sooner", WordClass::Adverb, None, &["sooner"]);
        check("s", WordClass::Noun, None, &["s", ""]);
    }

    #[test]
    fn irregular_words_follow_their_list_alone() {
        check(
            "axes",
            WordClass::Noun,
            Some(&["ax", "axis"]),
            &["axes", "ax", "axis"],
        );
    }
}
