//! Exponential, error function and GELU, written so that the compiler vectorises them.

use super::{for_row_groups, simd};

/// `eˣ` to about 2 units in the last place; results are never subnormal, so sums stay fast.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest integer, whose bits are then at hand.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    p = p.mul_add(r * r, r) + 1.0;
    let power = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    p * f32::from_bits(power)
}

/// The error function, a rational approximation good to a few units in the last place.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-3.832_507, 3.832_507);
    let x2 = x * x;
    let mut p = 0.000_229_050_65_f32;
    p = p.mul_add(x2, 0.003_408_291);
    p = p.mul_add(x2, 0.050_955_695);
    p = p.mul_add(x2, 0.185_208_32);
    p = p.mul_add(x2, std::f32::consts::FRAC_2_SQRT_PI);
    let mut q = -1.179_161_6e-7_f32;
    q = q.mul_add(x2, 0.000_023_547_966);
    q = q.mul_add(x2, 0.001_017_962_6);
    q = q.mul_add(x2, 0.014_070_47);
    q = q.mul_add(x2, 0.110_985_05);
    q = q.mul_add(x2, 0.497_469_25);
    q = q.mul_add(x2, 1.0);
    x * p / q
}

/// `x · Φ(x)` (Hendrycks & Gimpel 2016), the exact form with the error function.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `Φ(x) + x · φ(x)`.
#[inline(always)]
pub(crate) fn gelu_derivative(x: f32) -> f32 {
    const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
    let cumulative = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    (x * INVERSE_SQRT_TAU).mul_add(exp(-0.5 * x * x), cumulative)
}

/// The function between the two linear layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` with the error function, as in BERT.
    Gelu,
    /// GELU's tanh approximation (`gelu_new`).
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

const TANH_CUBE: f32 = 0.044_715;
const SQRT_2_OVER_PI: f32 = 0.797_884_6;

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (TANH_CUBE * x * x).mul_add(x, x)))
}

#[inline(always)]
fn gelu_tanh_derivative(x: f32) -> f32 {
    let t = tanh(SQRT_2_OVER_PI * (TANH_CUBE * x * x).mul_add(x, x));
    0.5 * (1.0 + t)
        + 0.5 * x * (1.0 - t * t) * SQRT_2_OVER_PI * (3.0 * TANH_CUBE * x).mul_add(x, 1.0)
}

impl Activation {
    /// `y = f(x)`, element by element.
    pub(crate) fn forward(self, y: &mut [f32], x: &[f32], row_len: usize) {
        match self {
            Self::Gelu => map(
                y,
                x,
                row_len,
                #[inline(always)]
                |_, x| gelu(x),
            ),
            Self::GeluTanh => map(
                y,
                x,
                row_len,
                #[inline(always)]
                |_, x| gelu_tanh(x),
            ),
            Self::Relu => map(
                y,
                x,
                row_len,
                #[inline(always)]
                |_, x| x.max(0.0),
            ),
        }
    }

    /// `gradient *= f'(x)`, element by element.
    pub(crate) fn backward(self, gradient: &mut [f32], x: &[f32], row_len: usize) {
        match self {
            Self::Gelu => map(
                gradient,
                x,
                row_len,
                #[inline(always)]
                |g, x| g * gelu_derivative(x),
            ),
            Self::GeluTanh => map(
                gradient,
                x,
                row_len,
                #[inline(always)]
                |g, x| g * gelu_tanh_derivative(x),
            ),
            Self::Relu => map(
                gradient,
                x,
                row_len,
                #[inline(always)]
                |g, x| if x > 0.0 { g } else { 0.0 },
            ),
        }
    }
}

/// `y = f(y, x)`, element by element.
#[inline(always)]
fn map(y: &mut [f32], x: &[f32], row_len: usize, f: impl Fn(f32, f32) -> f32 + Sync) {
    for_row_groups(y, row_len, |first, y| {
        let x = &x[first * row_len..][..y.len()];
        simd(
            #[inline(always)]
            || {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = f(*y, x);
                }
            },
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_double_precision_value() {
        for i in -8600..8700 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}): relative error {error:e}");
        }
        assert!(exp(f32::NEG_INFINITY) > 0.0 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn erf_is_close_to_the_double_precision_value() {
        for i in -600..600 {
            let x = i as f32 / 100.0;
            let expected = libm::erf(f64::from(x));
            let error = (f64::from(erf(x)) - expected).abs();
            assert!(error < 4e-7, "erf({x}): error {error:e}");
        }
    }

    #[test]
    fn gelu_derivative_is_the_slope_of_gelu() {
        for i in -500..500 {
            let x = f64::from(i) / 100.0;
            let exact = |x: f64| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()));
            let slope = (exact(x + 1e-6) - exact(x - 1e-6)) / 2e-6;
            assert!(
                (f64::from(gelu_derivative(x as f32)) - slope).abs() < 1e-6,
                "at {x}"
            );
        }
    }
}
