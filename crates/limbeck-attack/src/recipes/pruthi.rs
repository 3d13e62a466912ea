use limbeck_text::constraint::{ConstraintConfig, StopWordList};
use limbeck_text::transform::{Letters, TransformationConfig};

use crate::{AttackConfig, BeamConfig, Goal, SearchConfig};

/// Pruthi et al. 2019: every inner typing error of at most `max_words` words, searched greedily.
///
/// As `TextAttack` has it.
pub fn pruthi(max_words: usize) -> AttackConfig {
    let letters = Letters::ALL_INNER;
    AttackConfig {
        goal: Goal::default(),
        search: SearchConfig::Beam(BeamConfig { width: 1 }),
        transformation: TransformationConfig::Composite(vec![
            TransformationConfig::NeighbourSwap(letters),
            TransformationConfig::LetterDeletion(letters),
            TransformationConfig::LetterInsertion(letters),
            TransformationConfig::Qwerty(letters),
        ]),
        constraint: vec![
            ConstraintConfig::MinWordLength { min_length: 4 },
            ConstraintConfig::StopWords(StopWordList::Nltk),
            ConstraintConfig::NoRepeat {},
            ConstraintConfig::WordsPerturbed {
                max_count: Some(max_words),
                max_fraction: None,
            },
        ],
    }
}
