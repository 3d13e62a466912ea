//! Encoders, heads, tokenising, packed batches and checkpoints in Hugging Face's format.
//!
//! [`SentenceClassifier`] is teacher and student alike; [`Batch`] is what it reads. Functions on
//! tensors fail on mismatched shapes.

mod batch;
mod checkpoint;
mod classifier;
mod config;
mod discriminator;
mod encoder;
mod error;
mod head;
mod hub;
mod layer_selection;
mod masked_lm;
mod pieces;
mod seed;
mod sentence_encoder;
mod student;
mod tokenizer;
mod word_vectors;

pub use batch::{Batch, batches_by_tokens};
pub use checkpoint::{Slot, WEIGHTS_FILE, Weights, write_tensors};
pub use classifier::{Output, SentenceClassifier};
pub use config::{
    Architecture, ExtraClasses, HeadKind, ModelConfig, ReducedEmbeddings, Target, TransformerConfig,
};
pub use discriminator::{Discriminator, Verdict};
pub use encoder::{
    BiLstm, BiLstmConfig, EmbeddingMode, Encoded, HiddenStates, Input, Last, Needs, Transformer,
};
pub use error::ModelError;
pub use head::{Head, MaskedLmHead};
pub use hub::{Download, HubSettings, ModelSource, Network, resolve};
pub use layer_selection::LayerSelection;
pub use masked_lm::{Learns, MaskedLanguageModel};
pub use pieces::Pieces;
pub use seed::{generator, stream_key};
pub use sentence_encoder::{Pooling, SentenceEncoder};
pub use student::{
    BertStudent, BiLstmStudent, EmbeddingConfig, EmbeddingSource, SmallBertStudent, StudentConfig,
    Vocabulary,
};
pub use tokenizer::{Encoding, TextTokenizer, TokenPlace};
pub use word_vectors::{
    AntonymShare, Constraints, CounterFitConfig, CounterFitStep, CounterFitSummary, EmbeddingTable,
    Keep, NeighbourList, Ranking, RatedPair, RatingAgreement, VectorStore, WordVectors,
    antonyms_among_neighbours, counter_fit, export_vectors, rating_agreement, read_rated_pairs,
    read_word_pairs,
};
