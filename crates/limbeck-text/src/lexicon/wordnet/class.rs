/// The parts of speech that WordNet has files for, in the order in which a word's meanings are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WordClass {
    /// `index.noun`, `data.noun`, `noun.exc`.
    Noun,
    /// `index.verb`, `data.verb`, `verb.exc`.
    Verb,
    /// `index.adj`, `data.adj`, `adj.exc`; satellites too.
    Adjective,
    /// `index.adv`, `data.adv`, `adv.exc`.
    Adverb,
}

impl WordClass {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::Noun, Self::Verb, Self::Adjective, Self::Adverb];

    /// WordNet's letter: `n`, `v`, `a` or `r`.
    pub fn letter(self) -> char {
        match self {
            Self::Noun => 'n',
            Self::Verb => 'v',
            Self::Adjective => 'a',
            Self::Adverb => 'r',
        }
    }

    /// The class of one of WordNet's letters; a satellite `s` is an adjective.
    pub(super) fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "s" => Some(Self::Adjective),
            _ => Self::ALL
                .into_iter()
                .find(|class| letter.chars().eq([class.letter()])),
        }
    }

    /// What the class's files are named by.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Noun => "noun",
            Self::Verb => "verb",
            Self::Adjective => "adj",
            Self::Adverb => "adv",
        }
    }
}
