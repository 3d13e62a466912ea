use crate::BoxError;

/// A masked language model, as augmentation and attacks use it.
pub trait MaskedLm: Send + Sync {
    /// For each question the `count` most probable tokens for its gap that `accept` keeps, most probable first, of equals the
    /// smaller vocabulary index.
    ///
    /// None where the gap lies beyond the model's longest input. Answers do not depend on the other questions.
    fn fill(
        &self,
        gaps: &[Gap<'_>],
        count: usize,
        accept: &(dyn Fn(&Filling) -> bool + Sync),
    ) -> Result<Vec<Vec<Filling>>, BoxError>;

    /// How many word pieces the tokenizer makes of `word` standing alone.
    fn piece_count(&self, word: &str) -> Result<usize, BoxError>;

    /// What results name the model by.
    fn name(&self) -> &str;
}

/// A text with one gap: `before [MASK] after`, the mask token written by the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    /// Everything before the mask, with the spaces that belong there.
    pub before: &'a str,
    /// Everything after the mask.
    pub after: &'a str,
    /// A second sentence, as the model's pair input (TinyBERT gives the unmasked original).
    pub second: Option<&'a str>,
}

/// One token for a gap.
#[derive(Clone, Debug, PartialEq)]
pub struct Filling {
    /// The token without the vocabulary's word-boundary marks (`##`, `Ġ`).
    pub token: String,
    /// Whether the vocabulary marks it as the continuation of a word.
    pub continues: bool,
    /// Its probability at the gap, in `[0, 1]`.
    pub probability: f32,
}

/// Turns sentences into vectors whose cosine tells how alike they are.
pub trait SentenceEmbedder: Send + Sync {
    /// One vector per text, in order, all of one length. A vector does not depend on the other texts.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BoxError>;

    /// What results name the encoder by.
    fn name(&self) -> &str;
}
