//! Objectives, teachers, the training loop and evaluation.
//!
//! [`train()`] is the one loop: fine-tuning is distillation without a teacher. An [`Objective`] is a
//! pure loss on outputs, a [`Teacher`] a source of outputs, live or stored. The loop tells an
//! [`Observer`] what happens and knows nothing of files other than models and its own state.

mod cache;
mod config;
mod corpus;
mod data;
mod embedder;
mod ensemble;
mod error;
mod evaluate;
mod filler;
mod group;
mod label_split;
mod masking;
mod objective;
mod predictor;
mod pretrain;
mod recipe;
pub mod resume;
mod schedule;
mod step;
mod store;
mod stored_set;
mod survey;
mod teacher;
mod train;
mod word_gradients;

pub use cache::{CacheHeader, StoredTeacher};
pub use config::{OptimizerKind, TrainConfig};
pub use corpus::{Sentence, TextRows, TextSource, hold_out};
pub use data::{EncodedSet, epoch_order};
pub use embedder::TextEmbedder;
pub use ensemble::{Average, EnsembleTeacher, divergence};
pub use error::TrainError;
pub use evaluate::{
    Evaluation, Predictions, TOKEN_BUDGET, check_teacher, evaluate, predict, score_predictions,
};
pub use filler::MaskedLmFiller;
pub use group::{Group, Pace, Updates};
pub use label_split::{Balance, LabelSplit, Rest};
pub use masking::{MaskUnit, MaskedBatch, MaskedRow, Masker, MaskingConfig};
pub use objective::{
    AnnealedLogits, AnnealedLogitsConfig, AttentionMapsConfig, AttentionScores,
    AttentionScoresConfig, FeatureMaps, FeatureMapsConfig, HiddenStatesConfig, LayerMap,
    MatchedAttention, MatchedStates, MeanOver, PatientLayers, Pkd, PkdConfig, PkdReduction,
    StateRelationConfig, StateRelations, annealing_factor,
};
pub use objective::{
    Given, HardLabels, HardLabelsConfig, HardTeacherLabels, HardTeacherLabelsConfig, LogitMse,
    LogitMseConfig, MseReduction, Objective, ObjectiveConfig, Pair, SoftReduction, SoftTargets,
    SoftTargetsConfig, Terms, WeightedSum,
};
pub use predictor::Predictor;
pub use pretrain::{
    MASKED_ACCURACY, MaskedScores, PERPLEXITY, Pretraining, evaluate_masked, pretrain,
};
pub use recipe::{HandsOn, Phase, train_phases};
pub use schedule::Schedule;
pub use step::{
    Ad2, Ad2Config, AdversarialTarget, Ascent, BallConfig, Beside, Bound, CildaConfig, Contrast,
    Contrasted, DeltaConfig, Divergence, DivergenceGradient, DivergenceKind, Embedded, FreeLb,
    FreeLbConfig, FreeLbDeltaConfig, GanBert, GanBertConfig, GanLosses, GanPasses, GanUpdates,
    Generator, GeneratorConfig, GeneratorModelConfig, Lesson, Maps, Masked, Masks, MateKdConfig,
    MinMax, Norm, Passes, Perturbation, Plain, Smart, SmartConfig, Span, StartConfig, Step,
    StepConfig, UnitConfig, Whole, all_layers, contrastive_loss, cosines, gan_losses, gumbel,
    symmetric_divergence,
};
pub use stored_set::{SetHeader, StoredSet};
pub use survey::Survey;
pub use teacher::{LiveTeacher, Signal, Teacher};
pub use train::{
    EvaluationEvent, Folders, Observer, Run, StepEvent, StepKeys, StepLoss, Summary, train,
};
pub use word_gradients::PieceGradients;
