use limbeck_text::constraint::{ConstraintConfig, Reference, SimilarityMetric, StopWordList};
use limbeck_text::transform::{Fillings, InsertionConfig, Side, TransformationConfig};

use crate::{AttackConfig, Goal, Importance, SearchConfig, WirConfig, WirScope};

/// The least cosine of MiniLM's vectors: 95 % of the 1,429 edits of one word in real logs that passed the peer's threshold,
/// 0.936 of the Universal Sentence Encoder, pass this one (`limbeck calibrate`).
const MIN_COSINE: f32 = 0.899;

/// What BAE does with the tokens that a masked language model proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaeStrategy {
    /// One stands for a word (BAE-R).
    Replace,
    /// One comes before or after a word (BAE-I).
    Insert,
    /// Either (BAE-R/I).
    ReplaceOrInsert,
    /// One stands for a word and another comes beside it (BAE-R+I).
    ReplaceAndInsert,
}

/// BAE (Garg and Ramakrishnan 2020): words replaced by, or joined by, what a masked language model expects there.
///
/// BAE-R is as `TextAttack` has it, but for the sentence encoder: MiniLM stands for the Universal Sentence Encoder, so the
/// threshold is MiniLM's own. `TextAttack` lacks the three others; they follow the paper, with the same constraints.
pub fn bae(strategy: BaeStrategy) -> AttackConfig {
    let fillings = Fillings {
        max_candidates: 50,
        min_confidence: 0.0,
    };
    let insertion = |side| {
        TransformationConfig::MaskedInsert(InsertionConfig {
            max_candidates: fillings.max_candidates,
            min_confidence: fillings.min_confidence,
            side,
        })
    };
    AttackConfig {
        goal: Goal::default(),
        search: SearchConfig::GreedyWordSwapWir(WirConfig {
            importance: Importance::Delete,
            wir_scope: WirScope::Editable,
        }),
        transformation: match strategy {
            BaeStrategy::Replace => TransformationConfig::MaskedReplace(fillings),
            BaeStrategy::Insert => TransformationConfig::Composite(vec![
                insertion(Side::Before),
                insertion(Side::After),
            ]),
            BaeStrategy::ReplaceOrInsert => TransformationConfig::MaskedReplaceOrInsert(fillings),
            BaeStrategy::ReplaceAndInsert => TransformationConfig::MaskedReplaceAndInsert(fillings),
        },
        constraint: vec![
            ConstraintConfig::NoRepeat {},
            ConstraintConfig::StopWords(StopWordList::Nltk),
            ConstraintConfig::PartOfSpeech {
                allow_verb_noun_swap: true,
                reference: Reference::Original,
            },
            ConstraintConfig::SentenceSimilarity {
                threshold: MIN_COSINE,
                metric: SimilarityMetric::Cosine,
                window: Some(15),
                skip_short_texts: true,
                reference: Reference::Original,
            },
        ],
    }
}
