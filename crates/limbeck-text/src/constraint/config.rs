use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Constraint, IndexConstraint, InputColumns, MaxEditDistance, MaxModificationRate,
    MaxWordsPerturbed, MinWordLength, NoRepeat, NoStopWords, Reference, SamePartOfSpeech,
    SentenceSimilarity, SimilarityMetric, SimilarityScope, WordVectorDistance, WordVectorLimit,
};
use crate::TextError;
use crate::edit_space::{Resource, Resources};
use crate::lexicon::StopWords;

/// A constraint as a run file names it, one of `[[constraint]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ConstraintConfig {
    /// [`NoRepeat`].
    NoRepeat {},
    /// [`NoStopWords`].
    StopWords(StopWordList),
    /// [`MinWordLength`].
    #[serde(rename_all = "kebab-case")]
    MinWordLength {
        /// Characters that a word needs to be edited.
        min_length: usize,
    },
    /// [`MaxModificationRate`].
    #[serde(rename_all = "kebab-case")]
    MaxModificationRate {
        /// Share of the text's words, in `[0, 1]`.
        max_fraction: f64,
        /// Words that may be edited in the shortest text.
        #[serde(default = "one")]
        min_count: usize,
    },
    /// [`InputColumns`].
    InputColumns {
        /// The columns that a text must have, in order, to be meant.
        columns: Vec<String>,
        /// Those that are not edited.
        kept: Vec<String>,
    },
    /// [`WordVectorDistance`]; needs word vectors.
    #[serde(rename_all = "kebab-case")]
    WordVectorDistance {
        /// The least cosine, in `[-1, 1]`; either this or `max-squared-distance`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_cosine: Option<f32>,
        /// The greatest sum of squared differences.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_squared_distance: Option<f32>,
        /// What is compared with.
        #[serde(default)]
        reference: Reference,
    },
    /// [`SamePartOfSpeech`]; needs a tagger.
    #[serde(rename_all = "kebab-case")]
    PartOfSpeech {
        /// Whether a noun may stand for a verb and a verb for a noun.
        #[serde(default = "yes")]
        allow_verb_noun_swap: bool,
        /// What is compared with.
        #[serde(default)]
        reference: Reference,
    },
    /// [`MaxEditDistance`].
    #[serde(rename_all = "kebab-case")]
    EditDistance {
        /// Insertions, deletions and substitutions of one character that may lie between the texts.
        max_distance: usize,
        /// What is compared with.
        #[serde(default)]
        reference: Reference,
    },
    /// [`MaxWordsPerturbed`].
    #[serde(rename_all = "kebab-case")]
    WordsPerturbed {
        /// Most words that may differ; this, `max-fraction` or both.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_count: Option<usize>,
        /// Largest share of the words that may differ, in `[0, 1]`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_fraction: Option<f64>,
    },
    /// [`SentenceSimilarity`]; needs a sentence encoder.
    #[serde(rename_all = "kebab-case")]
    SentenceSimilarity {
        /// The least similarity; belongs to the encoder.
        threshold: f32,
        /// How two vectors are compared.
        #[serde(default)]
        metric: SimilarityMetric,
        /// Words round the change that are compared; the whole text if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<usize>,
        /// Whether a candidate of fewer words than the window passes.
        #[serde(default)]
        skip_short_texts: bool,
        /// What is compared with.
        #[serde(default)]
        reference: Reference,
    },
}

/// A list of stop words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StopWordList {
    /// NLTK's English list, 179 words.
    #[default]
    Nltk,
    /// The 266 words of `TextFooler`.
    TextFooler,
    /// These words.
    Words(Vec<String>),
    /// A file with a word per line.
    File(PathBuf),
}

/// A constraint that has been built: it is asked either before or after the transformation.
#[derive(Clone)]
pub enum BuiltConstraint {
    /// Asked before.
    Index(Arc<dyn IndexConstraint>),
    /// Asked after.
    Candidate(Arc<dyn Constraint>),
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl StopWordList {
    /// The words.
    pub fn read(&self) -> Result<StopWords, TextError> {
        match self {
            Self::Nltk => Ok(StopWords::nltk()),
            Self::TextFooler => Ok(StopWords::text_fooler()),
            Self::Words(words) => Ok(words.iter().map(String::as_str).collect()),
            Self::File(path) => StopWords::from_file(path),
        }
    }
}

impl ConstraintConfig {
    /// What it needs to be built.
    pub fn required(&self) -> Option<Resource> {
        match self {
            Self::WordVectorDistance { .. } => Some(Resource::WordVectors),
            Self::PartOfSpeech { .. } => Some(Resource::Tagger),
            Self::SentenceSimilarity { .. } => Some(Resource::SentenceEncoder),
            _ => None,
        }
    }

    /// The file that it reads, if any.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::StopWords(StopWordList::File(path)) => Some(path),
            _ => None,
        }
    }

    /// The constraint.
    ///
    /// # Errors
    /// [`TextError::MissingResource`]; [`TextError::Setting`] where limits are missing or out of range.
    pub fn build(&self, resources: &Resources) -> Result<BuiltConstraint, TextError> {
        Ok(match self {
            Self::NoRepeat {} => BuiltConstraint::Index(Arc::new(NoRepeat)),
            Self::StopWords(list) => BuiltConstraint::Index(Arc::new(NoStopWords(list.read()?))),
            Self::MinWordLength { min_length } => BuiltConstraint::Index(Arc::new(MinWordLength {
                min_length: *min_length,
            })),
            Self::MaxModificationRate {
                max_fraction,
                min_count,
            } => BuiltConstraint::Index(Arc::new(MaxModificationRate {
                max_fraction: fraction(*max_fraction)?,
                min_count: *min_count,
            })),
            Self::InputColumns { columns, kept } => {
                BuiltConstraint::Index(Arc::new(InputColumns {
                    columns: columns.clone(),
                    kept: kept.clone(),
                }))
            }
            Self::WordVectorDistance {
                min_cosine,
                max_squared_distance,
                reference,
            } => BuiltConstraint::Candidate(Arc::new(WordVectorDistance {
                vectors: resources.word_vectors("word-vector-distance")?,
                limit: vector_limit(*min_cosine, *max_squared_distance)?,
                reference: *reference,
            })),
            Self::PartOfSpeech {
                allow_verb_noun_swap,
                reference,
            } => BuiltConstraint::Candidate(Arc::new(SamePartOfSpeech {
                tagger: resources.tagger("part-of-speech")?,
                allow_verb_noun_swap: *allow_verb_noun_swap,
                reference: *reference,
            })),
            Self::EditDistance {
                max_distance,
                reference,
            } => BuiltConstraint::Candidate(Arc::new(MaxEditDistance {
                max_distance: *max_distance,
                reference: *reference,
            })),
            Self::WordsPerturbed {
                max_count,
                max_fraction,
            } => BuiltConstraint::Candidate(Arc::new(words_perturbed(*max_count, *max_fraction)?)),
            Self::SentenceSimilarity {
                threshold,
                metric,
                window,
                skip_short_texts,
                reference,
            } => BuiltConstraint::Candidate(Arc::new(SentenceSimilarity {
                encoder: resources.sentence_encoder("sentence-similarity")?,
                threshold: *threshold,
                metric: *metric,
                scope: scope(*window, *skip_short_texts)?,
                reference: *reference,
            })),
        })
    }
}

fn vector_limit(
    min_cosine: Option<f32>,
    max_squared_distance: Option<f32>,
) -> Result<WordVectorLimit, TextError> {
    match (min_cosine, max_squared_distance) {
        (Some(min), None) => Ok(WordVectorLimit::MinCosine(min)),
        (None, Some(max)) => Ok(WordVectorLimit::MaxSquaredDistance(max)),
        _ => Err(TextError::Setting {
            setting: "word-vector-distance",
            problem: "expected exactly one of `min-cosine` and `max-squared-distance`".into(),
        }),
    }
}

fn words_perturbed(
    max_count: Option<usize>,
    max_fraction: Option<f64>,
) -> Result<MaxWordsPerturbed, TextError> {
    if max_count.is_none() && max_fraction.is_none() {
        return Err(TextError::Setting {
            setting: "words-perturbed",
            problem: "no limit; set `max-count`, `max-fraction` or both".into(),
        });
    }
    Ok(MaxWordsPerturbed {
        max_count,
        max_fraction: max_fraction.map(fraction).transpose()?,
    })
}

fn scope(window: Option<usize>, skip_short_texts: bool) -> Result<SimilarityScope, TextError> {
    match window {
        None if skip_short_texts => Err(TextError::Setting {
            setting: "skip-short-texts",
            problem: "there is no `window` that a text could be shorter than; set one".into(),
        }),
        None => Ok(SimilarityScope::Text),
        Some(0) => Err(TextError::Setting {
            setting: "window",
            problem: "found 0, expected 1 or more words".into(),
        }),
        Some(size) => Ok(SimilarityScope::Window {
            size,
            passes_short_texts: skip_short_texts,
        }),
    }
}

fn fraction(value: f64) -> Result<f64, TextError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(TextError::Setting {
        setting: "max-fraction",
        problem: format!("found {value}, expected a share in [0, 1]"),
    })
}
