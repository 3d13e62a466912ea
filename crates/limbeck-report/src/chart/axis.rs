/// An axis: the range of values shown, where its ticks are and how they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    /// Values that get a line and a number.
    pub(super) ticks: Vec<f64>,
    step: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

impl Axis {
    /// Shows `low..high` with about `count` ticks at 1, 2 or 5 times a power of ten, the range widened to whole ticks.
    pub(super) fn rounded(low: f64, high: f64, count: usize) -> Self {
        let (low, high) = widen(low, high);
        let step = nice_step((high - low) / count as f64);
        Self::linear(
            (low / step).floor() * step,
            (high / step).ceil() * step,
            step,
        )
    }

    /// Shows `low..high` as it is, with ticks inside.
    pub(super) fn exact(low: f64, high: f64, count: usize) -> Self {
        let (low, high) = widen(low, high);
        Self::linear(low, high, nice_step((high - low) / count as f64))
    }

    /// Logarithmic where positive values span more than a factor of 50: linear would show only the largest.
    pub(super) fn for_losses(low: f64, high: f64, count: usize) -> Self {
        if low <= 0.0 || high / low <= 50.0 {
            return Self::rounded(low, high, count);
        }
        let low = low.max(high * 1e-12);
        let ticks: Vec<f64> = (low.log10().floor() as i32..=high.log10().ceil() as i32)
            .map(|power| 10_f64.powi(power))
            .collect();
        Self {
            low: low.min(ticks[0]),
            high: high.max(ticks[ticks.len() - 1]),
            scale: Scale::Logarithmic,
            ticks,
            step: 0.0,
        }
    }

    fn linear(low: f64, high: f64, step: f64) -> Self {
        // Half a step of slack, because `low` and `high` carry rounding errors.
        let first = (low / step - 1e-6).ceil() as i64;
        let last = (high / step + 1e-6).floor() as i64;
        let ticks = (first..=last).map(|index| index as f64 * step).collect();
        Self {
            low,
            high,
            scale: Scale::Linear,
            ticks,
            step,
        }
    }

    /// Where `value` lies, `0` at the low end and `1` at the high end; what lies outside is put at the nearer end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let position = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value / self.low).log10() / (self.high / self.low).log10(),
        };
        position.clamp(0.0, 1.0)
    }

    /// A tick's number: `0.25`, `1500`, `20k`, `3M`.
    pub(super) fn label(&self, tick: f64) -> String {
        if self.scale == Scale::Logarithmic {
            return if (1e-4..1e6).contains(&tick) {
                tick.to_string()
            } else {
                format!("{tick:e}")
            };
        }
        let largest = self.low.abs().max(self.high.abs());
        let (divisor, unit) = match largest {
            size if size >= 1e7 => (1e6, "M"),
            size if size >= 1e4 => (1e3, "k"),
            _ => (1.0, ""),
        };
        let digits = (-(self.step / divisor).log10().floor()).clamp(0.0, 9.0) as usize;
        let text = format!("{:.digits$}", tick / divisor);
        // Rounding leaves a zero with a sign.
        let text = if text.trim_start_matches(['-', '0', '.']).is_empty() {
            "0"
        } else {
            &text
        };
        if text == "0" {
            text.to_owned()
        } else {
            format!("{text}{unit}")
        }
    }
}

fn widen(low: f64, high: f64) -> (f64, f64) {
    if high - low > 1e-9 * low.abs().max(high.abs()).max(1e-9) {
        return (low, high);
    }
    let margin = if low == 0.0 {
        1.0
    } else {
        (0.1 * low.abs()).max(1e-6)
    };
    (low - margin, high + margin)
}

fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = match rough / power {
        ratio if ratio <= 1.0 => 1.0,
        ratio if ratio <= 2.0 => 2.0,
        ratio if ratio <= 5.0 => 5.0,
        _ => 10.0,
    };
    factor * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis) -> String {
        axis.ticks
            .iter()
            .map(|&tick| axis.label(tick))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn ticks_are_round() {
        insta::assert_snapshot!(labels(&Axis::rounded(0.03, 0.71, 5)), @"0 0.2 0.4 0.6 0.8");
        insta::assert_snapshot!(labels(&Axis::rounded(-1.0, 1.0, 5)), @"-1.0 -0.5 0 0.5 1.0");
        insta::assert_snapshot!(labels(&Axis::rounded(0.9, 0.9, 5)), @"0.80 0.85 0.90 0.95 1.00");
        insta::assert_snapshot!(labels(&Axis::exact(1.0, 21_040.0, 6)), @"5k 10k 15k 20k");
        insta::assert_snapshot!(labels(&Axis::for_losses(0.002, 3.0, 5)), @"0.001 0.01 0.1 1 10");
    }

    proptest! {
        #[test]
        fn every_value_lies_inside_and_ticks_are_few(a in -1e12..1e12_f64, b in -1e12..1e12_f64, shrink in 0..24) {
            let (a, b) = (a / 10_f64.powi(shrink), b / 10_f64.powi(shrink));
            let (low, high) = (a.min(b), a.max(b));
            for axis in [Axis::rounded(low, high, 5), Axis::exact(low, high, 5), Axis::for_losses(low, high, 5)] {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.position(low)), "{axis:?}");
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.position(high)), "{axis:?}");
                prop_assert!(axis.ticks.len() <= 40, "{axis:?}");
            }
        }
    }
}
