//! Which tokens a masked language model has to predict, and what stands in their place.

use limbeck_model::{Batch, Encoding, Pieces, TextTokenizer, stream_key};
use limbeck_ops::mix64;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::corpus::{Sentence, TextRows};

/// How tokens are chosen and hidden (Devlin et al. 2019, appendix A.1). Special tokens are never chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MaskingConfig {
    /// Probability that a token, or a word, is to be predicted, in `(0, 1]`.
    pub predicted_fraction: f64,
    /// Share of the chosen tokens that the mask token replaces, in `[0, 1]`.
    pub mask_fraction: f64,
    /// Share of the chosen tokens that any other ordinary token replaces, in `[0, 1]`; the rest stay.
    pub random_fraction: f64,
    /// What is chosen as one: a token, or a word with all its pieces.
    pub unit: MaskUnit,
}

/// What is chosen as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskUnit {
    /// Each token by itself.
    #[default]
    Tokens,
    /// A word: a piece with those after it that the vocabulary marks as its continuation.
    WholeWords,
}

impl Default for MaskingConfig {
    fn default() -> Self {
        Self {
            predicted_fraction: 0.15,
            mask_fraction: 0.8,
            random_fraction: 0.1,
            unit: MaskUnit::Tokens,
        }
    }
}

impl MaskingConfig {
    /// Fails on a setting out of range.
    pub fn check(&self) -> Result<(), TrainError> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let rules = [
            (
                "predicted-fraction",
                share(self.predicted_fraction) && self.predicted_fraction > 0.0,
                self.predicted_fraction.to_string(),
                "a share in (0, 1]",
            ),
            (
                "mask-fraction",
                share(self.mask_fraction),
                self.mask_fraction.to_string(),
                "a share in [0, 1]",
            ),
            (
                "random-fraction",
                share(self.random_fraction) && self.mask_fraction + self.random_fraction <= 1.0,
                format!(
                    "{} beside a mask-fraction of {}",
                    self.random_fraction, self.mask_fraction
                ),
                "a share in [0, 1], together with `mask-fraction` at most 1",
            ),
        ];
        match rules.into_iter().find(|(_, fits, ..)| !fits) {
            Some((setting, _, found, expected)) => Err(TrainError::Setting {
                setting,
                found,
                expected: expected.into(),
            }),
            None => Ok(()),
        }
    }
}

/// Hides tokens of encoded sentences.
///
/// What happens to a token is a function of a key, the sentence's id and the token's place: masks depend
/// neither on batches nor on threads, and an interrupted run needs to store nothing to go on.
#[derive(Debug, Clone)]
pub struct Masker {
    config: MaskingConfig,
    mask_id: u32,
    pieces: Pieces,
    ordinary: Vec<u32>,
}

/// A row of sentences with tokens hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedRow {
    sentences: Vec<Sentence>,
    /// Places in the row, in order.
    places: Vec<u32>,
    /// What stood there.
    targets: Vec<u32>,
}

/// Rows packed for one forward pass.
#[derive(Debug, Clone)]
pub struct MaskedBatch {
    /// What the model reads.
    pub batch: Batch,
    /// Packed rows to predict, `[M]`.
    pub rows: Vec<u32>,
    /// What stood there, `[M]`.
    pub targets: Vec<u32>,
}

/// One token's three independent draws.
#[derive(Clone, Copy)]
enum Draw {
    Choice,
    Treatment,
    Replacement,
}

impl Masker {
    /// For sentences of this tokenizer, which must have a mask token.
    pub fn new(tokenizer: &TextTokenizer, config: MaskingConfig) -> Result<Self, TrainError> {
        config.check()?;
        let Some(mask_id) = tokenizer.mask_id() else {
            return Err(TrainError::NoMaskToken);
        };
        let pieces = Pieces::of(tokenizer);
        Ok(Self {
            config,
            mask_id,
            ordinary: pieces.ordinary_ids(),
            pieces,
        })
    }

    /// The key of one epoch's masks.
    pub fn epoch_key(seed: u64, epoch: u64) -> u64 {
        mix64(stream_key(seed, "masks") ^ mix64(epoch))
    }

    /// The key of masks that are the same in every evaluation of every run.
    pub fn held_out_key() -> u64 {
        stream_key(0, "masks of held-out text")
    }

    /// Hides tokens of one row; at least one of them, so that no step is without a loss.
    pub fn mask(&self, sentences: &[Sentence], key: u64) -> MaskedRow {
        let mut row = MaskedRow {
            sentences: sentences.to_vec(),
            places: Vec::new(),
            targets: Vec::new(),
        };
        let chosen = self.chosen(sentences, key, self.config.predicted_fraction);
        let chosen = if chosen.is_empty() {
            self.least(sentences, key)
        } else {
            chosen
        };
        let mut starts = Vec::with_capacity(sentences.len());
        let mut start = 0;
        for sentence in sentences {
            starts.push(start);
            start += sentence.encoding.ids.len() as u32;
        }
        for (index, place) in chosen {
            let sentence = &mut row.sentences[index];
            let draw = |kind| uniform(key, sentence.id, place, kind);
            let treatment = draw(Draw::Treatment);
            let (mask, random) = (self.config.mask_fraction, self.config.random_fraction);
            let replacement = if treatment < mask {
                Some(self.mask_id)
            } else if treatment < mask + random {
                let pick = draw(Draw::Replacement) * self.ordinary.len() as f64;
                self.ordinary.get(pick as usize).copied()
            } else {
                None
            };
            let id = &mut sentence.encoding.ids[place];
            row.places.push(starts[index] + place as u32);
            row.targets.push(*id);
            *id = replacement.unwrap_or(*id);
        }
        row
    }

    /// Sentence and place of every token whose unit has a draw below `fraction`, in order.
    fn chosen(&self, sentences: &[Sentence], key: u64, fraction: f64) -> Vec<(usize, usize)> {
        let mut chosen = Vec::new();
        for (index, sentence) in sentences.iter().enumerate() {
            for (place, unit) in self.units(&sentence.encoding) {
                if uniform(key, sentence.id, unit, Draw::Choice) < fraction {
                    chosen.push((index, place));
                }
            }
        }
        chosen
    }

    /// The tokens of the one unit with the smallest draw.
    fn least(&self, sentences: &[Sentence], key: u64) -> Vec<(usize, usize)> {
        let draws = sentences.iter().enumerate().flat_map(|(index, sentence)| {
            let units = self.units(&sentence.encoding).into_iter();
            units.map(move |(_, unit)| (uniform(key, sentence.id, unit, Draw::Choice), index, unit))
        });
        let Some((_, index, unit)) = draws.min_by(|a, b| a.0.total_cmp(&b.0)) else {
            return Vec::new();
        };
        let units = self.units(&sentences[index].encoding).into_iter();
        units
            .filter(|(_, of)| *of == unit)
            .map(|(place, _)| (index, place))
            .collect()
    }

    /// Each ordinary token's place with the place where its unit begins.
    fn units(&self, encoding: &Encoding) -> Vec<(usize, usize)> {
        let mut units = Vec::new();
        let mut current = None;
        for (place, &id) in encoding.ids.iter().enumerate() {
            if self.pieces.is_special(id) {
                current = None;
                continue;
            }
            let continues = self.config.unit == MaskUnit::WholeWords && self.pieces.continues(id);
            let unit = current.filter(|_| continues).unwrap_or(place);
            current = Some(unit);
            units.push((place, unit));
        }
        units
    }
}

impl MaskedRow {
    /// Number of tokens to predict.
    pub fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// Places in the row and the tokens that stood there.
    pub fn targets(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.places
            .iter()
            .copied()
            .zip(self.targets.iter().copied())
    }

    /// The sentences as the model is to read them.
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }
}

impl MaskedBatch {
    /// Packs rows.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a MaskedRow> + Clone) -> Self {
        let (mut places, mut targets, mut start) = (Vec::new(), Vec::new(), 0);
        for row in rows.clone() {
            places.extend(row.places.iter().map(|place| start + place));
            targets.extend_from_slice(&row.targets);
            start += TextRows::token_count(&row.sentences) as u32;
        }
        let sentences = rows.into_iter().flat_map(|row| &row.sentences);
        Self {
            batch: Batch::new(sentences.map(|sentence| (sentence.id, &sentence.encoding))),
            rows: places,
            targets,
        }
    }
}

/// A number in `[0, 1)` for one token and purpose.
fn uniform(key: u64, sentence: u64, place: usize, draw: Draw) -> f64 {
    let kind = match draw {
        Draw::Choice => 0,
        Draw::Treatment => 1,
        Draw::Replacement => 2,
    };
    let sentence = mix64(key ^ mix64(sentence));
    let bits = mix64(sentence ^ mix64((place as u64) << 2 | kind));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
