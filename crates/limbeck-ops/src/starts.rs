//! Where the sentences of a packed batch begin.

use std::sync::Arc;

use crate::selection::NONE;

/// Row offsets of a packed batch: sentence `i` has rows `starts[i] .. starts[i + 1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starts(Arc<[u32]>);

impl Starts {
    /// From the sentences' lengths in tokens.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut end = 0u32;
        let starts = std::iter::once(0)
            .chain(lengths.into_iter().map(|length| {
                end += length as u32;
                end
            }))
            .collect();
        Self(starts)
    }

    /// The offsets, one more than there are sentences.
    pub fn offsets(&self) -> &[u32] {
        &self.0
    }

    /// Number of sentences.
    pub fn sentences(&self) -> usize {
        self.0.len() - 1
    }

    /// Number of rows in all.
    pub fn tokens(&self) -> usize {
        self.0[self.0.len() - 1] as usize
    }

    /// Lengths of the sentences in rows.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.0.windows(2).map(|pair| (pair[1] - pair[0]) as usize)
    }

    /// Length of the longest sentence.
    pub fn longest(&self) -> usize {
        self.lengths().max().unwrap_or(0)
    }

    /// The first row of each sentence.
    pub fn first_rows(&self) -> &[u32] {
        &self.0[..self.sentences()]
    }

    /// One row per sentence: the offsets after taking a single row of each.
    pub(crate) fn single_rows(&self) -> Self {
        Self((0..self.0.len() as u32).collect())
    }

    /// For a padded `[B, T]` layout, the packed row of every position; [`NONE`] for padding.
    pub(crate) fn padded_rows(&self) -> Vec<u32> {
        let longest = self.longest() as u32;
        let pairs = self.0.windows(2);
        pairs
            .flat_map(|pair| {
                let (start, end) = (pair[0], pair[1]);
                (0..longest).map(move |t| if start + t < end { start + t } else { NONE })
            })
            .collect()
    }

    /// For every packed row, its place in the padded `[B · T]` layout.
    pub(crate) fn rows_in_padded(&self) -> Vec<u32> {
        let longest = self.longest() as u32;
        let lengths = self.lengths().enumerate();
        lengths
            .flat_map(|(s, length)| (0..length as u32).map(move |t| s as u32 * longest + t))
            .collect()
    }

    /// `[B, T]`, one for real tokens and zero for padding.
    pub(crate) fn key_mask(&self) -> Vec<f32> {
        let longest = self.longest();
        let lengths = self.lengths();
        lengths
            .flat_map(|length| (0..longest).map(move |t| if t < length { 1.0 } else { 0.0 }))
            .collect()
    }

    /// For maps `[heads, T, T]` packed sentence after sentence, each entry's place in `[B, heads, longest, longest]`.
    pub(crate) fn maps_in_padded(&self, heads: usize) -> Vec<u32> {
        let longest = self.longest();
        let mut places = Vec::new();
        for (sentence, length) in self.lengths().enumerate() {
            for row in 0..heads * length {
                let (head, query) = (row / length, row % length);
                let first = ((sentence * heads + head) * longest + query) * longest;
                places.extend((first..first + length).map(|place| place as u32));
            }
        }
        places
    }

    /// The inverse of [`Starts::maps_in_padded`]; [`NONE`] for padding.
    pub(crate) fn maps_of_padded(&self, heads: usize) -> Vec<u32> {
        let mut entries = vec![NONE; self.sentences() * heads * self.longest() * self.longest()];
        for (entry, place) in (0..).zip(self.maps_in_padded(heads)) {
            entries[place as usize] = entry;
        }
        entries
    }

    /// For the same maps, rows padded to the longest: each place's entry, [`NONE`] for padding, and one where it is real.
    pub(crate) fn padded_map_rows(&self, heads: usize) -> (Vec<u32>, Vec<f32>) {
        let longest = self.longest();
        let (mut entries, mut mask, mut first) = (Vec::new(), Vec::new(), 0);
        for length in self.lengths() {
            for _ in 0..heads * length {
                let real = |column| column < length;
                entries.extend((0..longest).map(|c| if real(c) { first + c as u32 } else { NONE }));
                mask.extend((0..longest).map(|c| if real(c) { 1.0 } else { 0.0 }));
                first += length as u32;
            }
        }
        (entries, mask)
    }

    /// For rows padded to the longest, the place of each entry of packed maps.
    pub(crate) fn maps_in_padded_rows(&self, heads: usize) -> Vec<u32> {
        let longest = self.longest();
        let lengths = self.lengths();
        let rows = lengths.flat_map(|length| std::iter::repeat_n(length, heads * length));
        rows.enumerate()
            .flat_map(|(row, length)| (0..length).map(move |c| (row * longest + c) as u32))
            .collect()
    }
}
