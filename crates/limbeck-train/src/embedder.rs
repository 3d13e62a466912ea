//! Sentence vectors from a sentence-transformers checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use limbeck_model::{Encoding, Pooling, SentenceEncoder, TextTokenizer, batches_by_tokens};
use limbeck_ops::serially;
use limbeck_text::{BoxError, SentenceEmbedder, Text};
use rayon::prelude::*;
use serde_json::Value;

use crate::TrainError;
use crate::evaluate::TOKEN_BUDGET;

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";
const LIMITS: &str = "sentence_bert_config.json";

/// An encoder with its tokenizer and pooling: sentences in, vectors out.
///
/// The vectors last computed are kept, so that asking again for a sentence costs nothing.
#[derive(Debug)]
pub struct TextEmbedder {
    encoder: SentenceEncoder,
    tokenizer: TextTokenizer,
    settings: Settings,
    name: String,
    kept: Mutex<Kept>,
}

/// What a sentence-transformers folder says beside the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    pooling: Pooling,
    length: VectorLength,
    casing: Casing,
    max_tokens: usize,
}

/// Whether vectors are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VectorLength {
    AsTheyAre,
    One,
}

/// Whether texts are changed before they are cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Casing {
    AsWritten,
    Lower,
}

impl TextEmbedder {
    /// Opens a sentence-transformers folder, or any encoder's (then: mean pooling, vectors as they are).
    ///
    /// `modules.json`, `1_Pooling/config.json` and `sentence_bert_config.json` say how vectors are made and how many tokens are
    /// read. `name` is what results call the encoder; `kept_vectors` the number of vectors to remember.
    pub fn open(
        folder: &Path,
        name: &str,
        kept_vectors: usize,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let mut settings = Settings::open(folder)?;
        let encoder = SentenceEncoder::open(folder, settings.pooling, device)?;
        settings.max_tokens = settings.max_tokens.min(encoder.config().max_tokens());
        Ok(Self {
            encoder,
            tokenizer: TextTokenizer::open(folder)?,
            settings,
            name: name.to_owned(),
            kept: Mutex::new(Kept::new(kept_vectors)),
        })
    }

    /// Width of the vectors.
    pub fn width(&self) -> usize {
        self.encoder.config().hidden_size
    }

    fn compute(&self, texts: &[&str]) -> Result<Vec<Arc<[f32]>>, TrainError> {
        let texts: Vec<Text> = texts
            .iter()
            .map(|text| match self.settings.casing {
                Casing::AsWritten => Text::single(*text),
                Casing::Lower => Text::single(text.to_lowercase()),
            })
            .collect();
        let encodings = self
            .tokenizer
            .encode_batch(&texts, self.settings.max_tokens)?;
        let lengths: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
        let batches = batches_by_tokens(&lengths, TOKEN_BUDGET);
        let nothing: Arc<[f32]> = Arc::new([]);
        let vectors = Mutex::new(vec![nothing; texts.len()]);
        let one = |rows: &Vec<usize>| -> Result<(), TrainError> {
            let sentences: Vec<(u64, &Encoding)> =
                rows.iter().map(|&row| (0, &encodings[row])).collect();
            let batch = limbeck_model::Batch::new(sentences);
            let found = self.encoder.encode(&batch)?.to_device(&Device::Cpu)?;
            let found = found.to_vec2::<f32>()?;
            let mut vectors = vectors.lock().unwrap_or_else(PoisonError::into_inner);
            for (&row, mut vector) in rows.iter().zip(found) {
                if self.settings.length == VectorLength::One {
                    normalise(&mut vector);
                }
                vectors[row] = vector.into();
            }
            Ok(())
        };
        if self.encoder.is_on_cpu() && batches.len() >= rayon::current_num_threads() {
            batches
                .par_iter()
                .try_for_each(|rows| serially(|| one(rows)))?;
        } else {
            batches.iter().try_for_each(one)?;
        }
        Ok(vectors.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SentenceEmbedder for TextEmbedder {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, BoxError> {
        let mut known: HashMap<&str, Option<Arc<[f32]>>> = HashMap::new();
        let mut missing = Vec::new();
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for &text in texts {
                known.entry(text).or_insert_with(|| {
                    let vector = kept.get(text);
                    if vector.is_none() {
                        missing.push(text);
                    }
                    vector
                });
            }
        }
        let computed = self.compute(&missing)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (&text, vector) in missing.iter().zip(computed) {
            kept.insert(text, Arc::clone(&vector));
            known.insert(text, Some(vector));
        }
        let found = texts.iter().map(|text| {
            let vector = known[text].as_ref();
            vector.expect("what was missing has been computed").to_vec()
        });
        Ok(found.collect())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Divides by the Euclidean length; a vector of zeros stays.
fn normalise(vector: &mut [f32]) {
    let squares: f64 = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let length = squares.sqrt().max(1e-12);
    for value in vector {
        *value = (f64::from(*value) / length) as f32;
    }
}

/// Vectors by text; of more than fit, those asked for longest ago are dropped.
#[derive(Debug)]
struct Kept {
    vectors: HashMap<Arc<str>, (u64, Arc<[f32]>)>,
    by_age: BTreeMap<u64, Arc<str>>,
    capacity: usize,
    clock: u64,
}

impl Kept {
    fn new(capacity: usize) -> Self {
        Self {
            vectors: HashMap::new(),
            by_age: BTreeMap::new(),
            capacity,
            clock: 0,
        }
    }

    fn get(&mut self, text: &str) -> Option<Arc<[f32]>> {
        let (age, vector) = self.vectors.get_mut(text)?;
        let name = self.by_age.remove(age)?;
        self.clock += 1;
        *age = self.clock;
        self.by_age.insert(self.clock, name);
        Some(Arc::clone(vector))
    }

    fn insert(&mut self, text: &str, vector: Arc<[f32]>) {
        if self.capacity == 0 || self.get(text).is_some() {
            return;
        }
        if self.vectors.len() == self.capacity
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.vectors.remove(&oldest);
        }
        self.clock += 1;
        let name: Arc<str> = text.into();
        self.by_age.insert(self.clock, Arc::clone(&name));
        self.vectors.insert(name, (self.clock, vector));
    }
}

impl Settings {
    fn open(folder: &Path) -> Result<Self, TrainError> {
        let mut settings = Self {
            pooling: Pooling::Mean,
            length: VectorLength::AsTheyAre,
            casing: Casing::AsWritten,
            max_tokens: usize::MAX,
        };
        let mut pooling_folder = POOLING.to_owned();
        let path = folder.join(MODULES);
        if let Some(modules) = read_json(&path)? {
            for module in modules.as_array().into_iter().flatten() {
                let kind = module["type"].as_str().unwrap_or_default();
                match kind.rsplit('.').next().unwrap_or_default() {
                    "Transformer" => {}
                    "Pooling" => {
                        if let Some(folder) = module["path"].as_str() {
                            folder.clone_into(&mut pooling_folder);
                        }
                    }
                    "Normalize" => settings.length = VectorLength::One,
                    _ => {
                        return Err(TrainError::SentenceTransformer {
                            path,
                            problem: format!(
                                "module `{kind}`: expected `Transformer`, `Pooling` and `Normalize` alone; choose another sentence encoder"
                            ),
                        });
                    }
                }
            }
        }
        let path = folder.join(pooling_folder).join("config.json");
        if let Some(pooling) = read_json(&path)? {
            settings.pooling = pooling_of(&path, &pooling)?;
        }
        if let Some(limits) = read_json(&folder.join(LIMITS))? {
            if let Some(limit) = limits["max_seq_length"].as_u64() {
                settings.max_tokens = limit as usize;
            }
            if limits["do_lower_case"] == true {
                settings.casing = Casing::Lower;
            }
        }
        Ok(settings)
    }
}

/// The one pooling that a `1_Pooling/config.json` switches on.
fn pooling_of(path: &Path, config: &Value) -> Result<Pooling, TrainError> {
    let keys = config.as_object().into_iter().flatten();
    let on: Vec<&str> = keys
        .filter(|(key, value)| key.starts_with("pooling_mode_") && **value == true)
        .map(|(key, _)| key.as_str())
        .collect();
    match on[..] {
        ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::First),
        _ => Err(TrainError::SentenceTransformer {
            path: path.to_owned(),
            problem: format!(
                "found {on:?} switched on, expected `pooling_mode_mean_tokens` or `pooling_mode_cls_token`; choose another sentence encoder"
            ),
        }),
    }
}

fn read_json(path: &Path) -> Result<Option<Value>, TrainError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path)?;
    let value = serde_json::from_str(&text);
    value
        .map(Some)
        .map_err(|error| TrainError::SentenceTransformer {
            path: path.to_owned(),
            problem: format!("not valid JSON: {error}; fetch the file again"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_asked_for_longest_ago_is_dropped() {
        let mut kept = Kept::new(2);
        let vector = |value: f32| -> Arc<[f32]> { vec![value].into() };
        kept.insert("a", vector(1.0));
        kept.insert("b", vector(2.0));
        assert!(kept.get("a").is_some());
        kept.insert("c", vector(3.0));
        assert!(kept.get("b").is_none());
        assert_eq!(&*kept.get("a").unwrap(), [1.0]);
        assert_eq!(&*kept.get("c").unwrap(), [3.0]);
        assert_eq!((kept.vectors.len(), kept.by_age.len()), (2, 2));
    }
}
