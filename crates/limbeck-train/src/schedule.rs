//! Learning rates over a run.

use serde::{Deserialize, Serialize};

/// How the learning rate changes after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays at its peak.
    Constant,
    /// Falls linearly to zero.
    #[default]
    Linear,
    /// Falls to zero along half a cosine.
    Cosine,
    /// At its peak from the first step on, without warm-up.
    Flat,
}

impl Schedule {
    /// The share of the peak rate at 0-based `step` of `total`, with `warmup` steps of linear rise
    /// from zero: transformers' `get_{constant,linear,cosine}_schedule_with_warmup`.
    pub fn factor(self, step: u64, warmup: u64, total: u64) -> f64 {
        if step < warmup && self != Self::Flat {
            return step as f64 / warmup as f64;
        }
        let done = step.saturating_sub(warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Constant | Self::Flat => 1.0,
            Self::Linear => (1.0 - done).max(0.0),
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_rise_and_fall() {
        let at = |schedule: Schedule, step| schedule.factor(step, 5, 50);
        assert_eq!(at(Schedule::Linear, 0), 0.0);
        assert_eq!(at(Schedule::Linear, 3), 0.6);
        assert_eq!(at(Schedule::Linear, 5), 1.0);
        assert!((at(Schedule::Linear, 6) - 44.0 / 45.0).abs() < 1e-12);
        assert_eq!(at(Schedule::Linear, 50), 0.0);
        assert_eq!(at(Schedule::Constant, 49), 1.0);
        assert!((at(Schedule::Cosine, 5) - 1.0).abs() < 1e-12 && at(Schedule::Cosine, 50) < 1e-12);
        assert_eq!(Schedule::Linear.factor(0, 0, 10), 1.0);
        assert_eq!([0, 3, 49].map(|step| at(Schedule::Flat, step)), [1.0; 3]);
    }
}
