//! Single precision split into three bf16 parts, laid out as tiles.

use std::arch::x86_64::{
    __m128i, __m512i, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch, _mm512_add_epi32,
    _mm512_and_si512, _mm512_castps_si512, _mm512_castsi128_si512, _mm512_castsi512_ps,
    _mm512_inserti32x4, _mm512_loadu_si512, _mm512_maskz_loadu_epi32, _mm512_permutex2var_epi16,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_sub_ps,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::super::lines::Lines;
use super::tiles::{Amx, PANEL, STEP_WORDS, TILE, TILE_DEPTH, TILE_WORDS};

/// Which way the lines of a tile lie. One is the transpose of the other, in 32-bit words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A row of the tile is a line: the left operand.
    Rows,
    /// A column of the tile is a line: the right operand.
    Columns,
}

/// Packs the lines from `first` on, at most [`PANEL`] of them up to `lines`, `depth` deep.
///
/// For each depth of [`TILE_DEPTH`], six tiles: highest, middle and lowest part, two tiles each.
/// What lies beyond `lines` or `depth` is zero; a second tile without lines is left alone.
#[expect(unsafe_code, reason = "calls a function for processors with AVX-512")]
pub(super) fn pack(
    _: Amx,
    panel: &mut [u32],
    operand: Lines<'_>,
    sizes: (usize, usize, usize),
    layout: Layout,
) {
    // SAFETY: the processor has the instructions.
    unsafe { pack_panel(panel, operand, sizes, layout) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn pack_panel(
    panel: &mut [u32],
    operand: Lines<'_>,
    (first, lines, depth): (usize, usize, usize),
    layout: Layout,
) {
    let natural = if operand.depth_stride == 1 {
        Layout::Rows
    } else {
        Layout::Columns
    };
    let mut scratch = Scratch([0; 3 * TILE_WORDS]);
    for (step, tiles) in panel.chunks_exact_mut(STEP_WORDS).enumerate() {
        let start = step * TILE_DEPTH;
        let deep = TILE_DEPTH.min(depth - start);
        for half in 0..PANEL / TILE {
            let line = first + half * TILE;
            if line >= lines {
                break;
            }
            let count = TILE.min(lines - line);
            let corner = Lines {
                data: &operand.data[line * operand.line_stride + start * operand.depth_stride..],
                ..operand
            };
            let tiles = &mut tiles[half * TILE_WORDS..];
            let (out, part_words) = if natural == layout {
                (&mut *tiles, 2 * TILE_WORDS)
            } else {
                (&mut scratch.0[..], TILE_WORDS)
            };
            match natural {
                Layout::Rows => split_rows(out, part_words, corner, (count, deep)),
                Layout::Columns => split_columns(out, part_words, corner, (count, deep)),
            }
            if natural != layout {
                for (part, tile) in scratch.0.chunks_exact(TILE_WORDS).enumerate() {
                    transpose(&mut tiles[2 * part * TILE_WORDS..][..TILE_WORDS], tile);
                }
            }
        }
    }
}

#[repr(align(64))]
struct Scratch([u32; 3 * TILE_WORDS]);

/// Tiles whose rows are lines with neighbouring elements.
#[target_feature(enable = "avx512f,avx512bw")]
fn split_rows(
    out: &mut [u32],
    part_words: usize,
    corner: Lines<'_>,
    (count, deep): (usize, usize),
) {
    // The upper halves of the words of both vectors, in order.
    let order = half_words(|place| 2 * place + 1);
    for line in 0..TILE {
        let parts = if line < count {
            let data = &corner.data[line * corner.line_stride..][..deep];
            prefetch(data, PANEL * corner.line_stride);
            prefetch(data, PANEL * corner.line_stride + TILE);
            let (low, high) = data.split_at(deep.min(TILE));
            split(load(low), load(high), order)
        } else {
            [_mm512_setzero_si512(); 3]
        };
        for (part, value) in parts.into_iter().enumerate() {
            store(&mut out[part * part_words + line * TILE..], value);
        }
    }
}

/// Tiles whose columns are lines that lie side by side.
#[target_feature(enable = "avx512f,avx512bw")]
fn split_columns(
    out: &mut [u32],
    part_words: usize,
    corner: Lines<'_>,
    (count, deep): (usize, usize),
) {
    // The upper halves of the words of one vector and the other in turn.
    let order = half_words(|place| (place & !1) + 1 + (place & 1) * 32);
    for pair in 0..TILE {
        let row = |depth: usize| {
            if depth >= deep {
                return _mm512_setzero_si512();
            }
            let row = &corner.data[depth * corner.depth_stride..][..count];
            load(row)
        };
        let parts = split(row(2 * pair), row(2 * pair + 1), order);
        for (part, value) in parts.into_iter().enumerate() {
            store(&mut out[part * part_words + pair * TILE..], value);
        }
    }
}

/// Highest, middle and lowest bf16 part of 32 numbers, which add up to them.
///
/// Highest and middle part are rounded to the nearest, so what is left has one bit less each time
/// and the lowest part is exact. An infinity leaves NaN in the others; a NaN stays one in the
/// lowest. What is subnormal counts as zero in the products.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn split(first: __m512i, second: __m512i, order: __m512i) -> [__m512i; 3] {
    let (first_high, first_rest) = round(first);
    let (second_high, second_rest) = round(second);
    let (first_middle, first_rest) = round(first_rest);
    let (second_middle, second_rest) = round(second_rest);
    [
        _mm512_permutex2var_epi16(first_high, order, second_high),
        _mm512_permutex2var_epi16(first_middle, order, second_middle),
        _mm512_permutex2var_epi16(first_rest, order, second_rest),
    ]
}

/// The nearest bf16 numbers in the upper half of each word, and what is left.
#[target_feature(enable = "avx512f")]
#[inline]
fn round(x: __m512i) -> (__m512i, __m512i) {
    let half = _mm512_set1_epi32(0x8000);
    let upper = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let high = _mm512_and_si512(_mm512_add_epi32(x, half), upper);
    let rest = _mm512_sub_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(high));
    (high, _mm512_castps_si512(rest))
}

/// Asks for the same place of the next panel, `ahead` floats further.
#[target_feature(enable = "avx512f")]
#[inline]
fn prefetch(data: &[f32], ahead: usize) {
    _mm_prefetch::<_MM_HINT_T1>(data.as_ptr().wrapping_add(ahead).cast());
}

/// At most sixteen floats, the rest zero.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "loads through a pointer")]
fn load(data: &[f32]) -> __m512i {
    debug_assert!(data.len() <= TILE);
    let mask = ((1u32 << data.len()) - 1) as u16;
    // SAFETY: lanes beyond the slice are masked out.
    unsafe { _mm512_maskz_loadu_epi32(mask, data.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "stores through a pointer")]
fn store(out: &mut [u32], value: __m512i) {
    let out = &mut out[..TILE];
    // SAFETY: the slice has sixteen words.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), value) }
}

/// A vector of thirty-two 16-bit places.
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "loads through a pointer")]
fn half_words(place: impl Fn(u16) -> u16) -> __m512i {
    let places: [u16; 32] = std::array::from_fn(|index| place(index as u16));
    // SAFETY: the array has 64 bytes.
    unsafe { _mm512_loadu_si512(places.as_ptr().cast()) }
}

/// `out[j, i] = tile[i, j]`, 16 x 16 words.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(out: &mut [u32], tile: &[u32]) {
    let out = &mut out[..TILE_WORDS];
    for column in (0..TILE).step_by(4) {
        let a = every_fourth(tile, 0, column);
        let b = every_fourth(tile, 1, column);
        let c = every_fourth(tile, 2, column);
        let d = every_fourth(tile, 3, column);
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        let out = &mut out[column * TILE..];
        store(out, _mm512_unpacklo_epi64(ab_low, cd_low));
        store(&mut out[TILE..], _mm512_unpackhi_epi64(ab_low, cd_low));
        store(
            &mut out[2 * TILE..],
            _mm512_unpacklo_epi64(ab_high, cd_high),
        );
        store(
            &mut out[3 * TILE..],
            _mm512_unpackhi_epi64(ab_high, cd_high),
        );
    }
}

/// Four words each of the rows `row`, `row + 4`, `row + 8` and `row + 12`.
#[target_feature(enable = "avx512f")]
#[inline]
fn every_fourth(tile: &[u32], row: usize, column: usize) -> __m512i {
    let tile = &tile[..TILE_WORDS];
    let all = _mm512_castsi128_si512(quarter(tile, row, column));
    let all = _mm512_inserti32x4::<1>(all, quarter(tile, row + 4, column));
    let all = _mm512_inserti32x4::<2>(all, quarter(tile, row + 8, column));
    _mm512_inserti32x4::<3>(all, quarter(tile, row + 12, column))
}

/// Four words of a row.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "loads through a pointer")]
fn quarter(tile: &[u32], row: usize, column: usize) -> __m128i {
    let words = &tile[row * TILE + column..][..4];
    // SAFETY: the slice has four words.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}
