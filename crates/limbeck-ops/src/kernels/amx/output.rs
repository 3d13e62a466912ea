//! Where sums go.

use std::arch::x86_64::{
    _mm512_add_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
};
use std::marker::PhantomData;

use super::super::gemm::Start;
use super::tiles::{Amx, PANEL, Sums, TILE};

/// An output `[rows, width]`, written by several threads in parts of their own.
pub(super) struct Output<'a> {
    data: *mut f32,
    len: usize,
    width: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "shared by threads that write different parts")]
// SAFETY: only `write` uses the pointer, and its callers write disjoint parts.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub(super) fn new(y: &'a mut [f32], width: usize) -> Self {
        Self {
            data: y.as_mut_ptr(),
            len: y.len(),
            width,
            lifetime: PhantomData,
        }
    }

    /// Where a part begins, and how far apart its rows are.
    pub(super) fn place(&self, row: usize, column: usize) -> (*const f32, usize) {
        (
            self.data.wrapping_add(row * self.width + column),
            self.width,
        )
    }

    /// Writes sums to `height` rows and `width` columns from `row` and `column` on.
    ///
    /// # Safety
    /// No other thread reads or writes this part meanwhile.
    #[expect(unsafe_code, reason = "writes through a pointer")]
    pub(super) unsafe fn write(
        &self,
        _: Amx,
        sums: &Sums,
        (row, height): (usize, usize),
        (column, width): (usize, usize),
        start: Start<'_>,
    ) {
        assert!(
            column + width <= self.width && (row + height) * self.width <= self.len,
            "a part within the output"
        );
        if let Start::Row(row) = start {
            assert_eq!(row.len(), self.width, "a start for every column");
        }
        let first = row * self.width + column;
        // SAFETY: within the output, this thread's alone; the processor has AVX-512.
        unsafe {
            let y = self.data.add(first);
            let (start, start_stride) = match start {
                Start::Zero => (None, 0),
                Start::Old => (Some(y.cast_const()), self.width),
                Start::Row(start) => (Some(start[column..].as_ptr()), 0),
            };
            write_rows(
                (y, self.width),
                sums.rows(height),
                width,
                start,
                start_stride,
            );
        }
    }
}

/// Writes sums of `width` columns, from `start` on.
///
/// # Safety
/// `y` and `start` point to as many rows, each so many floats from the one before, as `sums` has.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "reads and writes through pointers")]
unsafe fn write_rows(
    (y, stride): (*mut f32, usize),
    sums: &[f32],
    width: usize,
    start: Option<*const f32>,
    start_stride: usize,
) {
    let lanes = u32::MAX >> (PANEL - width);
    for (row, sums) in sums.chunks_exact(PANEL).enumerate() {
        for (column, sums) in sums.chunks_exact(TILE).enumerate() {
            let lanes = (lanes >> (column * TILE)) as u16;
            let y = y.wrapping_add(row * stride + column * TILE);
            // SAFETY: only lanes within the row are read and written.
            unsafe {
                let mut value = _mm512_loadu_ps(sums.as_ptr());
                if let Some(start) = start {
                    let start = start.wrapping_add(row * start_stride + column * TILE);
                    value = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, start), value);
                }
                _mm512_mask_storeu_ps(y, lanes, value);
            }
        }
    }
}
