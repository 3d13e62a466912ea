use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{CLASS_LIMIT, PerceptronTagger, Weight};
use crate::TextError;
use crate::lexicon::string_table::StringTable;
use crate::lexicon::{UniversalTag, text_file};

/// How NLTK names the model's files.
const STEM: &str = "averaged_perceptron_tagger_eng";
const TAG_MAP: &str = "en-ptb.map";

impl PerceptronTagger {
    /// The files that [`open`](Self::open) reads.
    pub const FILES: [&str; 4] = [
        "averaged_perceptron_tagger_eng.classes.json",
        "averaged_perceptron_tagger_eng.tagdict.json",
        "averaged_perceptron_tagger_eng.weights.json",
        TAG_MAP,
    ];

    /// Reads NLTK's model from one folder: the three JSON files of `averaged_perceptron_tagger_eng` and `en-ptb.map` of
    /// `universal_tagset`.
    ///
    /// The licence of the weights is not stated where they are published, so they have to be had from NLTK.
    pub fn open(folder: &Path) -> Result<Self, TextError> {
        let file = |part: &str| folder.join(format!("{STEM}.{part}.json"));
        let classes = read_classes(&file("classes"))?;
        let (dictionary, dictionary_classes) = read_dictionary(&file("tagdict"), &classes)?;
        let weights = read_weights(&file("weights"), &classes)?;
        let map = read_tag_map(&folder.join(TAG_MAP))?;
        Ok(Self {
            universal: classes
                .iter()
                .map(|class| map.get(class).copied().unwrap_or(UniversalTag::X))
                .collect(),
            classes,
            dictionary,
            dictionary_classes,
            features: weights.features,
            weight_starts: weights.starts,
            weights: weights.weights,
        })
    }
}

fn read_classes(path: &Path) -> Result<Vec<String>, TextError> {
    let mut classes: Vec<String> =
        serde_json::from_str(&text_file(path)?).map_err(|e| malformed(path, &e))?;
    classes.sort();
    classes.dedup();
    if classes.is_empty() || classes.len() > CLASS_LIMIT {
        return Err(TextError::LexiconFile {
            path: path.to_owned(),
            problem: format!("{} tags, expected 1 to {CLASS_LIMIT}", classes.len()),
        });
    }
    Ok(classes)
}

fn read_dictionary(path: &Path, classes: &[String]) -> Result<(StringTable, Vec<u8>), TextError> {
    let entries: BTreeMap<String, String> =
        serde_json::from_str(&text_file(path)?).map_err(|e| malformed(path, &e))?;
    let mut words = StringTable::default();
    let mut tags = Vec::with_capacity(entries.len());
    for (word, tag) in &entries {
        let class = class_number(classes, tag).ok_or_else(|| TextError::LexiconFile {
            path: path.to_owned(),
            problem: format!("word `{word}` has tag `{tag}`, which the classes lack"),
        })?;
        words.insert(word);
        tags.push(class);
    }
    Ok((words, tags))
}

fn read_weights(path: &Path, classes: &[String]) -> Result<Weights, TextError> {
    let text = text_file(path)?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut weights = Weights {
        starts: vec![0],
        ..Weights::default()
    };
    FeatureMap {
        classes,
        weights: &mut weights,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end())
    .map_err(|e| malformed(path, &e))?;
    Ok(weights)
}

/// Lines `treebank-tag universal-tag`.
fn read_tag_map(path: &Path) -> Result<BTreeMap<String, UniversalTag>, TextError> {
    let mut map = BTreeMap::new();
    for (line, text) in (1..).zip(text_file(path)?.lines()) {
        let problem = |problem: String| TextError::LexiconLine {
            path: path.to_owned(),
            line,
            problem,
        };
        if text.trim().is_empty() {
            continue;
        }
        let (tag, universal) = text.split_once('\t').ok_or_else(|| {
            problem(format!(
                "`{text}`, expected a tag, a tab and a universal tag"
            ))
        })?;
        let universal = universal.trim();
        let parsed = serde_json::from_value(universal.into());
        let parsed = parsed.map_err(|_| {
            problem(format!(
                "`{universal}` is not a universal tag, such as NOUN"
            ))
        })?;
        map.insert(tag.to_owned(), parsed);
    }
    Ok(map)
}

fn class_number(classes: &[String], tag: &str) -> Option<u8> {
    let place = classes
        .binary_search_by(|class| class.as_str().cmp(tag))
        .ok()?;
    u8::try_from(place).ok()
}

fn malformed(path: &Path, error: &serde_json::Error) -> TextError {
    TextError::LexiconLine {
        path: path.to_owned(),
        line: error.line() as u64,
        problem: error.to_string(),
    }
}

#[derive(Default)]
struct Weights {
    features: StringTable,
    starts: Vec<u32>,
    weights: Vec<Weight>,
}

/// `{feature: {tag: weight}}`, read without a map in between.
struct FeatureMap<'a> {
    classes: &'a [String],
    weights: &'a mut Weights,
}

impl<'de> DeserializeSeed<'de> for FeatureMap<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FeatureMap<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(feature) = map.next_key::<String>()? {
            let count = self.weights.features.len();
            self.weights.features.insert(&feature);
            if self.weights.features.len() == count {
                return Err(A::Error::custom(format!(
                    "feature `{feature}` stands twice"
                )));
            }
            let tags = TagMap {
                classes: self.classes,
                weights: &mut self.weights.weights,
            };
            map.next_value_seed(tags)?;
            self.weights.starts.push(self.weights.weights.len() as u32);
        }
        Ok(())
    }
}

/// `{tag: weight}` of one feature.
struct TagMap<'a> {
    classes: &'a [String],
    weights: &'a mut Vec<Weight>,
}

impl<'de> DeserializeSeed<'de> for TagMap<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TagMap<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tags and weights")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((tag, value)) = map.next_entry::<String, f64>()? {
            let class = class_number(self.classes, &tag)
                .ok_or_else(|| A::Error::custom(format!("tag `{tag}`, which the classes lack")))?;
            self.weights.push(Weight { class, value });
        }
        Ok(())
    }
}
