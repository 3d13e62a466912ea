/// Pearson's correlation: `Σ (x−x̄)(y−ȳ) / √(Σ (x−x̄)² · Σ (y−ȳ)²)`, in `[-1, 1]`.
///
/// `None` where it is undefined: fewer than two points, a constant side, or a value that is not finite.
/// Panics if the two differ in length.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one prediction per gold score");
    let is_constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
    // By value, not by variance: the mean of equal numbers can round away from them.
    if x.is_empty() || is_constant(x) || is_constant(y) {
        return None;
    }
    let (x, y) = (centred_unit(x)?, centred_unit(y)?);
    let correlation: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    Some(correlation.clamp(-1.0, 1.0))
}

/// Spearman's correlation: [`pearson`] of the ranks, where equal values share the mean of their ranks.
///
/// `None` where it is undefined, as there.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let is_finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    if !is_finite(x) || !is_finite(y) {
        return None;
    }
    pearson(&ranks(x), &ranks(y))
}

/// `values` less their mean, divided by their length; `None` if that is not a finite direction.
fn centred_unit(values: &[f64]) -> Option<Vec<f64>> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let mut centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    // Scaled first, so that squares of very large or small numbers neither overflow nor vanish.
    let largest = centred
        .iter()
        .fold(0.0, |max: f64, value| max.max(value.abs()));
    if !(largest.is_finite() && largest > 0.0) || centred.iter().any(|value| value.is_nan()) {
        return None;
    }
    for value in &mut centred {
        *value /= largest;
    }
    let norm = centred
        .iter()
        .map(|value| value * value)
        .sum::<f64>()
        .sqrt();
    for value in &mut centred {
        *value /= norm;
    }
    Some(centred)
}

/// 1-based ranks; ties get the mean of the ranks they cover.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    // `==` rather than `total_cmp`, so that 0.0 and -0.0 tie.
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = start as f64 + f64::midpoint(1.0, tied.len() as f64);
        for &index in tied {
            ranks[index] = mean;
        }
        start += tied.len();
    }
    ranks
}
