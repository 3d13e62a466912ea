use limbeck_text::{
    BootstrapConfig, ConfusionMatrix, GlueTask, Label, Metric, accuracy, bootstrap_interval,
    f1_binary, f1_macro, f1_micro, glue_average, matthews, pearson, spearman, task_score,
    wilson_interval,
};
use proptest::prelude::*;

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-12,
        "{found} is not {expected}"
    );
}

/// `expected`: accuracy, F1 of class 1, macro F1, micro F1, Matthews.
fn check_classes(predicted: &[u32], gold: &[u32], expected: [f64; 5]) {
    near(accuracy(predicted, gold), expected[0]);
    near(f1_binary(predicted, gold, 1), expected[1]);
    near(f1_macro(predicted, gold), expected[2]);
    near(f1_micro(predicted, gold), expected[3]);
    near(matthews(predicted, gold), expected[4]);
}

#[test]
fn class_metrics_match_scikit_learn() {
    // Numbers from scripts/reference/metrics.py.
    check_classes(
        &[1, 0, 1, 1, 0, 0, 1, 0, 1, 1],
        &[1, 0, 0, 1, 0, 1, 1, 0, 1, 0],
        [
            0.7,
            0.727_272_727_272_727_3,
            0.696_969_696_969_697,
            0.7,
            0.408_248_290_463_863,
        ],
    );
    check_classes(
        &[0, 2, 1, 0, 0, 1, 2, 2, 1, 0, 2],
        &[0, 1, 2, 0, 0, 1, 1, 2, 2, 0, 2],
        [
            0.636_363_636_363_636_4,
            1.0 / 3.0,
            0.611_111_111_111_111,
            0.636_363_636_363_636_4,
            0.45,
        ],
    );
    check_classes(
        &[0, 0, 1, 1, 0],
        &[0, 2, 1, 2, 0],
        [
            0.6,
            2.0 / 3.0,
            0.488_888_888_888_888_93,
            0.6,
            0.505_181_485_540_922_6,
        ],
    );
    check_classes(
        &[1, 1, 1, 1],
        &[1, 0, 1, 0],
        [0.5, 2.0 / 3.0, 1.0 / 3.0, 0.5, 0.0],
    );
    check_classes(
        &[1, 0, 1, 1],
        &[1, 1, 1, 1],
        [
            0.75,
            0.857_142_857_142_857_1,
            0.428_571_428_571_428_55,
            0.75,
            0.0,
        ],
    );
    check_classes(&[2, 0, 1], &[2, 0, 1], [1.0; 5]);
    check_classes(&[1, 0, 1, 0], &[0, 1, 0, 1], [0.0, 0.0, 0.0, 0.0, -1.0]);
}

#[test]
fn the_class_table_matches_scikit_learn() {
    let predicted = [0, 2, 1, 0, 0, 1, 2, 2, 1, 0, 2];
    let gold = [0, 1, 2, 0, 0, 1, 1, 2, 2, 0, 2];
    let matrix = ConfusionMatrix::new(&predicted, &gold, 3);
    assert_eq!(matrix.counts, [[4, 0, 0], [0, 1, 2], [0, 2, 2]]);
    let table = matrix
        .report()
        .into_iter()
        .map(|r| (r.precision, r.recall, r.f1, r.support));
    let third = 1.0 / 3.0;
    let expected = [
        (1.0, 1.0, 1.0, 4),
        (third, third, third, 3),
        (0.5, 0.5, 0.5, 4),
    ];
    assert_eq!(table.collect::<Vec<_>>(), expected);
}

#[test]
fn a_class_that_never_occurs_has_a_row_of_zeros() {
    let report = ConfusionMatrix::new(&[0], &[0], 2).report();
    assert_eq!(
        (
            report[1].precision,
            report[1].recall,
            report[1].f1,
            report[1].support
        ),
        (0.0, 0.0, 0.0, 0)
    );
}

#[test]
fn correlations_match_scipy() {
    let check = |x: &[f64], y: &[f64], expected: [f64; 2]| {
        near(pearson(x, y).unwrap(), expected[0]);
        near(spearman(x, y).unwrap(), expected[1]);
    };
    // Numbers from scripts/reference/metrics.py.
    check(
        &[0.1, 2.3, 4.0, 3.9, 1.2],
        &[0.0, 2.0, 5.0, 3.5, 2.5],
        [0.904_246_127_987_816_5, 0.9],
    );
    check(
        &[1.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0],
        &[2.0, 1.0, 4.0, 4.0, 4.0, 5.0, 3.0],
        [0.597_210_043_506_950_5, 0.582_551_728_035_463],
    );
    check(
        &[1.0, 2.0, 3.0, 4.0],
        &[1.0, 10.0, 100.0, 1000.0],
        [0.824_140_716_620_699_1, 1.0],
    );
    check(
        &[1e9 + 1.0, 1e9 + 2.0, 1e9 + 4.0, 1e9 + 3.0],
        &[1.0, 2.0, 3.0, 5.0],
        [0.680_336_051_416_608_9, 0.8],
    );
}

#[test]
fn a_correlation_with_a_constant_is_undefined_and_scores_zero() {
    assert_eq!(pearson(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]), None);
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[7.0, 7.0, 7.0]), None);
    assert_eq!(pearson(&[1.0], &[1.0]), None);
    assert_eq!(pearson(&[], &[]), None);
    assert_eq!(pearson(&[f64::NAN, 1.0], &[1.0, 2.0]), None);
    assert_eq!(spearman(&[f64::INFINITY, 1.0], &[1.0, 2.0]), None);
    let constant = [Label::Score(2.5); 2];
    let gold = [Label::Score(1.0), Label::Score(2.0)];
    assert_eq!(Metric::Pearson.score(&constant, &gold).unwrap(), 0.0);
}

#[test]
fn wilson_intervals_match_scipy() {
    let check = |hits, count, low: f64, high: f64| {
        let interval = wilson_interval(hits, count, 1.959_963_984_540_054);
        near(interval.low, low);
        near(interval.high, high);
    };
    // Numbers from scripts/reference/metrics.py.
    check(8, 10, 0.490_162_471_536_641_8, 0.943_317_848_545_624_8);
    check(0, 5, 0.0, 0.434_482_464_783_174_77);
    check(5, 5, 0.565_517_535_216_825_1, 1.0);
    check(790, 872, 0.884_770_573_821_525_7, 0.923_594_904_735_872_2);
    check(0, 0, 0.0, 1.0);
}

#[test]
fn a_bootstrap_interval_repeats_and_is_close_to_wilson() {
    let gold: Vec<Label> = (0..400).map(|_| Label::Class(1)).collect();
    let predicted: Vec<Label> = (0..400)
        .map(|i| Label::Class(u32::from(i % 5 > 0)))
        .collect();
    let config = BootstrapConfig::default();
    let interval = bootstrap_interval(Metric::Accuracy, &predicted, &gold, &config).unwrap();
    let again = bootstrap_interval(Metric::Accuracy, &predicted, &gold, &config).unwrap();
    assert_eq!(interval, again);
    let wilson = wilson_interval(320, 400, 1.96);
    assert!(
        (interval.low - wilson.low).abs() < 0.01,
        "{interval:?} {wilson:?}"
    );
    assert!(
        (interval.high - wilson.high).abs() < 0.01,
        "{interval:?} {wilson:?}"
    );
    let other_seed = BootstrapConfig { seed: 1, ..config };
    assert_ne!(
        interval,
        bootstrap_interval(Metric::Accuracy, &predicted, &gold, &other_seed).unwrap()
    );
}

#[test]
fn glue_averages_count_both_forms_of_mnli_once() {
    let scores = [
        (GlueTask::Mnli, vec![80.0]),
        (GlueTask::MnliMismatched, vec![84.0]),
        (GlueTask::Mrpc, vec![90.0, 86.0]),
        (GlueTask::Ax, vec![1.0]),
        (GlueTask::Rte, vec![]),
    ];
    assert_eq!(glue_average(&scores), Some(85.0));
    assert_eq!(task_score(&[90.0, 86.0]), Some(88.0));
    assert_eq!(glue_average(&[]), None);
}

const METRICS: [Metric; 5] = [
    Metric::Accuracy,
    Metric::F1Binary,
    Metric::F1Macro,
    Metric::F1Micro,
    Metric::Matthews,
];

fn pairs<T: Strategy + Clone>(value: T) -> impl Strategy<Value = Vec<(T::Value, T::Value)>> {
    proptest::collection::vec((value.clone(), value), 1..40)
}

fn scored(metric: Metric, pairs: &[(Label, Label)]) -> f64 {
    let (predicted, gold): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    metric.score(&predicted, &gold).unwrap()
}

proptest! {
    #[test]
    fn class_metrics_are_in_range_whatever_the_order(pairs in pairs((0..4_u32).prop_map(Label::Class)), turn in 0_usize..40) {
        for metric in METRICS {
            let score = scored(metric, &pairs);
            prop_assert!((-1.0..=1.0).contains(&score));
            prop_assert!(metric == Metric::Matthews || score >= 0.0);
            let mut turned = pairs.clone();
            turned.rotate_left(turn % pairs.len());
            prop_assert!((scored(metric, &turned) - score).abs() < 1e-12);
        }
    }

    #[test]
    fn correlations_are_in_range_whatever_the_order(pairs in pairs(any::<f32>().prop_filter("finite", |x| x.is_finite()).prop_map(Label::Score)), turn in 0_usize..40) {
        for metric in [Metric::Pearson, Metric::Spearman] {
            let score = scored(metric, &pairs);
            prop_assert!((-1.0..=1.0).contains(&score));
            let mut turned = pairs.clone();
            turned.rotate_left(turn % pairs.len());
            prop_assert!((scored(metric, &turned) - score).abs() < 1e-9);
        }
    }

    #[test]
    fn matthews_of_two_classes_is_the_textbook_formula(pairs in pairs(0..2_u32)) {
        let (predicted, gold): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let count = |p, g| pairs.iter().filter(|&&pair| pair == (p, g)).count() as f64;
        let (tp, tn, fp, missed) = (count(1, 1), count(0, 0), count(1, 0), count(0, 1));
        let scale = ((tp + fp) * (tp + missed) * (tn + fp) * (tn + missed)).sqrt();
        let expected = if scale == 0.0 { 0.0 } else { (tp * tn - fp * missed) / scale };
        prop_assert!((matthews(&predicted, &gold) - expected).abs() < 1e-12);
    }

    #[test]
    fn micro_f1_of_the_matrix_is_accuracy(pairs in pairs(0..5_u32)) {
        let (predicted, gold): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let matrix = ConfusionMatrix::new(&predicted, &gold, 5);
        let hits: u64 = (0..5).map(|class| matrix.counts[class][class]).sum();
        prop_assert_eq!(hits as f64 / gold.len() as f64, f1_micro(&predicted, &gold));
        prop_assert_eq!(matrix.report().iter().map(|r| r.support).sum::<u64>(), gold.len() as u64);
    }
}
