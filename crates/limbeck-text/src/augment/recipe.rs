use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    AugmentSettings, Augmenter, Eda, RowAugmenter, TaggedWords, Tang, TangConfig, TinyBert,
    TinyBertConfig,
};
use crate::constraint::{ConstraintConfig, Reference, SimilarityMetric, StopWordList};
use crate::edit_space::{EditSpaceConfig, Resource, Resources};
use crate::lexicon::StopWords;
use crate::transform::{Fillings, InsertionConfig, Letters, TransformationConfig};
use crate::{GlueTask, TextError};

/// How new rows are made, as a run file names it: `recipe = { wordnet = {} }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AugmentRecipe {
    /// Words for synonyms (`WordNetAugmenter`).
    #[serde(rename = "wordnet")]
    WordNet {},
    /// Words for near ones in the space of word vectors (`EmbeddingAugmenter`).
    #[serde(rename_all = "kebab-case")]
    Embedding {
        /// The nearest words that are taken.
        #[serde(default = "default_neighbours")]
        max_candidates: usize,
        /// The least cosine of the new and the original word, in `[-1, 1]`.
        #[serde(default = "default_cosine")]
        min_cosine: f32,
    },
    /// Synonyms of random words come in (`SynonymInsertionAugmenter`).
    SynonymInsertion {},
    /// Typing errors (`CharSwapAugmenter`).
    CharSwap {},
    /// Words go (`DeletionAugmenter`).
    Deletion {},
    /// Words change places (`SwapAugmenter`).
    Swap {},
    /// A quarter each of synonyms, deletion, exchange and synonym insertion (Wei and Zou 2019).
    Eda {},
    /// Replacement, insertion and merge by a masked language model under a sentence encoder (Li et al. 2021).
    Clare {
        /// The least cosine of the sentence vectors; belongs to the encoder.
        #[serde(default = "default_clare")]
        threshold: f32,
    },
    /// Words for ones that a masked language model expects (BAE-R).
    MaskedReplace(Fillings),
    /// Words that a masked language model expects come in (BAE-I).
    MaskedInsert(InsertionConfig),
    /// Any transformation under any constraints.
    Custom(EditSpaceConfig),
    /// Text editing as for `TinyBERT` (Jiao et al. 2020).
    #[serde(rename = "tinybert")]
    TinyBert(TinyBertConfig),
    /// Masking, same-class replacement and n-grams (Tang et al. 2019).
    Tang(TangConfig),
}

/// `[augment]`: how far recipes go that edit word by word. The others have settings of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CountSettings {
    /// Share of the words that is changed, in `[0, 1]`, at least one word; `None` is 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_fraction: Option<f64>,
    /// New texts per text; `None` is 1, and 4 for `eda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Keep all that the last step of a try offers.
    pub high_yield: bool,
    /// As `high-yield`, but stop at `count`.
    pub fast: bool,
}

fn default_neighbours() -> usize {
    50
}

fn default_cosine() -> f32 {
    0.8
}

fn default_clare() -> f32 {
    0.7
}

impl AugmentRecipe {
    /// The name in a run file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WordNet {} => "wordnet",
            Self::Embedding { .. } => "embedding",
            Self::SynonymInsertion {} => "synonym-insertion",
            Self::CharSwap {} => "char-swap",
            Self::Deletion {} => "deletion",
            Self::Swap {} => "swap",
            Self::Eda {} => "eda",
            Self::Clare { .. } => "clare",
            Self::MaskedReplace(_) => "masked-replace",
            Self::MaskedInsert(_) => "masked-insert",
            Self::Custom(_) => "custom",
            Self::TinyBert(_) => "tinybert",
            Self::Tang(_) => "tang",
        }
    }

    /// Every recipe that goes by its name alone, with its usual settings.
    pub fn named() -> [Self; 12] {
        [
            Self::WordNet {},
            Self::Embedding {
                max_candidates: default_neighbours(),
                min_cosine: default_cosine(),
            },
            Self::SynonymInsertion {},
            Self::CharSwap {},
            Self::Deletion {},
            Self::Swap {},
            Self::Eda {},
            Self::Clare {
                threshold: default_clare(),
            },
            Self::MaskedReplace(Fillings::default()),
            Self::MaskedInsert(InsertionConfig::default()),
            Self::TinyBert(TinyBertConfig::default()),
            Self::Tang(TangConfig::default()),
        ]
    }

    /// Files that it reads beside its resources.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Custom(space) => space.constraint.iter().filter_map(|c| c.file()).collect(),
            _ => Vec::new(),
        }
    }

    /// What it needs to be built, each once, sorted.
    pub fn required(&self) -> Vec<Resource> {
        match self {
            Self::TinyBert(_) => vec![Resource::WordVectors, Resource::MaskedLm],
            Self::Tang(_) => vec![Resource::Tagger],
            Self::Eda {} => vec![Resource::WordNet],
            _ => self.space().map_or_else(Vec::new, |space| space.required()),
        }
    }

    /// Whether [`build`](Self::build) needs the words of the data set.
    pub fn needs_words(&self) -> bool {
        matches!(self, Self::Tang(_))
    }

    /// The augmenter. `words` are those of the data set, where they are needed; `task` chooses the paper's number of texts.
    ///
    /// # Errors
    /// [`TextError::MissingResource`], [`TextError::Setting`].
    pub fn build(
        &self,
        settings: &CountSettings,
        resources: &Resources,
        words: TaggedWords,
        task: Option<GlueTask>,
    ) -> Result<Box<dyn RowAugmenter>, TextError> {
        match self {
            Self::TinyBert(config) => {
                self.refuse(settings)?;
                probability("replace-probability", config.replace_probability)?;
                Ok(Box::new(TinyBert {
                    model: resources.masked_lm("tinybert")?,
                    vectors: resources.word_vectors("tinybert")?,
                    stop_words: StopWords::nltk(),
                    count: config.count_for(task),
                    config: *config,
                }))
            }
            Self::Tang(config) => {
                self.refuse(settings)?;
                probability("mask-probability", config.mask_probability)?;
                probability("replace-probability", config.replace_probability)?;
                probability("window-probability", config.window_probability)?;
                let changed = config.mask_probability + config.replace_probability;
                probability("mask-probability + replace-probability", changed)?;
                let tagger = resources.tagger("tang")?;
                Ok(Box::new(Tang::new(words, tagger, *config)))
            }
            Self::Eda {} => {
                let settings = settings.resolved(4)?;
                let each = AugmentSettings {
                    count: (settings.count / 4).max(1),
                    ..settings
                };
                let member = |recipe: Self| recipe.augmenter(each, resources);
                Ok(Box::new(Eda {
                    members: [
                        member(Self::WordNet {})?,
                        member(Self::Deletion {})?,
                        member(Self::Swap {})?,
                        member(Self::SynonymInsertion {})?,
                    ],
                    count: settings.count,
                }))
            }
            _ => {
                let settings = settings.resolved(1)?;
                Ok(Box::new(self.augmenter(settings, resources)?))
            }
        }
    }

    /// The augmenter of a recipe that edits word by word.
    fn augmenter(
        &self,
        settings: AugmentSettings,
        resources: &Resources,
    ) -> Result<Augmenter, TextError> {
        let space = self.space().ok_or_else(|| TextError::Setting {
            setting: "recipe",
            problem: format!("`{}` does not edit word by word", self.name()),
        })?;
        Ok(Augmenter {
            space: space.build(resources)?,
            settings,
        })
    }

    /// The transformation and constraints of a recipe that edits word by word.
    pub fn space(&self) -> Option<EditSpaceConfig> {
        let any = Letters::default();
        let mut constraint = vec![
            ConstraintConfig::NoRepeat {},
            ConstraintConfig::StopWords(StopWordList::Nltk),
        ];
        let transformation = match self {
            Self::WordNet {} => TransformationConfig::Synonyms {},
            Self::Embedding {
                max_candidates,
                min_cosine,
            } => {
                constraint.push(ConstraintConfig::WordVectorDistance {
                    min_cosine: Some(*min_cosine),
                    max_squared_distance: None,
                    reference: Reference::Original,
                });
                TransformationConfig::WordVectors {
                    max_candidates: *max_candidates,
                }
            }
            Self::SynonymInsertion {} => TransformationConfig::SynonymInsertion {},
            Self::CharSwap {} => TransformationConfig::Composite(vec![
                TransformationConfig::NeighbourSwap(any),
                TransformationConfig::LetterSubstitution(any),
                TransformationConfig::LetterDeletion(any),
                TransformationConfig::LetterInsertion(any),
            ]),
            Self::Deletion {} => TransformationConfig::WordDeletion {},
            Self::Swap {} => TransformationConfig::WordExchange {},
            Self::Clare { threshold } => {
                constraint.push(ConstraintConfig::SentenceSimilarity {
                    threshold: *threshold,
                    metric: SimilarityMetric::Cosine,
                    window: Some(15),
                    skip_short_texts: true,
                    reference: Reference::Original,
                });
                clare()
            }
            Self::MaskedReplace(fillings) => TransformationConfig::MaskedReplace(*fillings),
            Self::MaskedInsert(config) => TransformationConfig::MaskedInsert(*config),
            Self::Custom(space) => return Some(space.clone()),
            Self::Eda {} | Self::TinyBert(_) | Self::Tang(_) => return None,
        };
        Some(EditSpaceConfig {
            transformation,
            constraint,
        })
    }

    fn refuse(&self, settings: &CountSettings) -> Result<(), TextError> {
        if *settings == CountSettings::default() {
            return Ok(());
        }
        Err(TextError::Setting {
            setting: "augment",
            problem: format!(
                "`{name}` does not edit word by word; give its own settings under `recipe.{name}`",
                name = self.name()
            ),
        })
    }
}

/// Replacement, insertion and merge with the confidences of `TextAttack`.
fn clare() -> TransformationConfig {
    let fillings = |min_confidence| Fillings {
        max_candidates: 50,
        min_confidence,
    };
    TransformationConfig::Composite(vec![
        TransformationConfig::MaskedReplace(fillings(5e-4)),
        TransformationConfig::MaskedInsert(InsertionConfig::default()),
        TransformationConfig::MaskedMerge(fillings(5e-3)),
    ])
}

impl CountSettings {
    fn resolved(self, usual_count: usize) -> Result<AugmentSettings, TextError> {
        let usual = AugmentSettings::default();
        let word_fraction = self.word_fraction.unwrap_or(usual.word_fraction);
        probability("word-fraction", word_fraction)?;
        let count = self.count.unwrap_or(usual_count);
        if count == 0 {
            return Err(TextError::Setting {
                setting: "count",
                problem: "found 0, expected 1 or more new texts per text".into(),
            });
        }
        Ok(AugmentSettings {
            word_fraction,
            count,
            high_yield: self.high_yield,
            fast: self.fast,
        })
    }
}

fn probability(setting: &'static str, value: f64) -> Result<(), TextError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(TextError::Setting {
        setting,
        problem: format!("found {value}, expected a number in [0, 1]"),
    })
}
