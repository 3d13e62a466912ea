//! Single-precision products on Intel's matrix tiles (AMX), from bf16 parts.
//!
//! Each number is the exact sum of three bf16 numbers, `x = x₁ + x₂ + x₃`, each at most 2⁻⁸ of the
//! one before. Of the nine products of parts six are summed, `a₃b₁ + a₂b₁ + a₂b₂ + a₁b₂ + a₁b₃ +
//! a₁b₁`, in single precision; the other three are below 2⁻²⁵ of `ab` together, less than its
//! rounding (Henry, Tang & Heinecke 2019, "Leveraging the bfloat16 artificial intelligence datatype
//! for higher-precision computations").
//!
//! An output is the same function of its two lines whatever the other lines are: a sum over blocks
//! of [`BLOCK_DEPTH`] in order. Tiles count subnormal numbers as zero, so a part below 2⁻¹²⁶ is
//! lost: operands below 2⁻¹¹⁰ have an absolute error of up to 2⁻¹²⁶. Operands above 3.39·10³⁸ (the
//! largest bf16 number) count as infinite, and an infinite operand may give NaN.

mod output;
mod pack;
mod tiles;
mod words;

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use super::gemm::Start;
use super::lines::Lines;
use output::Output;
use pack::{Layout, pack};
use tiles::{PANEL, STEP_WORDS, Sums, TILE, TILE_DEPTH, Tiles};
use words::Words;

pub(crate) use tiles::Amx;

/// Depth added up in the tiles before it is added to the output; a multiple of [`TILE_DEPTH`].
const BLOCK_DEPTH: usize = 512;

/// Words of left lines packed together: a quarter of a second cache of 2 MiB, as measured best.
const BLOCK_WORDS: usize = 144 << 10;

/// Multiplications below which starting threads costs more than it saves.
const PARALLEL_THRESHOLD: usize = 1 << 21;

/// The right operand of products, packed once for any number of them.
#[derive(Debug)]
pub(crate) struct Right {
    amx: Amx,
    words: Words,
    lines: usize,
    depth: usize,
}

/// Whether products of `lines` right lines of `depth` gain from tiles, however many left lines.
pub(crate) fn pays(lines: usize, depth: usize) -> bool {
    lines >= TILE && depth >= TILE_DEPTH
}

impl Right {
    /// Packs `lines` lines of `depth`.
    pub(crate) fn pack(
        amx: Amx,
        operand: Lines<'_>,
        (lines, depth): (usize, usize),
        threads: usize,
    ) -> Self {
        let panels = lines.div_ceil(PANEL);
        let mut words = Words::take(panels * panel_words(depth));
        let mut rest = &mut *words;
        let mut work = Vec::new();
        // By blocks of depth, then by panels, as they are used.
        for start in (0..depth).step_by(BLOCK_DEPTH) {
            let block = BLOCK_DEPTH.min(depth - start);
            for panel in 0..panels {
                let (packed, after) = rest.split_at_mut(panel_words(block));
                rest = after;
                work.push((packed, start, block, panel * PANEL));
            }
        }
        let one = |(packed, start, block, first): (&mut [u32], usize, usize, usize)| {
            pack(
                amx,
                packed,
                operand.after_depth(start),
                (first, lines, block),
                Layout::Columns,
            );
        };
        if threads == 1 || lines * depth < 1 << 16 {
            work.into_iter().for_each(one);
        } else {
            work.into_par_iter().with_min_len(4).for_each(one);
        }
        Self {
            amx,
            words,
            lines,
            depth,
        }
    }

    /// `y[m, lines]`: dot products of `m` left lines with the packed ones.
    pub(crate) fn multiply(
        &self,
        y: &mut [f32],
        left: Lines<'_>,
        m: usize,
        start: Start<'_>,
        threads: usize,
    ) {
        debug_assert_eq!(y.len(), m * self.lines, "output of {m} x {}", self.lines);
        if m == 0 {
            return;
        }
        let block_panels = BLOCK_WORDS / panel_words(self.depth.min(BLOCK_DEPTH));
        let (row_panels, column_panels) = (m.div_ceil(PANEL), self.lines.div_ceil(PANEL));
        if threads == 1 || m * self.lines * self.depth < PARALLEL_THRESHOLD {
            let output = Output::new(y, self.lines);
            for row in (0..row_panels).step_by(block_panels) {
                let rows = (row, row_panels.min(row + block_panels));
                self.block(&output, left, (m, rows, (0, column_panels)), start);
            }
            return;
        }
        // A few pieces for each thread, by rows as long as there are enough.
        let wanted = 3 * threads;
        let height = row_panels.div_ceil(wanted).clamp(1, block_panels);
        let row_pieces = row_panels.div_ceil(height);
        let width = column_panels.div_ceil(threads.div_ceil(row_pieces));
        let column_pieces = column_panels.div_ceil(width);
        let output = Output::new(y, self.lines);
        (0..row_pieces * column_pieces)
            .into_par_iter()
            .for_each(|piece| {
                let (row, column) = (
                    piece / column_pieces * height,
                    piece % column_pieces * width,
                );
                let rows = (row, row_panels.min(row + height));
                let columns = (column, column_panels.min(column + width));
                self.block(&output, left, (m, rows, columns), start);
            });
    }

    /// The part of the output in a block of panels.
    #[expect(unsafe_code, reason = "writes its part of an output shared by threads")]
    fn block(
        &self,
        output: &Output<'_>,
        left: Lines<'_>,
        (m, rows, columns): (usize, (usize, usize), (usize, usize)),
        start: Start<'_>,
    ) {
        let panels = self.lines.div_ceil(PANEL);
        let mut packed = Words::take((rows.1 - rows.0) * panel_words(self.depth.min(BLOCK_DEPTH)));
        let mut sums = Sums::new();
        let mut start = start;
        let mut right = &*self.words;
        for first in (0..self.depth).step_by(BLOCK_DEPTH) {
            let depth = BLOCK_DEPTH.min(self.depth - first);
            let words = panel_words(depth);
            for (panel, row) in packed.chunks_exact_mut(words).zip(rows.0..rows.1) {
                pack(
                    self.amx,
                    panel,
                    left.after_depth(first),
                    (row * PANEL, m, depth),
                    Layout::Rows,
                );
            }
            let tiles = Tiles::configure(self.amx);
            for column in columns.0..columns.1 {
                let right = &right[column * words..][..words];
                let width = PANEL.min(self.lines - column * PANEL);
                for (left, row) in packed.chunks_exact(words).zip(rows.0..rows.1) {
                    let height = PANEL.min(m - row * PANEL);
                    let used = (height.div_ceil(TILE), width.div_ceil(TILE));
                    tiles.multiply(
                        &mut sums,
                        left,
                        right,
                        used,
                        output.place(row * PANEL, column * PANEL),
                    );
                    // SAFETY: pieces do not overlap, and each is written by one thread.
                    unsafe {
                        output.write(
                            self.amx,
                            &sums,
                            (row * PANEL, height),
                            (column * PANEL, width),
                            start,
                        );
                    }
                }
            }
            right = &right[panels * words..];
            start = Start::Old;
        }
    }
}

/// Words of a packed panel.
fn panel_words(depth: usize) -> usize {
    depth.div_ceil(TILE_DEPTH) * STEP_WORDS
}
