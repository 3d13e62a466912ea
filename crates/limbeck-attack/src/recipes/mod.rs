//! Published attacks, each as an [`AttackConfig`].

mod bae;
mod deep_word_bug;
mod pruthi;
mod text_fooler;

use std::str::FromStr;

pub use bae::{BaeStrategy, bae};
pub use deep_word_bug::deep_word_bug;
pub use pruthi::pruthi;
pub use text_fooler::text_fooler;

use crate::AttackConfig;

/// A published attack by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// [`text_fooler`].
    TextFooler,
    /// [`deep_word_bug`].
    DeepWordBug,
    /// [`bae`].
    Bae(BaeStrategy),
    /// [`pruthi`] with one changed word.
    Pruthi,
}

impl Recipe {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::TextFooler,
        Self::DeepWordBug,
        Self::Bae(BaeStrategy::Replace),
        Self::Bae(BaeStrategy::Insert),
        Self::Bae(BaeStrategy::ReplaceOrInsert),
        Self::Bae(BaeStrategy::ReplaceAndInsert),
        Self::Pruthi,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextFooler => "text-fooler",
            Self::DeepWordBug => "deep-word-bug",
            Self::Bae(BaeStrategy::Replace) => "bae",
            Self::Bae(BaeStrategy::Insert) => "bae-i",
            Self::Bae(BaeStrategy::ReplaceOrInsert) => "bae-r-or-i",
            Self::Bae(BaeStrategy::ReplaceAndInsert) => "bae-r-and-i",
            Self::Pruthi => "pruthi",
        }
    }

    /// The attack.
    pub fn config(self) -> AttackConfig {
        match self {
            Self::TextFooler => text_fooler(),
            Self::DeepWordBug => deep_word_bug(),
            Self::Bae(strategy) => bae(strategy),
            Self::Pruthi => pruthi(1),
        }
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|recipe| recipe.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(|recipe| format!("`{}`", recipe.name()));
            format!("found `{name}`, expected one of {}", names.join(", "))
        })
    }
}
