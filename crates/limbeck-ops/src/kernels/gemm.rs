//! Matrix products whose rows do not depend on how many rows there are.
//!
//! Where the processor has matrix tiles, products of some size go to [`amx`]; which ones is decided
//! by the right operand's shape alone. All others go to `gemm`.
//!
//! `gemm` adds along the inner dimension in blocks whose size depends on the shape, and switches to
//! other kernels for single rows and tiny outputs. Cutting the inner dimension at [`DEPTH`]
//! ourselves and computing the small cases in the same order makes every output element the same
//! chain of fused multiply-adds, whatever else is in the batch.

use std::cell::Cell;

use gemm::Parallelism;

use super::lines::Lines;
use super::reduce::fill_rows;
use super::{amx, simd};

/// Inner block length; `gemm` never cuts a block of this length further.
const DEPTH: usize = 512;

/// How products started on this thread are computed.
#[derive(Clone, Copy)]
struct Scope {
    /// Threads they may use, if not all.
    threads: Option<usize>,
    tiles: Tiles,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tiles {
    Allowed,
    Avoided,
}

thread_local! {
    static SCOPE: Cell<Scope> = const {
        Cell::new(Scope { threads: None, tiles: Tiles::Allowed })
    };
}

impl Scope {
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let before = SCOPE.replace(self);
        let result = work();
        SCOPE.set(before);
        result
    }
}

/// Threads that work started here may use.
pub(crate) fn threads() -> usize {
    SCOPE
        .get()
        .threads
        .unwrap_or_else(rayon::current_num_threads)
}

/// Runs `work` on this thread alone: for callers that keep all threads busy with pieces of their own.
///
/// Numbers do not depend on it.
pub fn serially<R>(work: impl FnOnce() -> R) -> R {
    let scope = SCOPE.get();
    Scope {
        threads: Some(1),
        ..scope
    }
    .run(work)
}

/// Runs `work`, in which this thread's products do without matrix tiles (AMX), as they do on a
/// processor that has none: other roundings, the same accuracy.
pub fn without_tiles<R>(work: impl FnOnce() -> R) -> R {
    let scope = SCOPE.get();
    Scope {
        tiles: Tiles::Avoided,
        ..scope
    }
    .run(work)
}

/// Whether products use matrix tiles (AMX) on this processor.
pub fn has_tiles() -> bool {
    amx::Amx::detect().is_some()
}

/// Runs two independent pieces of work side by side, each with half of the threads.
///
/// Two products on one core each need no barriers inside; numbers do not depend on it.
pub(crate) fn both(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    let (scope, threads) = (SCOPE.get(), threads());
    if threads == 1 {
        first();
        second();
        return;
    }
    let with = |threads| Scope {
        threads: Some(threads),
        ..scope
    };
    rayon::join(
        || with(threads / 2).run(first),
        || with(threads - threads / 2).run(second),
    );
}

/// What happens to the output's old contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Replace,
    Add,
}

/// What the sums are added to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Start<'a> {
    Zero,
    /// The output's old contents.
    Old,
    /// The same row for every row of the output.
    Row(&'a [f32]),
}

impl From<Write> for Start<'_> {
    fn from(write: Write) -> Self {
        match write {
            Write::Replace => Start::Zero,
            Write::Add => Start::Old,
        }
    }
}

/// `y[m,n] = x[m,k] · w[n,k]ᵀ`: a linear layer forward, from its bias on.
pub(crate) fn matmul_nt(
    y: &mut [f32],
    x: &[f32],
    w: &[f32],
    (m, n, k): (usize, usize, usize),
    start: Start<'_>,
) {
    Right::new(Lines::rows(w, k), (n, k)).multiply(y, Lines::rows(x, k), m, start);
}

/// `y[m,n] = a[m,k] · b[k,n]`: a linear layer's input gradient.
pub(crate) fn matmul_nn(
    y: &mut [f32],
    a: &[f32],
    b: &[f32],
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    Right::new(Lines::columns(b, n), (n, k)).multiply(y, Lines::rows(a, k), m, write.into());
}

/// `y[m,n] = a[k,m]ᵀ · b[k,n]`: a linear layer's weight gradient.
pub(crate) fn matmul_tn(
    y: &mut [f32],
    a: &[f32],
    b: &[f32],
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    Right::new(Lines::columns(b, n), (n, k)).multiply(y, Lines::columns(a, m), m, write.into());
}

/// The right operand of one product or several, prepared once.
pub(crate) struct Right<'a> {
    operand: Lines<'a>,
    packed: Option<amx::Right>,
    lines: usize,
    depth: usize,
}

impl<'a> Right<'a> {
    /// `lines` lines of `depth`: what becomes the output's columns.
    pub(crate) fn new(operand: Lines<'a>, (lines, depth): (usize, usize)) -> Self {
        assert!(
            operand.data.len() >= lines * depth,
            "{lines} lines of {depth}"
        );
        let amx = (SCOPE.get().tiles == Tiles::Allowed && amx::pays(lines, depth))
            .then(amx::Amx::detect)
            .flatten();
        Self {
            operand,
            packed: amx.map(|amx| amx::Right::pack(amx, operand, (lines, depth), threads())),
            lines,
            depth,
        }
    }

    /// `y[m, lines]`: the dot products of `m` left lines with these.
    pub(crate) fn multiply(&self, y: &mut [f32], left: Lines<'_>, m: usize, start: Start<'_>) {
        let (n, k) = (self.lines, self.depth);
        assert_eq!(y.len(), m * n, "output of {m} x {n}");
        assert!(left.data.len() >= m * k, "left operand of {m} x {k}");
        if m == 0 || n == 0 {
            return;
        }
        match &self.packed {
            Some(packed) => packed.multiply(y, left, m, start, threads()),
            None => product(y, left, self.operand, (m, n, k), start),
        }
    }
}

/// Without tiles.
fn product(
    y: &mut [f32],
    lhs: Lines<'_>,
    rhs: Lines<'_>,
    (m, n, k): (usize, usize, usize),
    start: Start<'_>,
) {
    let mut write = match start {
        Start::Row(row) => {
            fill_rows(y, row);
            Write::Add
        }
        Start::Zero if k == 0 => {
            y.fill(0.0);
            return;
        }
        Start::Zero => Write::Replace,
        Start::Old => Write::Add,
    };
    for start in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - start);
        let (lhs, rhs) = (lhs.after_depth(start), rhs.after_depth(start));
        if m == 1 || n == 1 || m * n <= 256 || depth <= 2 {
            chain(y, lhs, rhs, (m, n, depth), write);
        } else {
            block(y, lhs, rhs, (m, n, depth), write);
        }
        write = Write::Add;
    }
}

#[expect(
    unsafe_code,
    reason = "gemm takes raw pointers; `Right` has checked every extent"
)]
fn block(
    y: &mut [f32],
    lhs: Lines<'_>,
    rhs: Lines<'_>,
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    let threads = threads();
    let parallelism = if threads == 1 {
        Parallelism::None
    } else {
        Parallelism::Rayon(threads)
    };
    // SAFETY: the largest offsets read and written are within the slices, asserted by `Right`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            n as isize,
            write == Write::Add,
            lhs.data.as_ptr(),
            lhs.depth_stride as isize,
            lhs.line_stride as isize,
            rhs.data.as_ptr(),
            rhs.line_stride as isize,
            rhs.depth_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// The same chain of multiply-adds as `gemm`'s kernels, for outputs too small for them.
fn chain(
    y: &mut [f32],
    lhs: Lines<'_>,
    rhs: Lines<'_>,
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    simd(
        #[inline(always)]
        || {
            for (row, y) in y.chunks_exact_mut(n).take(m).enumerate() {
                let a = |depth: usize| lhs.data[row * lhs.line_stride + depth * lhs.depth_stride];
                if rhs.line_stride == 1 {
                    chain_row::<64>(y, &a, rhs, k, write);
                } else {
                    chain_row::<8>(y, &a, rhs, k, write);
                }
            }
        },
    );
}

/// One row of the output, `WIDTH` columns at a time.
#[inline(always)]
fn chain_row<const WIDTH: usize>(
    y: &mut [f32],
    a: &impl Fn(usize) -> f32,
    rhs: Lines<'_>,
    k: usize,
    write: Write,
) {
    for (index, out) in y.chunks_mut(WIDTH).enumerate() {
        let first = index * WIDTH * rhs.line_stride;
        let mut sums = [0f32; WIDTH];
        for depth in 0..k {
            let a = a(depth);
            let b = &rhs.data[depth * rhs.depth_stride + first..];
            if rhs.line_stride == 1 && out.len() == WIDTH {
                for (sum, &b) in sums.iter_mut().zip(&b[..WIDTH]) {
                    *sum = a.mul_add(b, *sum);
                }
            } else {
                for (column, sum) in sums[..out.len()].iter_mut().enumerate() {
                    *sum = a.mul_add(b[column * rhs.line_stride], *sum);
                }
            }
        }
        for (value, sum) in out.iter_mut().zip(sums) {
            *value = if write == Write::Add {
                *value + sum
            } else {
                sum
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    fn reference(
        m: usize,
        n: usize,
        k: usize,
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
    ) -> Vec<f32> {
        let mut y = Vec::new();
        for row in 0..m {
            for column in 0..n {
                y.push(
                    (0..k)
                        .map(|d| f64::from(a(row, d)) * f64::from(b(d, column)))
                        .sum::<f64>() as f32,
                );
            }
        }
        y
    }

    #[test]
    fn a_bias_is_the_start_of_every_row() {
        in_both_ways(|| {
            let (m, n, k) = (37, 75, 600);
            let (x, w, bias) = (numbers(m * k, 1), numbers(n * k, 2), numbers(n, 8));
            let mut filled = vec![0.0; m * n];
            fill_rows(&mut filled, &bias);
            matmul_nt(&mut filled, &x, &w, (m, n, k), Start::Old);
            let mut y = vec![f32::NAN; m * n];
            matmul_nt(&mut y, &x, &w, (m, n, k), Start::Row(&bias));
            assert_eq!(y, filled);
        });
    }

    fn check(m: usize, n: usize, k: usize) {
        let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
        let mut y = vec![0.0; m * n];
        let close = |y: &[f32], expected: &[f32]| {
            for (a, b) in y.iter().zip(expected) {
                assert!(
                    (a - b).abs() < 1e-4 * (1.0 + b.abs()),
                    "{m} x {n} x {k}: {a} and {b}"
                );
            }
        };
        matmul_nt(&mut y, &x, &w, (m, n, k), Start::Zero);
        close(
            &y,
            &reference(m, n, k, |r, d| x[r * k + d], |d, c| w[c * k + d]),
        );
        matmul_nn(&mut y, &x, &w, (m, n, k), Write::Replace);
        close(
            &y,
            &reference(m, n, k, |r, d| x[r * k + d], |d, c| w[d * n + c]),
        );
        matmul_tn(&mut y, &x, &w, (m, n, k), Write::Replace);
        close(
            &y,
            &reference(m, n, k, |r, d| x[d * m + r], |d, c| w[d * n + c]),
        );
    }

    /// With tiles, where there are any, and without.
    fn in_both_ways(work: impl Fn()) {
        work();
        without_tiles(work);
    }

    #[test]
    fn products_match_a_double_precision_sum() {
        in_both_ways(check_products);
    }

    fn check_products() {
        for (m, n, k) in [
            (1, 1, 1),
            (1, 9, 3),
            (3, 2, 17),
            (7, 5, 600),
            (33, 70, 20),
            (130, 96, 1100),
            (5, 300, 2),
        ] {
            check(m, n, k);
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_number_of_rows() {
        in_both_ways(check_rows);
    }

    fn check_rows() {
        for (n, k) in [
            (2, 384),
            (13, 40),
            (57, 384),
            (204, 750),
            (384, 384),
            (1536, 384),
            (384, 1536),
            (1152, 384),
        ] {
            let (x, w) = (numbers(70 * k, 3), numbers(n * k, 4));
            let mut all = vec![0.0; 70 * n];
            matmul_nt(&mut all, &x, &w, (70, n, k), Start::Zero);
            for m in [1, 2, 3, 4, 7, 16, 33, 64, 69] {
                let mut some = vec![0.0; m * n];
                matmul_nt(&mut some, &x, &w, (m, n, k), Start::Zero);
                assert_eq!(some, all[..m * n], "{m} of 70 rows, {n} x {k}");
            }
            let mut all = vec![0.5; 70 * k];
            let y = numbers(70 * n, 5);
            matmul_nn(&mut all, &y, &w, (70, k, n), Write::Add);
            for m in [1, 2, 5, 40] {
                let mut some = vec![0.5; m * k];
                matmul_nn(&mut some, &y, &w, (m, k, n), Write::Add);
                assert_eq!(some, all[..m * k], "{m} of 70 rows, {n} x {k}, added");
            }
        }
    }

    #[test]
    fn products_do_not_depend_on_the_number_of_threads() {
        for sizes in [
            (150, 190, 700),
            (20, 1030, 512),
            (1000, 70, 64),
            (33, 33, 3000),
        ] {
            check_threads(sizes, false);
            check_threads(sizes, true);
        }
    }

    fn check_threads((m, n, k): (usize, usize, usize), avoid_tiles: bool) {
        let (x, w) = (numbers(m * k, 6), numbers(n * k, 7));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut y = vec![0.0; m * n];
            let mut product = || matmul_nt(&mut y, &x, &w, (m, n, k), Start::Zero);
            pool.install(|| {
                if avoid_tiles {
                    without_tiles(&mut product);
                } else {
                    product();
                }
            });
            y
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}
