use std::fmt;
use std::sync::Arc;

use crate::lexicon::{Synonyms, Tagger, WordNeighbours};
use crate::{MaskedLm, SentenceEmbedder, TextError};

/// What transformations and constraints know words by; what is not needed may be absent.
#[derive(Clone, Default)]
pub struct Resources {
    /// Synonyms, such as `WordNet`'s.
    pub synonyms: Option<Arc<dyn Synonyms>>,
    /// Word vectors.
    pub word_vectors: Option<Arc<dyn WordNeighbours>>,
    /// A tagger of parts of speech.
    pub tagger: Option<Arc<dyn Tagger>>,
    /// A masked language model.
    pub masked_lm: Option<Arc<dyn MaskedLm>>,
    /// A sentence encoder.
    pub sentence_encoder: Option<Arc<dyn SentenceEmbedder>>,
}

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Synonyms.
    WordNet,
    /// Word vectors.
    WordVectors,
    /// A tagger of parts of speech.
    Tagger,
    /// A masked language model.
    MaskedLm,
    /// A sentence encoder.
    SentenceEncoder,
}

impl Resource {
    /// The name in run files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::WordNet => "wordnet",
            Self::WordVectors => "word-vectors",
            Self::Tagger => "tagger",
            Self::MaskedLm => "masked-lm",
            Self::SentenceEncoder => "sentence-encoder",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Resources {
    pub(crate) fn synonyms(&self, user: &'static str) -> Result<Arc<dyn Synonyms>, TextError> {
        given(self.synonyms.as_ref(), Resource::WordNet, user)
    }

    pub(crate) fn word_vectors(
        &self,
        user: &'static str,
    ) -> Result<Arc<dyn WordNeighbours>, TextError> {
        given(self.word_vectors.as_ref(), Resource::WordVectors, user)
    }

    pub(crate) fn tagger(&self, user: &'static str) -> Result<Arc<dyn Tagger>, TextError> {
        given(self.tagger.as_ref(), Resource::Tagger, user)
    }

    pub(crate) fn masked_lm(&self, user: &'static str) -> Result<Arc<dyn MaskedLm>, TextError> {
        given(self.masked_lm.as_ref(), Resource::MaskedLm, user)
    }

    pub(crate) fn sentence_encoder(
        &self,
        user: &'static str,
    ) -> Result<Arc<dyn SentenceEmbedder>, TextError> {
        let encoder = self.sentence_encoder.as_ref();
        given(encoder, Resource::SentenceEncoder, user)
    }
}

fn given<T: ?Sized>(
    held: Option<&Arc<T>>,
    resource: Resource,
    user: &'static str,
) -> Result<Arc<T>, TextError> {
    held.map(Arc::clone)
        .ok_or(TextError::MissingResource { resource, user })
}
