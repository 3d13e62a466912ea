use serde::{Deserialize, Serialize};

/// Assigns each word of a sentence its part of speech.
pub trait Tagger: Send + Sync {
    /// One tag per word, in order.
    fn tags(&self, words: &[&str]) -> Vec<UniversalTag>;

    /// What results name the tagger by.
    fn name(&self) -> &str;
}

/// The twelve parts of speech of the universal tag set (Petrov et al. 2012).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum UniversalTag {
    /// Adjective.
    Adj,
    /// Preposition or postposition.
    Adp,
    /// Adverb.
    Adv,
    /// Conjunction.
    Conj,
    /// Determiner or article.
    Det,
    /// Noun, proper nouns too.
    Noun,
    /// Number.
    Num,
    /// Particle.
    Prt,
    /// Pronoun.
    Pron,
    /// Verb, auxiliaries too.
    Verb,
    /// Punctuation.
    #[serde(rename = ".")]
    Punctuation,
    /// Anything else: foreign words, abbreviations, unknown tags.
    X,
}
