//! Values and gradients. Numbers from `scripts/reference/hidden_losses.py`.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var, safetensors};
use limbeck_model::{Output, SentenceClassifier};
use limbeck_ops::{AttentionMaps, Pass, Starts, backward};
use limbeck_train::{
    AttentionMapsConfig, AttentionScoresConfig, FeatureMapsConfig, Given, HiddenStatesConfig,
    LayerMap, MeanOver, ObjectiveConfig, Pair, PatientLayers, PkdConfig, PkdReduction, Signal,
    StateRelationConfig, WeightedSum, annealing_factor,
};

use super::{bert, fixture, integers, json, open, sentences};

const LAYERS: usize = 4;

/// One objective on random states.
struct Case {
    name: &'static str,
    objective: ObjectiveConfig,
    student: Student,
}

#[derive(Clone, Copy, PartialEq)]
enum Student {
    /// As wide as the teacher: runs in double precision too.
    Same,
    /// Narrower.
    Narrow,
    /// Narrower, and nothing makes it wider.
    NarrowWithoutProjection,
}

fn pkd(layers: PatientLayers, normalised: bool, reduction: PkdReduction) -> ObjectiveConfig {
    ObjectiveConfig::Pkd(PkdConfig {
        weight: 1.0,
        layers,
        normalised,
        reduction,
    })
}

fn cases() -> Vec<Case> {
    use ObjectiveConfig::{
        AttentionMaps, AttentionScores, CosineStates, FeatureMaps, Fsp, HiddenStates, Mmd,
    };
    use PatientLayers::{Last, List, Skip};
    use PkdReduction::{BatchMean, ElementMean};
    use Student::{Narrow, NarrowWithoutProjection, Same};
    let hidden = |mask| {
        HiddenStates(HiddenStatesConfig {
            mask,
            padded_tokens: 9,
            ..Default::default()
        })
    };
    let scores = |mask| {
        AttentionScores(AttentionScoresConfig {
            mask,
            padded_tokens: 9,
            ..Default::default()
        })
    };
    let features = |layers| {
        FeatureMaps(FeatureMapsConfig {
            weight: 1.0,
            layers,
        })
    };
    let maps = |layers| {
        AttentionMaps(AttentionMapsConfig {
            weight: 1.0,
            layers,
        })
    };
    let states = StateRelationConfig::default;
    let pairs = LayerMap::Pairs(vec![[1, 6], [3, 1]]);
    [
        ("pkd_skip", pkd(Skip, true, ElementMean), Same),
        ("pkd_skip_raw", pkd(Skip, false, ElementMean), Same),
        ("pkd_skip_printed", pkd(Skip, true, BatchMean), Same),
        ("pkd_last", pkd(Last, true, ElementMean), Same),
        ("pkd_list", pkd(List(vec![3]), true, ElementMean), Same),
        ("pkd_projected", pkd(Skip, true, ElementMean), Narrow),
        ("hidden_valid", hidden(MeanOver::Valid), Narrow),
        ("hidden_paper", hidden(MeanOver::Paper), Narrow),
        ("scores_valid", scores(MeanOver::Valid), Same),
        ("scores_paper", scores(MeanOver::Paper), Same),
        ("features", features(LayerMap::Uniform), Same),
        ("features_projected", features(LayerMap::Uniform), Narrow),
        ("features_pairs", features(pairs), Same),
        ("maps", maps(LayerMap::Uniform), Same),
        ("maps_final", maps(LayerMap::Final), Same),
        ("cosine", CosineStates(states()), Same),
        ("cosine_projected", CosineStates(states()), Narrow),
        ("mmd", Mmd(states()), Same),
        ("mmd_narrow", Mmd(states()), NarrowWithoutProjection),
        ("fsp", Fsp(states()), Same),
    ]
    .map(|(name, objective, student)| Case {
        name,
        objective,
        student,
    })
    .into()
}

/// The states and scores of `losses.safetensors` in one precision, the student's as leaves of the graph.
struct Inputs {
    states: Vec<Var>,
    scores: Vec<Var>,
    student: Output,
    teacher: Signal,
    starts: Starts,
}

fn inputs(tensors: &HashMap<String, Tensor>, dtype: DType, student: Student) -> Inputs {
    let starts = Starts::from_lengths([5, 2, 7]);
    let read = |name: String| tensors[&name].to_dtype(dtype).unwrap();
    let kind = match student {
        Student::Same => "same",
        _ => "narrow",
    };
    let leaf = |name: String| Var::from_tensor(&read(name)).unwrap();
    let maps = |scores: Tensor| AttentionMaps {
        scores,
        starts: starts.clone(),
        heads: 2,
    };
    let nothing = Tensor::zeros((3, 3), dtype, &Device::Cpu).unwrap();
    let states: Vec<Var> = (0..LAYERS).map(|i| leaf(format!("{kind}.{i}"))).collect();
    let scores: Vec<Var> = (1..LAYERS)
        .map(|i| leaf(format!("scores.{}", i - 1)))
        .collect();
    let tensor = |var: &Var| var.as_tensor().clone();
    Inputs {
        student: Output {
            logits: nothing.clone(),
            pooled: nothing.clone(),
            hidden: states.iter().map(tensor).collect(),
            attention: scores.iter().map(|var| maps(tensor(var))).collect(),
        },
        teacher: Signal {
            logits: nothing,
            hidden: (0..7).map(|i| read(format!("teacher.{i}"))).collect(),
            attention: (0..6)
                .map(|i| maps(read(format!("teacher_scores.{i}"))))
                .collect(),
        },
        states,
        scores,
        starts,
    }
}

/// Largest difference relative to the largest expected magnitude; nothing is expected where there is no gradient.
fn difference(actual: Option<&Tensor>, expected: Option<&Tensor>) -> f64 {
    let flat = |t: &Tensor| {
        let flat = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
        flat.to_vec1::<f64>().unwrap()
    };
    let actual = actual.map(flat).unwrap_or_default();
    let Some(expected) = expected.map(flat) else {
        return actual.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    };
    assert_eq!(actual.len(), expected.len());
    let size = expected.iter().fold(1e-12f64, |a, b| a.max(b.abs()));
    let pairs = actual.iter().zip(&expected);
    pairs.fold(0.0, |worst, (a, b)| worst.max((a - b).abs() / size))
}

fn check(case: &Case, dtype: DType, tolerance: f64) {
    let tensors =
        safetensors::load(fixture("hidden_losses/losses.safetensors"), &Device::Cpu).unwrap();
    let expected = json("hidden_losses/losses.json")["values"][case.name]
        .as_f64()
        .unwrap();
    let width = if case.student == Student::Same { 6 } else { 4 };
    let (student, teacher) = (bert(3, width, 2), bert(6, 6, 2));
    let objective = WeightedSum::new(
        std::slice::from_ref(&case.objective),
        &Pair {
            student: &student,
            teacher: Some(&teacher),
            seed: 1,
        },
    )
    .unwrap();
    let projections = objective.parameters();
    assert_eq!(!projections.is_empty(), case.student == Student::Narrow);
    // A shared projection is the reference's first; others stand with the layer that their name ends in.
    let number = |name: &str| {
        let layers = name.rsplit_once('.').unwrap().1.split_once('-');
        layers.map_or(0, |(layer, _)| layer.parse::<usize>().unwrap())
    };
    for projection in &projections {
        let name = format!("projection.{}", number(projection.name()));
        projection.set(&tensors[&name]).unwrap();
    }
    let inputs = inputs(&tensors, dtype, case.student);
    let given = Given {
        labels: &[None; 3],
        ids: &[0, 1, 2],
        starts: &inputs.starts,
        epoch: 0,
        pass: &Pass::train_without_dropout(),
    };
    let (loss, _) = objective
        .loss(&inputs.student, Some(&inputs.teacher), given)
        .unwrap();
    let value = loss
        .to_dtype(DType::F64)
        .unwrap()
        .to_scalar::<f64>()
        .unwrap();
    let name = case.name;
    assert!(
        (value / expected - 1.0).abs() < tolerance,
        "{name} in {dtype:?}: {value}, PyTorch {expected}"
    );
    let store = backward(&loss, &projections).unwrap();
    let kind = if case.student == Student::Same {
        "same"
    } else {
        "narrow"
    };
    for (kind, leaves) in [(kind, &inputs.states), ("scores", &inputs.scores)] {
        for (index, leaf) in leaves.iter().enumerate() {
            let key = format!("{name}.grad.{kind}.{index}");
            let off = difference(store.get(leaf.as_tensor()), tensors.get(&key));
            assert!(off < tolerance, "{key} in {dtype:?}: {off:e}");
        }
    }
    for projection in &projections {
        let key = format!("{name}.grad.projection.{}", number(projection.name()));
        let gradient = projection.gradient_tensor().unwrap();
        let off = difference(gradient.as_ref(), Some(&tensors[&key]));
        assert!(off < tolerance, "{key}: {off:e}");
    }
}

#[test]
fn losses_equal_pytorch_in_double_precision() {
    // Projections are in single precision.
    for case in cases().iter().filter(|c| c.student != Student::Narrow) {
        check(case, DType::F64, 1e-9);
    }
}

#[test]
fn losses_equal_pytorch_in_single_precision() {
    for case in &cases() {
        check(case, DType::F32, 1e-5);
    }
}

#[test]
fn models_learn_from_each_other_as_in_pytorch() {
    let reference = json("hidden_losses/models.json");
    let expected =
        safetensors::load(fixture("hidden_losses/models.safetensors"), &Device::Cpu).unwrap();
    let (student, teacher) = (open("tiny-bert"), open("tiny-bert-teacher"));
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        seed: 1,
    };
    let objectives = [
        ObjectiveConfig::HiddenStates(HiddenStatesConfig::default()),
        ObjectiveConfig::AttentionScores(AttentionScoresConfig::default()),
        ObjectiveConfig::FeatureMaps(FeatureMapsConfig::default()),
        ObjectiveConfig::AttentionMaps(AttentionMapsConfig::default()),
        ObjectiveConfig::Pkd(PkdConfig {
            weight: 10.0,
            ..PkdConfig::default()
        }),
    ];
    let objective = WeightedSum::new(&objectives, &pair).unwrap();
    let rows: Vec<usize> = integers(&reference["rows"])
        .iter()
        .map(|&row| row as usize)
        .collect();
    let set = sentences(&rows);
    let batch = set.batch(&[0, 1, 2, 3, 4]);
    let pass = Pass::train_without_dropout();
    let run = |model: &SentenceClassifier, pass: &Pass| {
        model.forward(&batch, objective.needs(), pass).unwrap()
    };
    let from = run(&teacher, &Pass::EVALUATE);
    assert!(!from.attention[0].scores.track_op());
    let signal = Signal {
        logits: from.logits,
        hidden: from.hidden,
        attention: from.attention,
    };
    let given = Given {
        labels: &set.labels(),
        ids: &set.ids(),
        starts: &batch.starts,
        epoch: 0,
        pass: &pass,
    };
    let (loss, terms) = objective
        .loss(&run(&student, &pass), Some(&signal), given)
        .unwrap();
    assert_eq!(terms.len(), 5);
    for (name, value) in terms {
        let value = f64::from(value.to_scalar::<f32>().unwrap());
        let expected = reference["values"][name].as_f64().unwrap();
        assert!(
            (value / expected - 1.0).abs() < 1e-5,
            "{name}: {value}, PyTorch {expected}"
        );
    }
    let parameters = [student.parameters(), objective.parameters()].concat();
    backward(&loss, &parameters).unwrap();
    let mut seen = 0;
    for slot in student.slots() {
        let Some(gradient) = slot.parameter.gradient_tensor().unwrap() else {
            continue;
        };
        for (name, part) in slot.split(&gradient).unwrap() {
            let off = difference(Some(&part), expected.get(&name));
            assert!(off < 1e-4, "{name}: {off:e}");
            seen += usize::from(expected.contains_key(&name));
        }
    }
    assert_eq!(seen, expected.len());
}

#[test]
fn annealing_rises_to_the_teachers_own_logits_and_no_further() {
    let factors = |epochs: u64, max: u64| {
        let each = (0..epochs).map(|epoch| annealing_factor(epoch, epochs, max) * max as f64);
        each.map(|t| t.round() as u64).collect::<Vec<_>>()
    };
    assert_eq!(factors(14, 7), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    assert_eq!(factors(10, 10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    // The released code would go on to 5 and 6.
    assert_eq!(factors(11, 4), [1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4]);
    assert_eq!(factors(3, 1), [1, 1, 1]);
}

#[test]
fn annealed_logits_are_the_squared_error_to_shrunken_ones() {
    // Numbers by hand: labels 2, τ_max 2 in 4 epochs, teacher (2, -4) and student (1, 0).
    let student = bert(1, 4, 2);
    let config = limbeck_train::AnnealedLogitsConfig {
        weight: 1.0,
        max_temperature: 2,
        epochs: 4,
    };
    let objective = WeightedSum::new(
        &[ObjectiveConfig::AnnealedLogits(config)],
        &Pair::alone(&student),
    )
    .unwrap();
    let logits = |values: [f32; 2]| Tensor::new(&[values], &Device::Cpu).unwrap();
    let output = Output {
        logits: logits([1.0, 0.0]),
        pooled: logits([0.0, 0.0]),
        hidden: Vec::new(),
        attention: Vec::new(),
    };
    let signal = Signal {
        logits: logits([2.0, -4.0]),
        hidden: Vec::new(),
        attention: Vec::new(),
    };
    for (epoch, expected) in [(0, 2.0), (1, 2.0), (2, 8.5), (3, 8.5)] {
        let given = Given {
            labels: &[None],
            ids: &[0],
            starts: &Starts::from_lengths([3]),
            epoch,
            pass: &Pass::EVALUATE,
        };
        let (loss, _) = objective.loss(&output, Some(&signal), given).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), expected);
    }
}
