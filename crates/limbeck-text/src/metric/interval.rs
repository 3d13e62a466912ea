use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Label, Metric, TextError};

/// A range that holds the true value with the stated confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How a bootstrap interval is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct BootstrapConfig {
    /// How many resamples; the ends get steadier with more.
    pub resample_count: usize,
    /// Share of resamples inside the interval, above 0 and below 1.
    pub confidence: f64,
    /// Decides the resamples.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            resample_count: 1000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

/// Wilson's score interval for a share (Wilson 1927), with `z` standard deviations (1.96 for 95 %).
///
/// `(p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)` with `p = hits / n`. Unlike `p ± z·σ` it stays inside `[0, 1]` and keeps a width
/// at 0 and 1. The whole of `[0, 1]` for `n = 0`.
pub fn wilson_interval(hits: u64, count: u64, z: f64) -> Interval {
    if count == 0 {
        return Interval {
            low: 0.0,
            high: 1.0,
        };
    }
    let n = count as f64;
    let p = hits as f64 / n;
    let square = z * z;
    let centre = p + square / (2.0 * n);
    let half_width = z * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    let scale = 1.0 + square / n;
    Interval {
        low: ((centre - half_width) / scale).clamp(0.0, p),
        high: ((centre + half_width) / scale).clamp(p, 1.0),
    }
}

/// Percentile bootstrap (Efron 1979): the metric of resamples with replacement, cut off at both ends.
///
/// Quantiles are interpolated linearly. The same labels, settings and seed give the same interval.
///
/// # Errors
/// Those of [`Metric::score`]; [`TextError::Setting`] for settings out of range.
pub fn bootstrap_interval(
    metric: Metric,
    predicted: &[Label],
    gold: &[Label],
    config: &BootstrapConfig,
) -> Result<Interval, TextError> {
    if config.resample_count == 0 || !(config.confidence > 0.0 && config.confidence < 1.0) {
        let (count, confidence) = (config.resample_count, config.confidence);
        return Err(TextError::Setting {
            setting: "bootstrap",
            problem: format!(
                "{count} resamples at confidence {confidence}; give at least 1, above 0 and below 1"
            ),
        });
    }
    metric.score(predicted, gold)?; // so that the indices below are valid
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut scores = Vec::with_capacity(config.resample_count);
    let (mut sampled, mut sampled_gold) = (predicted.to_vec(), gold.to_vec());
    for _ in 0..config.resample_count {
        for slot in 0..gold.len() {
            let pick = rng.random_range(0..gold.len());
            (sampled[slot], sampled_gold[slot]) = (predicted[pick], gold[pick]);
        }
        scores.push(metric.score(&sampled, &sampled_gold)?);
    }
    scores.sort_by(f64::total_cmp);
    let tail = (1.0 - config.confidence) / 2.0;
    Ok(Interval {
        low: quantile(&scores, tail),
        high: quantile(&scores, 1.0 - tail),
    })
}

/// Of sorted, non-empty `values`; linear between neighbours.
fn quantile(values: &[f64], share: f64) -> f64 {
    let position = share * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (values[above] - values[below]) * (position - below as f64)
}
