//! Matrix products whose rows do not depend on how many rows there are.
//!
//! `gemm` adds along the inner dimension in blocks whose size depends on the shape, and switches to
//! other kernels for single rows and tiny outputs. Cutting the inner dimension at [`DEPTH`]
//! ourselves and computing the small cases in the same order makes every output element the same
//! chain of fused multiply-adds, whatever else is in the batch.

use std::cell::Cell;

use gemm::Parallelism;

use super::simd;

/// Inner block length; `gemm` never cuts a block of this length further.
const DEPTH: usize = 512;

thread_local! {
    /// Threads for products started here, while [`both`] shares them out.
    static THREADS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Threads that work started here may use.
pub(crate) fn threads() -> usize {
    THREADS.get().unwrap_or_else(rayon::current_num_threads)
}

/// Runs `work` on this thread alone: for callers that keep all threads busy with pieces of their own.
///
/// Numbers do not depend on it.
pub fn serially<R>(work: impl FnOnce() -> R) -> R {
    let before = THREADS.replace(Some(1));
    let result = work();
    THREADS.set(before);
    result
}

/// Runs two independent pieces of work side by side, each with half of the threads.
///
/// Two products on one core each need no barriers inside; numbers do not depend on it.
pub(crate) fn both(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    let threads = threads();
    if threads == 1 {
        first();
        second();
        return;
    }
    let limited = |threads: usize, work: &mut dyn FnMut()| {
        let before = THREADS.replace(Some(threads));
        work();
        THREADS.set(before);
    };
    let (mut first, mut second) = (Some(first), Some(second));
    rayon::join(
        || {
            limited(threads / 2, &mut || {
                first.take().into_iter().for_each(|work| work());
            });
        },
        || {
            limited(threads - threads / 2, &mut || {
                second.take().into_iter().for_each(|work| work());
            });
        },
    );
}

/// A read-only matrix view: `data[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

/// What happens to the output's old contents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Replace,
    Add,
}

/// `y[m,n] = x[m,k] · w[n,k]ᵀ`: a linear layer forward.
pub(crate) fn matmul_nt(
    y: &mut [f32],
    x: &[f32],
    w: &[f32],
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    let lhs = View {
        data: x,
        row_stride: k,
        column_stride: 1,
    };
    let rhs = View {
        data: w,
        row_stride: 1,
        column_stride: k,
    };
    product(y, lhs, rhs, (m, n, k), write);
}

/// `y[m,n] = a[m,k] · b[k,n]`: a linear layer's input gradient.
pub(crate) fn matmul_nn(
    y: &mut [f32],
    a: &[f32],
    b: &[f32],
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    let lhs = View {
        data: a,
        row_stride: k,
        column_stride: 1,
    };
    let rhs = View {
        data: b,
        row_stride: n,
        column_stride: 1,
    };
    product(y, lhs, rhs, (m, n, k), write);
}

/// `y[m,n] = a[k,m]ᵀ · b[k,n]`: a linear layer's weight gradient.
pub(crate) fn matmul_tn(
    y: &mut [f32],
    a: &[f32],
    b: &[f32],
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    let lhs = View {
        data: a,
        row_stride: 1,
        column_stride: m,
    };
    let rhs = View {
        data: b,
        row_stride: n,
        column_stride: 1,
    };
    product(y, lhs, rhs, (m, n, k), write);
}

fn product(
    y: &mut [f32],
    lhs: View<'_>,
    rhs: View<'_>,
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    assert_eq!(y.len(), m * n, "output of {m} x {n}");
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        lhs.data.len() >= m * k && rhs.data.len() >= k * n,
        "operands of {m} x {n} x {k}"
    );
    if write == Write::Replace && k == 0 {
        y.fill(0.0);
    }
    let mut write = write;
    for start in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - start);
        let lhs = View {
            data: &lhs.data[start * lhs.column_stride..],
            ..lhs
        };
        let rhs = View {
            data: &rhs.data[start * rhs.row_stride..],
            ..rhs
        };
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
    reason = "gemm takes raw pointers; `product` has checked every extent"
)]
fn block(
    y: &mut [f32],
    lhs: View<'_>,
    rhs: View<'_>,
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    let threads = threads();
    let parallelism = if threads == 1 {
        Parallelism::None
    } else {
        Parallelism::Rayon(threads)
    };
    // SAFETY: the largest offsets read and written are within the slices, asserted by `product`.
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
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
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
    lhs: View<'_>,
    rhs: View<'_>,
    (m, n, k): (usize, usize, usize),
    write: Write,
) {
    simd(
        #[inline(always)]
        || {
            for (row, y) in y.chunks_exact_mut(n).take(m).enumerate() {
                let a = |depth: usize| lhs.data[row * lhs.row_stride + depth * lhs.column_stride];
                if rhs.column_stride == 1 {
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
    rhs: View<'_>,
    k: usize,
    write: Write,
) {
    for (index, out) in y.chunks_mut(WIDTH).enumerate() {
        let first = index * WIDTH * rhs.column_stride;
        let mut sums = [0f32; WIDTH];
        for depth in 0..k {
            let a = a(depth);
            let b = &rhs.data[depth * rhs.row_stride + first..];
            if rhs.column_stride == 1 && out.len() == WIDTH {
                for (sum, &b) in sums.iter_mut().zip(&b[..WIDTH]) {
                    *sum = a.mul_add(b, *sum);
                }
            } else {
                for (column, sum) in sums[..out.len()].iter_mut().enumerate() {
                    *sum = a.mul_add(b[column * rhs.column_stride], *sum);
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
        matmul_nt(&mut y, &x, &w, (m, n, k), Write::Replace);
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

    #[test]
    fn products_match_a_double_precision_sum() {
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
            matmul_nt(&mut all, &x, &w, (70, n, k), Write::Replace);
            for m in [1, 2, 3, 4, 7, 16, 33, 64, 69] {
                let mut some = vec![0.0; m * n];
                matmul_nt(&mut some, &x, &w, (m, n, k), Write::Replace);
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
        let (m, n, k) = (150, 190, 700);
        let (x, w) = (numbers(m * k, 6), numbers(n * k, 7));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut y = vec![0.0; m * n];
            pool.install(|| matmul_nt(&mut y, &x, &w, (m, n, k), Write::Replace));
            y
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}
