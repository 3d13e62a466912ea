use limbeck_text::{BoxError, Classifier, Text};

/// What is attacked: texts in, a distribution over labels each.
///
/// An answer may not depend on the other texts of a question, else results would depend on how questions were pooled.
pub trait Victim {
    /// One distribution per text, in order.
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError>;
}

/// A distribution over labels, in the precision in which the victim computed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    probabilities: Box<[f64]>,
    precision: Precision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    Single,
    Double,
}

impl Distribution {
    /// How far the sum may be from 1.
    const TOLERANCE: f64 = 1e-3;

    /// From single precision: scores are then rounded as the peer's tensors round them.
    pub fn single(probabilities: &[f32]) -> Self {
        Self {
            probabilities: probabilities.iter().map(|&p| f64::from(p)).collect(),
            precision: Precision::Single,
        }
    }

    /// From double precision.
    pub fn double(probabilities: Vec<f64>) -> Self {
        Self {
            probabilities: probabilities.into(),
            precision: Precision::Double,
        }
    }

    /// Whether the values are non-negative with sum 1.
    pub fn is_valid(&self) -> bool {
        let sum: f64 = self.probabilities.iter().sum();
        let in_range = self.probabilities.iter().all(|&p| p >= 0.0);
        in_range && (sum - 1.0).abs() <= Self::TOLERANCE
    }

    /// The probabilities in the order of the labels.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// The most probable label; of equals the first.
    pub fn label(&self) -> u32 {
        let p = &self.probabilities;
        (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best }) as u32
    }

    /// `1 − p[label]`, in the distribution's own precision.
    pub(crate) fn complement(&self, label: u32) -> f64 {
        let p = self.probabilities[label as usize];
        match self.precision {
            Precision::Single => f64::from(1.0 - p as f32),
            Precision::Double => 1.0 - p,
        }
    }

    /// Whether `p[label] < bound`, in the distribution's own precision.
    pub(crate) fn is_below(&self, label: u32, bound: f64) -> bool {
        let p = self.probabilities[label as usize];
        match self.precision {
            Precision::Single => (p as f32) < bound as f32,
            Precision::Double => p < bound,
        }
    }
}

/// A [`Classifier`] as victim.
pub struct ClassifierVictim<C>(pub C);

impl<C: Classifier> Victim for ClassifierVictim<C> {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        let probabilities = self.0.predict(texts)?;
        Ok(probabilities.rows().map(Distribution::single).collect())
    }
}

/// Several victims as one.
pub struct Ensemble {
    /// The members; all with the same labels in the same order.
    pub members: Vec<Box<dyn Victim>>,
    /// What is averaged.
    pub average: Average,
}

/// What an [`Ensemble`] averages over its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The probabilities: `p_c = mean_m p_mc`.
    Probabilities,
    /// The logits, up to a constant that the softmax removes: `p = softmax(mean_m ln p_m)`.
    Logits,
}

impl Victim for Ensemble {
    fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
        let answers = self.members.iter().map(|member| member.query(texts));
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        let combine = |index: usize| -> Result<Distribution, BoxError> {
            let rows: Vec<&[f64]> = answers
                .iter()
                .filter_map(|member| member.get(index).map(Distribution::probabilities))
                .collect();
            let label_count = rows.first().map_or(0, |row| row.len());
            let complete = rows.len() == self.members.len();
            if !complete || label_count == 0 || rows.iter().any(|row| row.len() != label_count) {
                return Err("ensemble: the members differ in answers or labels; give models with the same labels".into());
            }
            Ok(Distribution::double(self.average.of(&rows)))
        };
        (0..texts.len()).map(combine).collect()
    }
}

impl Average {
    fn of(self, rows: &[&[f64]]) -> Vec<f64> {
        let mean = |value: &dyn Fn(f64) -> f64| -> Vec<f64> {
            let over = |label: usize| rows.iter().map(|row| value(row[label])).sum::<f64>();
            (0..rows[0].len())
                .map(|label| over(label) / rows.len() as f64)
                .collect()
        };
        match self {
            Self::Probabilities => mean(&|p| p),
            Self::Logits => {
                // A probability that single precision rounded to 0 was a very small one.
                let logits = mean(&|p| p.max(f64::from(f32::MIN_POSITIVE)).ln());
                let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = logits.iter().map(|logit| (logit - max).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.iter().map(|power| power / sum).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(Vec<f64>);

    impl Victim for Constant {
        fn query(&self, texts: &[Text]) -> Result<Vec<Distribution>, BoxError> {
            Ok(vec![Distribution::double(self.0.clone()); texts.len()])
        }
    }

    fn ensemble(average: Average, members: &[[f64; 2]]) -> Result<Vec<Distribution>, BoxError> {
        let members = members
            .iter()
            .map(|row| Box::new(Constant(row.to_vec())) as Box<dyn Victim>);
        let ensemble = Ensemble {
            members: members.collect(),
            average,
        };
        let text = Text {
            first: "a".into(),
            second: None,
        };
        ensemble.query(&[text])
    }

    #[test]
    fn an_ensemble_averages_probabilities_or_logits() {
        let rows = [[0.5, 0.5], [0.9, 0.1]];
        let answer = ensemble(Average::Probabilities, &rows).unwrap();
        assert_eq!(answer[0].probabilities(), [0.7, 0.3]);
        // Odds 1 and 9: the geometric mean is 3.
        let answer = ensemble(Average::Logits, &rows).unwrap();
        assert!((answer[0].probabilities()[0] - 0.75).abs() < 1e-12);
    }

    #[test]
    fn the_first_of_equals_is_the_label() {
        assert_eq!(Distribution::single(&[0.4, 0.4, 0.2]).label(), 0);
        assert!(!Distribution::double(vec![0.9, 0.9]).is_valid());
        assert!(!Distribution::double(vec![f64::NAN, 1.0]).is_valid());
    }
}
