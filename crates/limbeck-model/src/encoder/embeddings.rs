//! From token ids to the vectors that an encoder reads.

use std::sync::Arc;

use candle_core::Tensor;
use limbeck_ops::{EmbeddingIds, Parameter, Pass, embedding_sum};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::batch::Batch;
use crate::checkpoint::{Builder, Init};
use crate::config::TransformerConfig;
use crate::head::Dense;

/// Whether a student's word embeddings learn (Kim 2014, §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmbeddingMode {
    /// They stay as they begin.
    Static,
    /// They learn.
    NonStatic,
    /// Two copies side by side, one that stays and one that learns.
    Multichannel,
}

impl EmbeddingMode {
    /// Number of copies of the table.
    pub fn channel_count(self) -> usize {
        self.has_frozen() as usize + self.has_trainable() as usize
    }

    pub(crate) fn has_frozen(self) -> bool {
        self != Self::NonStatic
    }

    pub(crate) fn has_trainable(self) -> bool {
        self != Self::Static
    }
}

/// What the frozen copy of the table `stem.weight` is called.
pub(crate) fn frozen_name(stem: &str) -> String {
    format!("{stem}_static.weight")
}

/// A table of embeddings in one or two copies: the frozen one first, the trainable one last.
#[derive(Debug, Clone)]
pub(crate) struct Channels(Vec<Parameter>);

impl Channels {
    /// `stem_static.weight` and `stem.weight`, as far as the mode has them; `shape`: `[rows, size]`.
    ///
    /// Copies that a checkpoint lacks begin equal.
    pub(crate) fn build(
        stem: &str,
        mode: EmbeddingMode,
        shape: [usize; 2],
        init: Init,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let mut tables = Vec::new();
        if mode.has_frozen() {
            tables.push(builder.frozen(&frozen_name(stem), &shape, init)?);
        }
        if mode.has_trainable() {
            let name = format!("{stem}.weight");
            let is_stored = builder.has(&name);
            let table = builder.parameter(&name, &shape, init)?;
            if let (Some(frozen), false) = (tables.first(), is_stored) {
                table.set(&Parameter::value(frozen))?;
            }
            tables.push(table);
        }
        Ok(Self(tables))
    }

    /// The trainable table, or the frozen one where no other is.
    pub(crate) fn main(&self) -> &Parameter {
        self.0.last().expect("every mode has a channel")
    }

    /// All copies, in the order in which they stand side by side.
    pub(crate) fn tables(&self) -> Vec<&Parameter> {
        self.0.iter().collect()
    }

    /// The rows of all copies side by side, `[N, copies · size]`.
    pub(crate) fn look_up(&self, ids: &Arc<[u32]>, pass: &Pass) -> Result<Tensor, ModelError> {
        sum_of_channels(&[(self, ids)], pass)
    }
}

/// For each copy the sum of the tables' rows; the copies side by side.
fn sum_of_channels(tables: &[(&Channels, &Arc<[u32]>)], pass: &Pass) -> Result<Tensor, ModelError> {
    let ids = EmbeddingIds::new(tables.iter().map(|(_, ids)| Arc::clone(ids)).collect());
    let copies = (0..tables[0].0.0.len()).map(|copy| {
        let tables: Vec<&Parameter> = tables.iter().map(|(table, _)| &table.0[copy]).collect();
        embedding_sum(&tables, &ids, pass)
    });
    let mut copies = copies.collect::<Result<Vec<_>, _>>()?;
    Ok(match copies.len() {
        1 => copies.remove(0),
        _ => Tensor::cat(&copies, 1)?,
    })
}

/// A transformer's embedding tables.
#[derive(Debug, Clone)]
pub(crate) enum Embeddings {
    /// Words, positions and segments as wide as the layers.
    Full {
        word: Parameter,
        position: Parameter,
        segment: Option<Parameter>,
    },
    /// Words and segments of their own size, brought to the layers' width by a linear layer; then positions.
    Reduced {
        words: Channels,
        segments: Channels,
        reduction: Dense,
        position: Parameter,
    },
}

impl Embeddings {
    /// The tables under `{prefix}embeddings.`.
    pub(crate) fn build(
        config: &TransformerConfig,
        prefix: &str,
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let init = Init::Normal(config.initializer_range);
        let hidden = config.hidden_size;
        let stem = |name: &str| format!("{prefix}embeddings.{name}");
        let weight = |name: &str| format!("{prefix}embeddings.{name}.weight");
        let (words, positions, segments) = (
            "word_embeddings",
            "position_embeddings",
            "token_type_embeddings",
        );
        let position_shape = [config.max_positions, hidden];
        if let Some(reduced) = config.reduced {
            let (mode, size) = (reduced.mode, reduced.size);
            let shape = |rows| [rows, size];
            return Ok(Self::Reduced {
                words: Channels::build(
                    &stem(words),
                    mode,
                    shape(config.vocabulary_size),
                    init,
                    builder,
                )?,
                segments: Channels::build(
                    &stem(segments),
                    mode,
                    shape(config.segment_count),
                    init,
                    builder,
                )?,
                reduction: Dense::build(
                    &stem("reduction"),
                    hidden,
                    size * mode.channel_count(),
                    init,
                    builder,
                )?,
                position: builder.parameter(&weight(positions), &position_shape, init)?,
            });
        }
        Ok(Self::Full {
            word: builder.parameter(&weight(words), &[config.vocabulary_size, hidden], init)?,
            position: builder.parameter(&weight(positions), &position_shape, init)?,
            segment: match config.segment_count {
                0 => None,
                rows => Some(builder.parameter(&weight(segments), &[rows, hidden], init)?),
            },
        })
    }

    /// The word table; of two copies the one that learns.
    pub(crate) fn word(&self) -> &Parameter {
        match self {
            Self::Full { word, .. } => word,
            Self::Reduced { words, .. } => words.main(),
        }
    }

    /// The word table, or its copies in the order in which they stand side by side.
    pub(crate) fn word_tables(&self) -> Vec<&Parameter> {
        match self {
            Self::Full { word, .. } => vec![word],
            Self::Reduced { words, .. } => words.tables(),
        }
    }

    /// The segment table, if there is one; of two copies the one that learns.
    pub(crate) fn segment(&self) -> Option<&Parameter> {
        match self {
            Self::Full { segment, .. } => segment.as_ref(),
            Self::Reduced { segments, .. } => Some(segments.main()),
        }
    }

    /// The words' rows, as [`crate::Input::Words`] takes them.
    pub(crate) fn look_up_words(&self, batch: &Batch, pass: &Pass) -> Result<Tensor, ModelError> {
        match self {
            Self::Full { word, .. } => {
                let ids = EmbeddingIds::new(vec![Arc::clone(&batch.ids)]);
                Ok(embedding_sum(&[word], &ids, pass)?)
            }
            Self::Reduced { words, .. } => words.look_up(&batch.ids, pass),
        }
    }

    /// Sum of word, position and segment embeddings, `[N, H]`; see [`crate::Input::Words`] for `words`.
    pub(crate) fn sum(
        &self,
        config: &TransformerConfig,
        batch: &Batch,
        words: Option<&Tensor>,
        pass: &Pass,
    ) -> Result<Tensor, ModelError> {
        let first = config.first_position();
        let positions: Arc<[u32]> = batch.places.iter().map(|place| place + first).collect();
        // RoBERTa has a single segment row, whatever the pair says.
        let segment_ids = || -> Arc<[u32]> {
            let last = config.segment_count.saturating_sub(1) as u32;
            batch.segments.iter().map(|&s| s.min(last)).collect()
        };
        match self {
            Self::Full {
                word,
                position,
                segment,
            } => {
                let mut tables = vec![position];
                let mut ids = vec![positions];
                if let Some(segment) = segment {
                    tables.push(segment);
                    ids.push(segment_ids());
                }
                if words.is_none() {
                    tables.insert(0, word);
                    ids.insert(0, Arc::clone(&batch.ids));
                }
                let sum = embedding_sum(&tables, &EmbeddingIds::new(ids), pass)?;
                Ok(match words {
                    Some(words) => (words + sum)?,
                    None => sum,
                })
            }
            Self::Reduced {
                words: table,
                segments,
                reduction,
                position,
            } => {
                let segment_ids = segment_ids();
                let wide = match words {
                    Some(words) => (words + segments.look_up(&segment_ids, pass)?)?,
                    None => {
                        sum_of_channels(&[(table, &batch.ids), (segments, &segment_ids)], pass)?
                    }
                };
                let places = embedding_sum(&[position], &EmbeddingIds::new(vec![positions]), pass)?;
                Ok((reduction.apply(&wide, pass)? + places)?)
            }
        }
    }
}
