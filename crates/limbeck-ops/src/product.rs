use crate::kernels::gemm::{Write, matmul_nt};

/// All dot products of two sets of rows: `products[m,n] = queries[m,k] · rows[n,k]ᵀ`, the shape given as `(m, n, k)`.
///
/// A product depends on its two rows alone, not on the others nor on the number of threads. Panics where a slice is shorter than
/// its shape, or `products` is of another length.
pub fn row_products(
    products: &mut [f32],
    queries: &[f32],
    rows: &[f32],
    shape: (usize, usize, usize),
) {
    matmul_nt(products, queries, rows, shape, Write::Replace);
}
