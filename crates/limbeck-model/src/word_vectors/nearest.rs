//! Exact nearest rows of a matrix: a blocked product in single precision proposes, double precision decides.

use std::cmp::Ordering;

use limbeck_ops::{row_products, serially};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Queries of one product: enough to use each row that is read many times.
const QUERY_BLOCK: usize = 128;
/// Rows of one product: their scores stay in a core's cache.
const ROW_BLOCK: usize = 512;
/// Rows that one thread scans for a single query.
const SCAN_BLOCK: usize = 8192;
/// Scores looked at together while most are too low.
const SCAN: usize = 32;
/// Independent sums of a dot product, so that it runs in wide registers.
const LANES: usize = 16;
/// Half the distance from 1 to the next number in single precision.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// What "near" means between word vectors. On vectors of length 1 both give the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ranking {
    /// A larger cosine is nearer; a vector of zeros has cosine 0 with all.
    #[default]
    Cosine,
    /// A smaller Euclidean distance is nearer.
    Euclidean,
}

/// A matrix prepared for searches: `score(query, row) = query · row · scale + shift` in single precision grows with nearness.
#[derive(Debug)]
pub(super) struct RowIndex {
    ranking: Ranking,
    scales: Vec<f32>,
    shifts: Vec<f32>,
    /// Euclidean lengths of the rows.
    lengths: Vec<f64>,
    longest: f64,
}

impl RowIndex {
    pub(super) fn new(values: &[f32], dimensions: usize, ranking: Ranking) -> Self {
        let lengths: Vec<f64> = values
            .par_chunks_exact(dimensions)
            .map(|row| dot_f64(row, row).sqrt())
            .collect();
        let (scale, shift): (fn(f64) -> f64, fn(f64) -> f64) = match ranking {
            Ranking::Cosine => (inverse, |_| 0.0),
            // |q - r|² = |q|² - 2 (q · r - |r|² / 2)
            Ranking::Euclidean => (|_| 1.0, |length| -0.5 * length * length),
        };
        Self {
            ranking,
            scales: lengths.iter().map(|&l| scale(l) as f32).collect(),
            shifts: lengths.iter().map(|&l| shift(l) as f32).collect(),
            longest: lengths.iter().copied().fold(0.0, f64::max),
            lengths,
        }
    }

    /// Twice what a score in single precision can differ from the true one (Higham 2002, §3.1).
    fn margin(&self, query: usize, dimensions: usize) -> f64 {
        let steps = (dimensions + 4) as f64 * ROUNDING;
        let relative = steps / (1.0 - steps);
        let length = self.lengths[query];
        let error = match self.ranking {
            Ranking::Cosine => relative * length,
            Ranking::Euclidean => {
                relative * length * self.longest + 2.0 * ROUNDING * self.longest * self.longest
            }
        };
        2.0 * error + f64::from(f32::MIN_POSITIVE) * dimensions as f64
    }

    /// Nearness in double precision.
    fn exact(&self, matrix: Matrix<'_>, query: usize, row: usize) -> f64 {
        let (q, r) = (matrix.row(query), matrix.row(row));
        match self.ranking {
            Ranking::Cosine => dot_f64(q, r) * inverse(self.lengths[row]),
            Ranking::Euclidean => -squared_distance(q, r),
        }
    }
}

fn inverse(length: f64) -> f64 {
    if length > 0.0 { length.recip() } else { 0.0 }
}

/// Rows of equal length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) dimensions: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.dimensions..][..self.dimensions]
    }

    #[cfg(test)]
    fn rows(self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Calls `work(query's place, first row, products)` on every block of products with some rows as queries, on this thread.
    pub(super) fn products(self, queries: &[u32], mut work: impl FnMut(usize, usize, &mut [f32])) {
        let dimensions = self.dimensions;
        let gathered: Vec<f32> = queries
            .iter()
            .flat_map(|&query| self.row(query as usize))
            .copied()
            .collect();
        let mut products = vec![0.0; queries.len() * ROW_BLOCK];
        serially(|| {
            for (block, rows) in self.values.chunks(ROW_BLOCK * dimensions).enumerate() {
                let count = rows.len() / dimensions;
                let products = &mut products[..queries.len() * count];
                let shape = (queries.len(), count, dimensions);
                row_products(products, &gathered, rows, shape);
                for (place, products) in products.chunks_exact_mut(count).enumerate() {
                    work(place, block * ROW_BLOCK, products);
                }
            }
        });
    }
}

/// The `count` rows nearest to a row, nearest first, itself left out; of equally near ones the first comes first.
pub(super) fn nearest(
    matrix: Matrix<'_>,
    index: &RowIndex,
    query: usize,
    count: usize,
) -> Vec<u32> {
    let margin = index.margin(query, matrix.dimensions);
    let candidates = matrix
        .values
        .par_chunks(SCAN_BLOCK * matrix.dimensions)
        .enumerate()
        .map(|(block, rows)| {
            let mut best = Best::new(query, count, margin);
            let mut scores: Vec<f32> = rows
                .chunks_exact(matrix.dimensions)
                .map(|row| dot(matrix.row(query), row))
                .collect();
            best.add(index, block * SCAN_BLOCK, &mut scores);
            best.candidates
        })
        .reduce(Vec::new, |mut all, some| {
            all.extend(some);
            all
        });
    let mut best = Best::new(query, count, margin);
    best.candidates = candidates;
    best.finish(matrix, index)
}

/// [`nearest`] of several rows, `[queries, min(count, rows - 1)]`; `progress` hears of finished queries, from any thread.
pub(super) fn nearest_of_all(
    matrix: Matrix<'_>,
    index: &RowIndex,
    queries: &[u32],
    count: usize,
    progress: &(dyn Fn(usize) + Sync),
) -> Vec<u32> {
    let of_block = |queries: &[u32]| -> Vec<u32> {
        let mut best: Vec<Best> = queries
            .iter()
            .map(|&query| {
                let margin = index.margin(query as usize, matrix.dimensions);
                Best::new(query as usize, count, margin)
            })
            .collect();
        matrix.products(queries, |place, first, products| {
            best[place].add(index, first, products);
        });
        progress(queries.len());
        best.into_iter()
            .flat_map(|best| best.finish(matrix, index))
            .collect()
    };
    queries
        .par_chunks(QUERY_BLOCK)
        .flat_map_iter(of_block)
        .collect()
}

/// Rows that may be among the nearest of a query.
struct Best {
    query: usize,
    count: usize,
    margin: f64,
    candidates: Vec<(f32, u32)>,
    /// Scores below are certainly not among the nearest.
    threshold: f32,
    limit: usize,
}

impl Best {
    fn new(query: usize, count: usize, margin: f64) -> Self {
        Self {
            query,
            count,
            margin,
            candidates: Vec::new(),
            threshold: f32::NEG_INFINITY,
            limit: 4 * count.max(16),
        }
    }

    /// Takes in the products with the rows from `first` on.
    fn add(&mut self, index: &RowIndex, first: usize, products: &mut [f32]) {
        let count = products.len();
        let (scales, shifts) = (
            &index.scales[first..][..count],
            &index.shifts[first..][..count],
        );
        for ((score, scale), shift) in products.iter_mut().zip(scales).zip(shifts) {
            *score = *score * scale + shift;
        }
        for (block, scores) in products.chunks(SCAN).enumerate() {
            let high: u32 = scores
                .iter()
                .map(|&score| u32::from(score >= self.threshold))
                .sum();
            if high == 0 {
                continue;
            }
            for (place, &score) in scores.iter().enumerate() {
                let row = first + block * SCAN + place;
                if score >= self.threshold && row != self.query {
                    self.candidates.push((score, row as u32));
                }
            }
            if self.candidates.len() >= self.limit {
                self.prune();
                self.limit = self.limit.max(2 * self.candidates.len());
            }
        }
    }

    fn prune(&mut self) {
        let Some(last) = self.count.checked_sub(1) else {
            self.candidates.clear();
            return;
        };
        if self.candidates.len() <= self.count {
            return;
        }
        let (_, &mut (lowest, _), _) = self
            .candidates
            .select_nth_unstable_by(last, |a, b| b.0.total_cmp(&a.0));
        self.threshold = ((f64::from(lowest) - self.margin) as f32).next_down();
        let threshold = self.threshold;
        self.candidates.retain(|&(score, _)| score >= threshold);
    }

    fn finish(mut self, matrix: Matrix<'_>, index: &RowIndex) -> Vec<u32> {
        self.prune();
        let mut exact: Vec<(f64, u32)> = self
            .candidates
            .iter()
            .map(|&(_, row)| (index.exact(matrix, self.query, row as usize), row))
            .collect();
        let nearer = |a: &(f64, u32), b: &(f64, u32)| -> Ordering {
            b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
        };
        exact.sort_unstable_by(nearer);
        exact.truncate(self.count);
        exact.into_iter().map(|(_, row)| row).collect()
    }
}

/// `Σ aᵢ bᵢ` in single precision, in an order that the length alone decides.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// `Σ aᵢ bᵢ` in double precision, where each product is exact.
pub(super) fn dot_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum()
}

/// `Σ (aᵢ - bᵢ)²` in double precision.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// By definition: all rows, sorted.
    fn sorted(matrix: Matrix<'_>, ranking: Ranking, query: usize) -> Vec<u32> {
        let q = matrix.row(query);
        let farness = |row: u32| {
            let r = matrix.row(row as usize);
            match ranking {
                Ranking::Cosine => -dot_f64(q, r) * inverse(dot_f64(r, r).sqrt()),
                Ranking::Euclidean => squared_distance(q, r),
            }
        };
        let mut rows: Vec<u32> = (0..matrix.rows() as u32)
            .filter(|&r| r as usize != query)
            .collect();
        rows.sort_by(|&a, &b| farness(a).total_cmp(&farness(b)));
        rows
    }

    fn check(values: &[f32], dimensions: usize, count: usize) {
        let matrix = Matrix { values, dimensions };
        let queries: Vec<u32> = (0..matrix.rows() as u32).collect();
        for ranking in [Ranking::Cosine, Ranking::Euclidean] {
            let index = RowIndex::new(values, dimensions, ranking);
            let table = nearest_of_all(matrix, &index, &queries, count, &|_| {});
            let width = count.min(matrix.rows() - 1);
            assert_eq!(table.len(), matrix.rows() * width);
            for &query in &queries {
                let query = query as usize;
                let expected = &sorted(matrix, ranking, query)[..width];
                assert_eq!(
                    &table[query * width..][..width],
                    expected,
                    "{ranking:?} {query}"
                );
                assert_eq!(
                    nearest(matrix, &index, query, count),
                    expected,
                    "{ranking:?} {query}"
                );
            }
        }
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count as u64)
            .map(|i| (limbeck_ops::mix64(i) >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect()
    }

    #[test]
    fn a_search_over_many_blocks_is_a_full_sort() {
        check(&numbers(1500 * 7), 7, 60);
        check(&numbers(700 * 50), 50, 699);
        check(&numbers(9 * 4), 4, 20);
    }

    #[test]
    fn equally_near_rows_keep_their_order() {
        let distinct = numbers(40 * 6);
        let repeated: Vec<f32> = distinct.iter().copied().cycle().take(1200 * 6).collect();
        check(&repeated, 6, 50);
        check(&[0.0; 600], 3, 10);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let values = numbers(3000 * 20);
        let matrix = Matrix {
            values: &values,
            dimensions: 20,
        };
        let queries: Vec<u32> = (0..3000).collect();
        let index = RowIndex::new(&values, 20, Ranking::Cosine);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| nearest_of_all(matrix, &index, &queries, 30, &|_| {}))
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }

    proptest! {
        #[test]
        fn any_matrix_is_searched_exactly(rows in vec(vec(-3i8..4, 3), 2..40), scale in 1e-9f32..1e9, count in 0usize..50) {
            let values: Vec<f32> = rows.concat().into_iter().map(|v| f32::from(v) * scale).collect();
            check(&values, 3, count);
        }
    }
}
