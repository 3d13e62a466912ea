//! What a set of examples is, seen in one pass that keeps none of them.

use limbeck_text::{Example, Label};
use sha2::{Digest, Sha256};

/// Number and digests of examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Number of examples.
    pub rows: usize,
    /// How many have a gold label.
    pub labelled: usize,
    /// Whether at least two labels differ.
    pub labels_differ: bool,
    /// Digest of ids and texts in their order.
    pub texts: String,
    /// Digest of the labels in their order.
    pub labels: String,
}

impl Survey {
    /// Goes through all examples; stops at the first error.
    pub fn of<E>(examples: impl Iterator<Item = Result<Example, E>>) -> Result<Self, E> {
        let (mut texts, mut labels) = (Sha256::new(), Sha256::new());
        let (mut rows, mut labelled, mut labels_differ) = (0, 0, false);
        let mut first: Option<Label> = None;
        for example in examples {
            let example = example?;
            rows += 1;
            digest_text(&mut texts, &example);
            labels.update(match example.label {
                None => [0; 5],
                Some(Label::Class(class)) => tagged(1, class),
                Some(Label::Score(score)) => tagged(2, score.to_bits()),
            });
            if let Some(label) = example.label {
                labelled += 1;
                labels_differ |= *first.get_or_insert(label) != label;
            }
        }
        Ok(Self {
            rows,
            labelled,
            labels_differ,
            texts: hex(&texts.finalize()),
            labels: hex(&labels.finalize()),
        })
    }
}

fn tagged(kind: u8, bits: u32) -> [u8; 5] {
    let [a, b, c, d] = bits.to_le_bytes();
    [kind, a, b, c, d]
}

fn digest_text(digest: &mut Sha256, example: &Example) {
    digest.update(example.id.to_le_bytes());
    // Lengths keep "ab" + "c" apart from "a" + "bc".
    for part in [Some(&example.text.first), example.text.second.as_ref()]
        .into_iter()
        .flatten()
    {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit =
        |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("four bits are one digit");
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}
