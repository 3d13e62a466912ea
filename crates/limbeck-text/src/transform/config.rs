use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Composite, Fillings, LetterDeletion, LetterInsertion, LetterSubstitution, Letters,
    MaskedInsert, MaskedMerge, MaskedReplace, MaskedReplaceAndInsert, NeighbourSwap,
    QwertySubstitution, Side, SynonymInsertion, SynonymSwap, Transformation, WordDeletion,
    WordExchange, WordVectorSwap,
};
use crate::TextError;
use crate::edit_space::{Resource, Resources};

/// A transformation as a run file names it: `[transformation.neighbour-swap]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TransformationConfig {
    /// [`NeighbourSwap`].
    NeighbourSwap(Letters),
    /// [`LetterSubstitution`].
    LetterSubstitution(Letters),
    /// [`LetterDeletion`].
    LetterDeletion(Letters),
    /// [`LetterInsertion`].
    LetterInsertion(Letters),
    /// [`QwertySubstitution`].
    Qwerty(Letters),
    /// [`WordVectorSwap`]; needs word vectors.
    #[serde(rename_all = "kebab-case")]
    WordVectors {
        /// The nearest words that are taken.
        #[serde(default = "default_neighbours")]
        max_candidates: usize,
    },
    /// [`SynonymSwap`]; needs `WordNet`.
    Synonyms {},
    /// [`SynonymInsertion`]; needs `WordNet`.
    SynonymInsertion {},
    /// [`WordDeletion`].
    WordDeletion {},
    /// [`WordExchange`].
    WordExchange {},
    /// [`MaskedReplace`]; needs a masked language model.
    MaskedReplace(Fillings),
    /// [`MaskedInsert`]; needs a masked language model.
    MaskedInsert(InsertionConfig),
    /// [`MaskedReplace`] and [`MaskedInsert`] on both sides (BAE-R/I); needs a masked language model.
    MaskedReplaceOrInsert(Fillings),
    /// [`MaskedReplaceAndInsert`]; needs a masked language model.
    MaskedReplaceAndInsert(Fillings),
    /// [`MaskedMerge`]; needs a masked language model and a tagger.
    MaskedMerge(Fillings),
    /// [`Composite`] of these, in order.
    Composite(Vec<TransformationConfig>),
}

/// Settings of [`MaskedInsert`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct InsertionConfig {
    /// The most probable tokens that are taken for a gap.
    pub max_candidates: usize,
    /// The least probability, in `[0, 1]`.
    pub min_confidence: f32,
    /// On which side of a word.
    pub side: Side,
}

impl Default for InsertionConfig {
    fn default() -> Self {
        let Fillings {
            max_candidates,
            min_confidence,
        } = Fillings::default();
        Self {
            max_candidates,
            min_confidence,
            side: Side::default(),
        }
    }
}

impl InsertionConfig {
    fn fillings(&self) -> Fillings {
        Fillings {
            max_candidates: self.max_candidates,
            min_confidence: self.min_confidence,
        }
    }
}

fn default_neighbours() -> usize {
    50
}

impl TransformationConfig {
    /// The name in a run file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NeighbourSwap(_) => "neighbour-swap",
            Self::LetterSubstitution(_) => "letter-substitution",
            Self::LetterDeletion(_) => "letter-deletion",
            Self::LetterInsertion(_) => "letter-insertion",
            Self::Qwerty(_) => "qwerty",
            Self::WordVectors { .. } => "word-vectors",
            Self::Synonyms {} => "synonyms",
            Self::SynonymInsertion {} => "synonym-insertion",
            Self::WordDeletion {} => "word-deletion",
            Self::WordExchange {} => "word-exchange",
            Self::MaskedReplace(_) => "masked-replace",
            Self::MaskedInsert(_) => "masked-insert",
            Self::MaskedReplaceOrInsert(_) => "masked-replace-or-insert",
            Self::MaskedReplaceAndInsert(_) => "masked-replace-and-insert",
            Self::MaskedMerge(_) => "masked-merge",
            Self::Composite(_) => "composite",
        }
    }

    /// What it needs to be built, each once.
    pub fn required(&self) -> Vec<Resource> {
        match self {
            Self::WordVectors { .. } => vec![Resource::WordVectors],
            Self::Synonyms {} | Self::SynonymInsertion {} => vec![Resource::WordNet],
            Self::MaskedReplace(_)
            | Self::MaskedInsert(_)
            | Self::MaskedReplaceOrInsert(_)
            | Self::MaskedReplaceAndInsert(_) => vec![Resource::MaskedLm],
            Self::MaskedMerge(_) => vec![Resource::MaskedLm, Resource::Tagger],
            Self::Composite(members) => {
                let mut required: Vec<Resource> = members.iter().flat_map(Self::required).collect();
                required.sort_unstable();
                required.dedup();
                required
            }
            _ => Vec::new(),
        }
    }

    /// The transformation.
    ///
    /// # Errors
    /// [`TextError::MissingResource`]; [`TextError::Setting`] for an empty composite or a share outside `[0, 1]`.
    pub fn build(&self, resources: &Resources) -> Result<Arc<dyn Transformation>, TextError> {
        let masked_lm = || resources.masked_lm(self.name());
        let built: Arc<dyn Transformation> = match self {
            Self::NeighbourSwap(letters) => Arc::new(NeighbourSwap(*letters)),
            Self::LetterSubstitution(letters) => Arc::new(LetterSubstitution(*letters)),
            Self::LetterDeletion(letters) => Arc::new(LetterDeletion(*letters)),
            Self::LetterInsertion(letters) => Arc::new(LetterInsertion(*letters)),
            Self::Qwerty(letters) => Arc::new(QwertySubstitution(*letters)),
            Self::WordVectors { max_candidates } => Arc::new(WordVectorSwap {
                vectors: resources.word_vectors(self.name())?,
                max_candidates: *max_candidates,
            }),
            Self::Synonyms {} => Arc::new(SynonymSwap {
                synonyms: resources.synonyms(self.name())?,
            }),
            Self::SynonymInsertion {} => Arc::new(SynonymInsertion {
                synonyms: resources.synonyms(self.name())?,
            }),
            Self::WordDeletion {} => Arc::new(WordDeletion),
            Self::WordExchange {} => Arc::new(WordExchange),
            Self::MaskedReplace(fillings) => Arc::new(MaskedReplace {
                model: masked_lm()?,
                fillings: checked(*fillings)?,
            }),
            Self::MaskedInsert(config) => Arc::new(MaskedInsert {
                model: masked_lm()?,
                fillings: checked(config.fillings())?,
                side: config.side,
            }),
            Self::MaskedReplaceOrInsert(fillings) => {
                let fillings = checked(*fillings)?;
                let insert = |side| -> Result<Arc<dyn Transformation>, TextError> {
                    Ok(Arc::new(MaskedInsert {
                        model: masked_lm()?,
                        fillings,
                        side,
                    }))
                };
                let model = masked_lm()?;
                Arc::new(Composite::new(vec![
                    Arc::new(MaskedReplace { model, fillings }),
                    insert(Side::Before)?,
                    insert(Side::After)?,
                ]))
            }
            Self::MaskedReplaceAndInsert(fillings) => Arc::new(MaskedReplaceAndInsert {
                model: masked_lm()?,
                fillings: checked(*fillings)?,
            }),
            Self::MaskedMerge(fillings) => Arc::new(MaskedMerge {
                model: masked_lm()?,
                tagger: resources.tagger(self.name())?,
                fillings: checked(*fillings)?,
            }),
            Self::Composite(members) if members.is_empty() => {
                return Err(TextError::Setting {
                    setting: "composite",
                    problem: "no transformation in it; list at least one".into(),
                });
            }
            Self::Composite(members) => {
                let members = members.iter().map(|member| member.build(resources));
                Arc::new(Composite::new(members.collect::<Result<_, _>>()?))
            }
        };
        Ok(built)
    }
}

fn checked(fillings: Fillings) -> Result<Fillings, TextError> {
    if (0.0..=1.0).contains(&fillings.min_confidence) {
        return Ok(fillings);
    }
    Err(TextError::Setting {
        setting: "min-confidence",
        problem: format!(
            "found {}, expected a probability in [0, 1]",
            fillings.min_confidence
        ),
    })
}
