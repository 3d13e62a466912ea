//! What augmentation and attacks know words by, opened before the first row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use limbeck_attack::{AttackError, PooledEmbedder, PooledMaskedLm};
use limbeck_report::{Input, hash_input};
use limbeck_text::lexicon::{BrillTagger, PerceptronTagger, Tagger, WordNeighbours, WordNet};
use limbeck_text::{Resource as Kind, Resources};
use limbeck_train::{MaskedLmFiller, TextEmbedder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Depth, Resource, Store};
use crate::cli::VectorSource;
use crate::commands::vectors;
use crate::environment::model_folder;

/// Longest input of a masked language model, in tokens.
const MAX_TOKENS: usize = 512;
/// Sentence vectors that are remembered.
const KEPT_VECTORS: usize = 1 << 14;
/// Sentences or gaps that a helper model computes at once.
const POOLED: usize = 512;

/// `[resources]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ResourceSettings {
    /// A folder of WordNet's database files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wordnet: Option<PathBuf>,
    /// A store made by `limbeck vectors`, text (GloVe, word2vec), `.bin` or `.npy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) word_vectors: Option<PathBuf>,
    /// The words of an `.npy` file's rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) word_list: Option<PathBuf>,
    /// A folder with NLTK's tagger; if absent, the one of `limbeck resources`, or the one built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tagger: Option<PathBuf>,
    /// A folder, hub id or finished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) masked_lm: Option<String>,
    /// A folder or hub id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sentence_encoder: Option<String>,
}

impl ResourceSettings {
    /// Whether it names none of this kind, so that the usual one has to be there; a tagger is built in.
    fn lacks(&self, kind: Kind) -> bool {
        match kind {
            Kind::WordNet => self.wordnet.is_none(),
            Kind::WordVectors => self.word_vectors.is_none(),
            Kind::MaskedLm => self.masked_lm.is_none(),
            Kind::SentenceEncoder => self.sentence_encoder.is_none(),
            Kind::Tagger => false,
        }
    }
}

/// What was opened, and the files and folders that it was read from.
pub(crate) struct Opened {
    pub(crate) resources: Resources,
    /// Of what is not built in.
    places: BTreeMap<Kind, PathBuf>,
}

impl Opened {
    /// The files and folders with their hashes.
    pub(crate) fn hashed(&self) -> anyhow::Result<BTreeMap<Kind, Input>> {
        let places: Vec<(&Kind, &PathBuf)> = self.places.iter().collect();
        let hashed = places
            .into_par_iter()
            .map(|(&kind, place)| Ok((kind, hash_input(place)?)));
        hashed.collect()
    }

    /// The resources with their models pooled: hundreds of examples ask them at once, each from a thread of its own.
    pub(crate) fn pooled(self) -> Result<Resources, AttackError> {
        let mut resources = self.resources;
        if let Some(model) = resources.masked_lm.take() {
            resources.masked_lm = Some(Arc::new(PooledMaskedLm::new(model, POOLED)?));
        }
        if let Some(encoder) = resources.sentence_encoder.take() {
            resources.sentence_encoder = Some(Arc::new(PooledEmbedder::new(encoder, POOLED)?));
        }
        Ok(resources)
    }
}

/// Hashes of the files that are named beside the resources: the words of a matrix's rows, and stop words.
pub(crate) fn hash_lists(
    word_list: Option<&Path>,
    stop_words: &[&Path],
) -> anyhow::Result<BTreeMap<String, Input>> {
    let words = word_list.map(|path| ("word-list".to_owned(), path));
    let stop_words = (1..).zip(stop_words);
    let stop_words = stop_words.map(|(number, &path)| (format!("stop-words-{number}"), path));
    let all = words.into_iter().chain(stop_words);
    all.map(|(name, path)| Ok((name, hash_input(path)?)))
        .collect()
}

/// Opens what is required and nothing else; what is missing is named with the line to run.
pub(crate) fn open_required(
    required: &[Kind],
    usual_vectors: Resource,
    settings: &ResourceSettings,
    store: &Store,
    device: &Device,
) -> anyhow::Result<Opened> {
    let needs = |kind| required.contains(&kind);
    // Everything is looked for before the first is read, so that all that is missing is named at once.
    let looked_for = required.iter().filter(|&&kind| settings.lacks(kind));
    let looked_for: Vec<Resource> = looked_for
        .map(|&kind| Resource::usual(kind, usual_vectors))
        .collect();
    store.require(&looked_for, Depth::Sizes)?;
    let usual = |kind| store.folder(Resource::usual(kind, usual_vectors));
    let place = |stated: &Option<PathBuf>, kind| stated.clone().unwrap_or_else(|| usual(kind));
    let model = |stated: &Option<String>, kind| {
        let usual = || usual(kind).to_string_lossy().into_owned();
        let name = stated.clone().unwrap_or_else(usual);
        let folder = model_folder(&name, false)?;
        anyhow::Ok((name, folder))
    };
    let masked_lm = needs(Kind::MaskedLm)
        .then(|| model(&settings.masked_lm, Kind::MaskedLm))
        .transpose()?;
    let encoder = needs(Kind::SentenceEncoder)
        .then(|| model(&settings.sentence_encoder, Kind::SentenceEncoder))
        .transpose()?;
    let mut resources = Resources::default();
    let mut places = BTreeMap::new();
    if needs(Kind::Tagger) {
        let (tagger, folder) = tagger(settings.tagger.as_deref(), store)?;
        resources.tagger = Some(tagger);
        places.extend(folder.map(|folder| (Kind::Tagger, folder)));
    }
    if needs(Kind::WordNet) {
        let folder = place(&settings.wordnet, Kind::WordNet);
        resources.synonyms = Some(Arc::new(WordNet::open(&folder)?));
        places.insert(Kind::WordNet, folder);
    }
    if needs(Kind::WordVectors) {
        let path = place(&settings.word_vectors, Kind::WordVectors);
        places.insert(Kind::WordVectors, path.clone());
        let source = vector_source(path, settings);
        resources.word_vectors = Some(Arc::<dyn WordNeighbours>::from(vectors::open(&source)?));
    }
    if let Some((name, folder)) = masked_lm {
        let filler = MaskedLmFiller::open(&folder, &name, MAX_TOKENS, device)?;
        resources.masked_lm = Some(Arc::new(filler));
        places.insert(Kind::MaskedLm, folder);
    }
    if let Some((name, folder)) = encoder {
        let embedder = TextEmbedder::open(&folder, &name, KEPT_VECTORS, device)?;
        resources.sentence_encoder = Some(Arc::new(embedder));
        places.insert(Kind::SentenceEncoder, folder);
    }
    Ok(Opened { resources, places })
}

/// The tagger, and its folder where it is not the one built in.
fn tagger(
    stated: Option<&Path>,
    store: &Store,
) -> anyhow::Result<(Arc<dyn Tagger>, Option<PathBuf>)> {
    let nltk = match stated {
        Some(path) => Some(path.to_owned()),
        None => store
            .require(&[Resource::NltkTagger], Depth::Sizes)
            .is_ok()
            .then(|| store.folder(Resource::NltkTagger)),
    };
    let tagger: Arc<dyn Tagger> = match &nltk {
        Some(folder) => Arc::new(PerceptronTagger::open(folder)?),
        None => Arc::new(BrillTagger::default()),
    };
    Ok((tagger, nltk))
}

/// GloVe as `limbeck resources` fetches it lies in two files.
fn vector_source(path: PathBuf, settings: &ResourceSettings) -> VectorSource {
    let matrix = path.join("glove_6B_50d_emb.npy");
    if matrix.is_file() {
        return VectorSource {
            vectors: matrix,
            word_list: Some(path.join("glove_6B_index.parquet")),
        };
    }
    VectorSource {
        vectors: path,
        word_list: settings.word_list.clone(),
    }
}
