//! Texts with gaps.

use limbeck_model::Batch;
use limbeck_ops::mix64;

/// A packed batch of which some tokens are hidden.
#[derive(Debug, Clone)]
pub struct Masked {
    /// The batch with the mask token in every gap.
    pub batch: Batch,
    /// Packed rows of the gaps, `[M]`, in order.
    pub rows: Vec<u32>,
    /// What names each gap's randomness, `[M]`: its example and its place, wherever they lie in the batch.
    pub names: Vec<u64>,
}

impl Masked {
    /// Hides each ordinary token by itself with probability `fraction`, always by the mask token (MATE-KD, §3.1).
    ///
    /// `examples`: ids of the sentences; `special`: sorted ids of tokens that stay. A batch may be left without a gap.
    pub fn new(
        batch: &Batch,
        examples: &[u64],
        special: &[u32],
        mask_id: u32,
        fraction: f64,
        key: u64,
    ) -> Self {
        let (mut rows, mut names) = (Vec::new(), Vec::new());
        let starts = batch.starts.first_rows().iter();
        for ((&first, length), &example) in starts.zip(batch.starts.lengths()).zip(examples) {
            let sentence = mix64(key ^ mix64(example));
            for place in 0..length as u32 {
                let row = first + place;
                let name = mix64(sentence ^ mix64(u64::from(place)));
                let is_special = special.binary_search(&batch.ids[row as usize]).is_ok();
                if !is_special && share(name) < fraction {
                    rows.push(row);
                    names.push(name);
                }
            }
        }
        let hidden = fill(batch, &rows, &vec![mask_id; rows.len()]);
        Self {
            batch: hidden,
            rows,
            names,
        }
    }

    /// The batch with these tokens in the gaps.
    pub fn filled(&self, ids: &[u32]) -> Batch {
        fill(&self.batch, &self.rows, ids)
    }

    /// Keys of one purpose for every gap.
    pub fn keys(&self, purpose: u64) -> Vec<u64> {
        let names = self.names.iter();
        names.map(|name| mix64(name ^ purpose)).collect()
    }
}

fn fill(batch: &Batch, rows: &[u32], ids: &[u32]) -> Batch {
    let mut all = batch.ids.to_vec();
    for (&row, &id) in rows.iter().zip(ids) {
        all[row as usize] = id;
    }
    let mut filled = batch.clone();
    filled.ids = all.into();
    filled
}

/// A number in `[0, 1)`.
pub(super) fn share(bits: u64) -> f64 {
    (mix64(bits) >> 11) as f64 / (1u64 << 53) as f64
}
