use std::collections::BTreeMap;

use serde::Serialize;

/// How often each class was taken for which: `counts[gold][predicted]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    /// Square; row is the gold class, column the predicted one.
    pub counts: Vec<Vec<u64>>,
}

impl ConfusionMatrix {
    /// Counts the pairs. The matrix has `label_count` rows, or more if a larger class occurs.
    ///
    /// # Panics
    /// If the two differ in length.
    pub fn new(predicted: &[u32], gold: &[u32], label_count: usize) -> Self {
        assert_eq!(predicted.len(), gold.len(), "one prediction per gold label");
        let largest = predicted.iter().chain(gold).max();
        let size = largest.map_or(label_count, |&class| label_count.max(class as usize + 1));
        let mut counts = vec![vec![0; size]; size];
        for (&predicted, &gold) in predicted.iter().zip(gold) {
            counts[gold as usize][predicted as usize] += 1;
        }
        Self { counts }
    }

    /// Precision, recall, F1 and support of each class, in class order.
    pub fn report(&self) -> Vec<ClassReport> {
        let report = |class: usize| {
            let tally = Tally {
                hits: self.counts[class][class],
                predicted: self.counts.iter().map(|row| row[class]).sum(),
                gold: self.counts[class].iter().sum(),
            };
            tally.report(class as u32)
        };
        (0..self.counts.len()).map(report).collect()
    }
}

/// How well one class was found. Shares in `[0, 1]`; one without a denominator is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    /// The class index.
    pub class: u32,
    /// Share of the predictions of this class that are right.
    pub precision: f64,
    /// Share of the gold examples of this class that were found.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Gold examples of this class.
    pub support: u64,
}

/// Share of predictions that equal the gold label, in `[0, 1]`; 0 of none.
///
/// Like every function here it panics if the two differ in length.
pub fn accuracy(predicted: &[u32], gold: &[u32]) -> f64 {
    assert_eq!(predicted.len(), gold.len(), "one prediction per gold label");
    let hits = predicted.iter().zip(gold).filter(|(p, g)| p == g).count();
    ratio(hits as u64, gold.len() as u64)
}

/// F1 of one class: `2 TP / (2 TP + FP + FN)`, in `[0, 1]`; 0 if the class occurs on neither side.
pub fn f1_binary(predicted: &[u32], gold: &[u32], positive: u32) -> f64 {
    tallies(predicted, gold)
        .get(&positive)
        .map_or(0.0, Tally::f1)
}

/// The unweighted mean of the classes' F1, over the classes that occur in `predicted` or `gold` (as scikit-learn does).
pub fn f1_macro(predicted: &[u32], gold: &[u32]) -> f64 {
    let tallies = tallies(predicted, gold);
    if tallies.is_empty() {
        return 0.0;
    }
    tallies.values().map(Tally::f1).sum::<f64>() / tallies.len() as f64
}

/// F1 over the summed counts of all classes: `2 ΣTP / (2 ΣTP + ΣFP + ΣFN)`.
///
/// With one label per example every miss is one FP and one FN, so this equals [`accuracy`].
pub fn f1_micro(predicted: &[u32], gold: &[u32]) -> f64 {
    accuracy(predicted, gold)
}

/// Matthews' correlation for any number of classes (Gorodkin 2004), in `[-1, 1]`.
///
/// `(c·n − Σ_k p_k g_k) / √((n² − Σ p_k²)(n² − Σ g_k²))` with `n` examples, `c` of them right, and class `k` predicted `p_k` and gold
/// `g_k` times. For two classes this is `(TP·TN − FP·FN) / √(..)`. 0 if either side is constant.
pub fn matthews(predicted: &[u32], gold: &[u32]) -> f64 {
    let count = gold.len() as f64;
    let (mut hits, mut product, mut predicted_square, mut gold_square) = (0.0, 0.0, 0.0, 0.0);
    for tally in tallies(predicted, gold).values() {
        let (p, g) = (tally.predicted as f64, tally.gold as f64);
        hits += tally.hits as f64;
        product += p * g;
        predicted_square += p * p;
        gold_square += g * g;
    }
    let square = count * count;
    let scale = (square - predicted_square) * (square - gold_square);
    if scale <= 0.0 {
        return 0.0;
    }
    ((hits * count - product) / scale.sqrt()).clamp(-1.0, 1.0)
}

#[derive(Default)]
struct Tally {
    hits: u64,
    predicted: u64,
    gold: u64,
}

impl Tally {
    fn f1(&self) -> f64 {
        ratio(2 * self.hits, self.predicted + self.gold)
    }

    fn report(&self, class: u32) -> ClassReport {
        ClassReport {
            class,
            precision: ratio(self.hits, self.predicted),
            recall: ratio(self.hits, self.gold),
            f1: self.f1(),
            support: self.gold,
        }
    }
}

fn tallies(predicted: &[u32], gold: &[u32]) -> BTreeMap<u32, Tally> {
    assert_eq!(predicted.len(), gold.len(), "one prediction per gold label");
    let mut tallies: BTreeMap<u32, Tally> = BTreeMap::new();
    for (&predicted, &gold) in predicted.iter().zip(gold) {
        tallies.entry(predicted).or_default().predicted += 1;
        let of_gold = tallies.entry(gold).or_default();
        of_gold.gold += 1;
        of_gold.hits += u64::from(predicted == gold);
    }
    tallies
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}
