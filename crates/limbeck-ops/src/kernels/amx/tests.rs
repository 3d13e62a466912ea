use super::Amx;
use crate::kernels::gemm::{Start, Write, matmul_nn, matmul_nt, matmul_tn, without_tiles};

/// Products in the three arrangements.
#[derive(Debug, Clone, Copy)]
enum Arrangement {
    Nt,
    Nn,
    Tn,
}

const ARRANGEMENTS: [Arrangement; 3] = [Arrangement::Nt, Arrangement::Nn, Arrangement::Tn];

type Sizes = (usize, usize, usize);

impl Arrangement {
    fn multiply(self, y: &mut [f32], a: &[f32], b: &[f32], sizes: Sizes, write: Write) {
        match self {
            Self::Nt => matmul_nt(y, a, b, sizes, write.into()),
            Self::Nn => matmul_nn(y, a, b, sizes, write),
            Self::Tn => matmul_tn(y, a, b, sizes, write),
        }
    }

    /// Sum and sum of magnitudes of an output element, in double precision.
    fn exact(self, a: &[f32], b: &[f32], (m, n, k): Sizes, row: usize, column: usize) -> [f64; 2] {
        let mut sums = [0.0; 2];
        for depth in 0..k {
            let a = match self {
                Self::Nt | Self::Nn => a[row * k + depth],
                Self::Tn => a[depth * m + row],
            };
            let b = match self {
                Self::Nt => b[column * k + depth],
                Self::Nn | Self::Tn => b[depth * n + column],
            };
            let product = f64::from(a) * f64::from(b);
            sums[0] += product;
            sums[1] += product.abs();
        }
        sums
    }
}

struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn many(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Magnitudes from 1e-18 to 1e18, with some zeros.
    fn wide(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| {
                let power = (self.next() * 18.0).round();
                let value = self.next();
                if value.abs() < 0.05 {
                    0.0
                } else {
                    value * 10f32.powf(power)
                }
            })
            .collect()
    }
}

/// Largest and mean squared error, relative to the sum of magnitudes.
#[derive(Default)]
struct Errors {
    largest: f64,
    squares: f64,
    count: usize,
}

impl Errors {
    fn add(&mut self, found: f32, [sum, magnitude]: [f64; 2]) {
        assert!(found.is_finite(), "{found} for {sum}");
        let error = (f64::from(found) - sum).abs() / magnitude.max(f64::MIN_POSITIVE);
        self.largest = self.largest.max(error);
        self.squares += error * error;
        self.count += 1;
    }

    fn root_mean_square(&self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}

/// Adds the errors of a product with tiles and of the same without.
fn compare(
    [tiles, vectors]: [&mut Errors; 2],
    arrangement: Arrangement,
    (a, b, old): (&[f32], &[f32], &[f32]),
    sizes @ (m, n, _): Sizes,
    write: Write,
) {
    let mut with = old.to_vec();
    arrangement.multiply(&mut with, a, b, sizes, write);
    let mut without = old.to_vec();
    without_tiles(|| arrangement.multiply(&mut without, a, b, sizes, write));
    for row in (0..m).step_by(m.div_ceil(70)) {
        for column in (0..n).step_by(n.div_ceil(70)) {
            let place = row * n + column;
            let mut exact = arrangement.exact(a, b, sizes, row, column);
            if write == Write::Add {
                exact[0] += f64::from(old[place]);
                exact[1] += f64::from(old[place]).abs();
            }
            tiles.add(with[place], exact);
            vectors.add(without[place], exact);
        }
    }
}

fn has_tiles() -> bool {
    let found = Amx::detect().is_some();
    if !found {
        eprintln!("skipped: no AMX here");
    }
    found
}

/// Errors with tiles at most `factor` times those without, largest and root mean square.
fn check(title: &str, shapes: &[Sizes], numbers: fn(&mut Numbers, usize) -> Vec<f32>, factor: f64) {
    for arrangement in ARRANGEMENTS {
        for write in [Write::Replace, Write::Add] {
            let mut random = Numbers(17);
            let (mut tiles, mut vectors) = (Errors::default(), Errors::default());
            for &sizes @ (m, n, k) in shapes {
                let (a, b) = (numbers(&mut random, m * k), numbers(&mut random, n * k));
                let old = random.many(m * n);
                compare(
                    [&mut tiles, &mut vectors],
                    arrangement,
                    (&a, &b, &old),
                    sizes,
                    write,
                );
            }
            let summary = format!(
                "{title}, {arrangement:?}, {write:?}: largest {:.2e} with tiles, {:.2e} without; \
                 root mean square {:.2e}, {:.2e}",
                tiles.largest,
                vectors.largest,
                tiles.root_mean_square(),
                vectors.root_mean_square()
            );
            eprintln!("{summary}");
            assert!(tiles.largest <= factor * vectors.largest, "{summary}");
            assert!(
                tiles.root_mean_square() <= factor * vectors.root_mean_square(),
                "{summary}"
            );
        }
    }
}

/// Every size from 1 to 70 in every dimension, those that tiles take.
fn odd_shapes() -> Vec<Sizes> {
    (1..=70)
        .map(|m| (m, 16 + m * 29 % 55, 32 + m * 13 % 39))
        .chain((16..=70).map(|n| (1 + n * 31 % 70, n, 32 + n * 17 % 39)))
        .chain((32..=70).map(|k| (1 + k * 37 % 70, 16 + k * 23 % 55, k)))
        .collect()
}

const TYPICAL: [Sizes; 8] = [
    (200, 1152, 384),
    (300, 384, 384),
    (257, 1536, 384),
    (290, 384, 1536),
    (100, 3072, 768),
    (64, 768, 3072),
    (32, 1200, 300),
    (384, 384, 811),
];

/// Found: largest errors of 1.6e-7 with tiles and 2.7e-7 without, root mean square 1.2e-8 and 2.4e-8.
#[test]
fn tiles_are_as_exact_as_single_precision() {
    if has_tiles() {
        check("odd shapes", &odd_shapes(), Numbers::many, 1.0);
        check("typical shapes", &TYPICAL, Numbers::many, 1.0);
    }
}

/// Where a few terms make the sum, a chain rounds at its full size a few times only, tiles up to six
/// times for each depth of 32: the largest error was 4.9e-7, up to 1.55 times that of the chain, the root mean square 7.0e-8
/// and 5.8e-8. Twice the chain's is what is allowed.
#[test]
fn tiles_are_nearly_as_exact_over_a_wide_range() {
    if has_tiles() {
        check("odd shapes, wide range", &odd_shapes(), Numbers::wide, 2.0);
        check("typical shapes, wide range", &TYPICAL, Numbers::wide, 2.0);
    }
}

#[test]
fn a_single_product_is_exact_to_single_precision() {
    // With a single non-zero element there is nothing to round but the product itself.
    let (m, n, k) = (3, 20, 40);
    let mut random = Numbers(5);
    for _ in 0..200 {
        let (a, b) = (random.next(), random.next());
        let (mut x, mut w) = (vec![0.0; m * k], vec![0.0; n * k]);
        (x[k + 7], w[2 * k + 7]) = (a, b);
        let mut y = vec![9.0; m * n];
        matmul_nt(&mut y, &x, &w, (m, n, k), Start::Zero);
        let exact = f64::from(a) * f64::from(b);
        let error = (f64::from(y[n + 2]) - exact).abs() / exact.abs();
        assert!(error <= 1.2e-7, "{a} * {b}: {} , {error:e}", y[n + 2]);
        y[n + 2] = 0.0;
        assert!(y.iter().all(|&y| y == 0.0), "only one product is not zero");
    }
}

#[test]
fn infinite_and_undefined_inputs_reach_their_outputs_and_no_others() {
    let (m, n, k) = (37, 45, 70);
    for arrangement in ARRANGEMENTS {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
            for bits in [bad.to_bits(), bad.to_bits() | 1, bad.to_bits() | 0x7f_ffff] {
                let mut random = Numbers(23);
                let (mut a, b) = (random.many(m * k), random.many(k * n));
                let (row, depth) = (18, 33);
                a[match arrangement {
                    Arrangement::Nt | Arrangement::Nn => row * k + depth,
                    Arrangement::Tn => depth * m + row,
                }] = f32::from_bits(bits);
                let mut y = vec![0.0; m * n];
                arrangement.multiply(&mut y, &a, &b, (m, n, k), Write::Replace);
                for (index, y) in y.chunks_exact(n).enumerate() {
                    assert!(
                        y.iter().all(|y| y.is_finite() != (index == row)),
                        "{arrangement:?}, {bits:#x}: row {index} is {y:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_subnormal_numbers_lose_is_below_their_range() {
    let (m, n, k) = (5, 33, 64);
    let mut random = Numbers(31);
    let small: Vec<f32> = random.many(m * k).iter().map(|x| x * 1e-36).collect();
    let w = random.many(n * k);
    let mut y = vec![0.0; m * n];
    matmul_nt(&mut y, &small, &w, (m, n, k), Start::Zero);
    for row in 0..m {
        for column in 0..n {
            let [sum, _] = Arrangement::Nt.exact(&small, &w, (m, n, k), row, column);
            let error = (f64::from(y[row * n + column]) - sum).abs();
            assert!(error < k as f64 * f64::from(f32::MIN_POSITIVE), "{error:e}");
        }
    }
}
