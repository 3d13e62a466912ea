use limbeck_text::constraint::{ConstraintConfig, Reference, StopWordList};
use limbeck_text::transform::{Letters, TransformationConfig};

use crate::{AttackConfig, Goal, Importance, SearchConfig, WirConfig, WirScope};

/// `DeepWordBug` (Gao et al. 2018): one typing error of each of four kinds per word, at most 30 letters in all.
///
/// As `TextAttack` has it; the paper scores words by their place too.
pub fn deep_word_bug() -> AttackConfig {
    let letters = Letters::default();
    AttackConfig {
        goal: Goal::default(),
        search: SearchConfig::GreedyWordSwapWir(WirConfig {
            importance: Importance::Unk,
            wir_scope: WirScope::Editable,
        }),
        transformation: TransformationConfig::Composite(vec![
            TransformationConfig::NeighbourSwap(letters),
            TransformationConfig::LetterSubstitution(letters),
            TransformationConfig::LetterDeletion(letters),
            TransformationConfig::LetterInsertion(letters),
        ]),
        constraint: vec![
            ConstraintConfig::NoRepeat {},
            ConstraintConfig::StopWords(StopWordList::Nltk),
            ConstraintConfig::EditDistance {
                max_distance: 30,
                reference: Reference::Original,
            },
        ],
    }
}
