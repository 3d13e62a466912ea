use limbeck_text::constraint::{ConstraintConfig, Reference, SimilarityMetric, StopWordList};
use limbeck_text::transform::TransformationConfig;

use crate::{AttackConfig, Goal, Importance, SearchConfig, WirConfig, WirScope};

/// The least angular similarity of MiniLM's vectors: 95 % of the 1,109 edits of one word in real logs that passed the peer's
/// threshold, 0.841 of the Universal Sentence Encoder, pass this one (`limbeck calibrate`).
const MIN_SIMILARITY: f32 = 0.8175;

/// `TextFooler` (Jin et al. 2019): words for their 50 nearest in a space of counter-fitted vectors, if the part of speech and
/// the meaning of the sentence stay.
///
/// As `TextAttack` has it, but for the sentence encoder: MiniLM stands for the Universal Sentence Encoder, so the threshold is
/// MiniLM's own.
pub fn text_fooler() -> AttackConfig {
    AttackConfig {
        goal: Goal::default(),
        search: SearchConfig::GreedyWordSwapWir(WirConfig {
            importance: Importance::Delete,
            wir_scope: WirScope::Editable,
        }),
        transformation: TransformationConfig::WordVectors { max_candidates: 50 },
        constraint: vec![
            ConstraintConfig::NoRepeat {},
            ConstraintConfig::StopWords(StopWordList::TextFooler),
            ConstraintConfig::InputColumns {
                columns: vec!["premise".into(), "hypothesis".into()],
                kept: vec!["premise".into()],
            },
            ConstraintConfig::WordVectorDistance {
                min_cosine: Some(0.5),
                max_squared_distance: None,
                reference: Reference::Original,
            },
            ConstraintConfig::PartOfSpeech {
                allow_verb_noun_swap: true,
                reference: Reference::Original,
            },
            ConstraintConfig::SentenceSimilarity {
                threshold: MIN_SIMILARITY,
                metric: SimilarityMetric::Angular,
                window: Some(15),
                skip_short_texts: true,
                reference: Reference::Current,
            },
        ],
    }
}
