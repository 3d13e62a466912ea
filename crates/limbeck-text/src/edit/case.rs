/// Gives `word` the casing of `reference`: all lower, all UPPER (two letters or more) or Capitalized; otherwise unchanged.
///
/// A lone capital such as `I` counts as neither upper nor capitalized.
pub fn recover_case(word: &str, reference: &str) -> String {
    let mut letters = reference.chars();
    let Some(first) = letters.next() else {
        return word.to_owned();
    };
    let rest = letters.as_str();
    if is_lower(reference) {
        word.to_lowercase()
    } else if is_upper(reference) && !rest.is_empty() {
        word.to_uppercase()
    } else if is_upper(first.encode_utf8(&mut [0; 4])) && is_lower(rest) {
        capitalize(word)
    } else {
        word.to_owned()
    }
}

/// Whether there is a cased letter and none is upper.
fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// Whether there is a cased letter and none is lower.
fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

fn capitalize(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + &letters.as_str().to_lowercase()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casing_follows_the_reference() {
        for (word, reference, expected) in [
            ("Film", "movie", "film"),
            ("film", "MOVIE", "FILM"),
            ("fILM", "Movie", "Film"),
            ("film", "I", "film"),
            ("Film", "iPhone", "Film"),
            ("film", "", "film"),
            ("film", "42", "film"),
        ] {
            assert_eq!(
                recover_case(word, reference),
                expected,
                "{word} {reference}"
            );
        }
    }
}
