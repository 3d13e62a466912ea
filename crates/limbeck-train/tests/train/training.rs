//! The loop against PyTorch, and what resuming, threads and caches must not change.

use std::path::Path;

use candle_core::{Device, Tensor};
use limbeck_model::{Needs, SentenceClassifier, Target, Weights};
use limbeck_ops::optimizer::{Optimizer, clip_factor, gradient_norm};
use limbeck_ops::{Pass, backward};
use limbeck_text::{Example, Metric, Text};
use limbeck_train::{
    CacheHeader, EncodedSet, Given, HardLabelsConfig, LiveTeacher, ObjectiveConfig, Pair, Plain,
    Run, Schedule, SoftTargetsConfig, StoredTeacher, Teacher, TrainConfig, TrainError, WeightedSum,
    predict,
};

use crate::common::{
    Watcher, encodings, fixture, floats, integers, last_bytes, open, read_json, read_tensors,
    train_in, training_set, weights,
};

fn hard() -> ObjectiveConfig {
    ObjectiveConfig::HardLabels(HardLabelsConfig { weight: 0.5 })
}

fn soft() -> ObjectiveConfig {
    ObjectiveConfig::SoftTargets(SoftTargetsConfig {
        weight: 0.5,
        temperature: 2.0,
        ..SoftTargetsConfig::default()
    })
}

/// Fifty steps in PyTorch's order, without dropout, follow PyTorch's losses and norms.
fn check_fifty_steps(reference: &str, objectives: &[ObjectiveConfig]) {
    let data = read_json("training/data.json");
    let expected = read_json(&format!("training/{reference}.json"));
    let settings = &data["settings"];
    let number = |key: &str| settings[key].as_f64().unwrap();
    let model = open("tiny-bert");
    let teacher = LiveTeacher::new(open("tiny-bert-teacher"), training_set());
    let set = training_set();
    let objective = WeightedSum::new(objectives, &Pair::alone(&model)).unwrap();
    let config = TrainConfig::default();
    let mut optimizer = Optimizer::new(config.rule(config.weight_decay), &model.parameters());
    let (losses, norms) = (
        floats(&expected["losses_f64"]),
        floats(&expected["gradient_norms_f64"]),
    );
    for (step, rows) in data["order"].as_array().unwrap().iter().enumerate() {
        let rows: Vec<usize> = integers(rows).into_iter().map(|row| row as usize).collect();
        let batch = set.batch(&rows);
        let output = model
            .forward(&batch, objective.needs(), &Pass::train_without_dropout())
            .unwrap();
        let signal = teacher.signal(&rows, objective.needs()).unwrap();
        let labels: Vec<_> = rows.iter().map(|&row| set.labels()[row]).collect();
        let ids: Vec<_> = rows.iter().map(|&row| row as u64).collect();
        let (loss, _) = objective
            .loss(
                &output,
                Some(&signal),
                Given {
                    labels: &labels,
                    ids: &ids,
                    starts: &batch.starts,
                    epoch: 0,
                    pass: &Pass::train_without_dropout(),
                },
            )
            .unwrap();
        backward(&loss, &model.parameters()).unwrap();
        let norm = gradient_norm(optimizer.parameters()).unwrap();
        let loss = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!(
            (loss / losses[step] - 1.0).abs() < 1e-3,
            "step {step}: loss {loss}, PyTorch {}",
            losses[step]
        );
        assert!(
            (norm / norms[step] - 1.0).abs() < 1e-3,
            "step {step}: norm {norm}, PyTorch {}",
            norms[step]
        );
        let factor = Schedule::Linear.factor(
            step as u64,
            number("warmup_steps") as u64,
            number("steps") as u64,
        );
        let rate = number("learning_rate") * factor;
        assert!((rate - floats(&expected["learning_rates"])[step]).abs() < 1e-12);
        optimizer
            .step(rate, clip_factor(norm, number("clip_norm")))
            .unwrap();
    }
    let last = read_tensors(&format!("training/{reference}_final.safetensors"));
    for (name, tensor) in model.tensors().unwrap() {
        // Softmax does not see a bias of the keys: its gradient is exactly zero but for rounding, and
        // Adam makes full steps of rounding.
        if name.ends_with("key.bias") {
            continue;
        }
        let difference = (tensor - &last[&name])
            .unwrap()
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!(
            difference < 1e-3,
            "{name} ends {difference:e} away from PyTorch's"
        );
    }
}

#[test]
fn fine_tuning_follows_pytorch() {
    check_fifty_steps(
        "fine_tuning",
        &[ObjectiveConfig::HardLabels(HardLabelsConfig {
            weight: 1.0,
        })],
    );
}

#[test]
fn distillation_follows_pytorch() {
    check_fifty_steps("distillation", &[hard(), soft()]);
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 5.0,
        batch_size: 8,
        learning_rate: 2e-3,
        evaluate_every: 3,
        ..TrainConfig::default()
    }
}

fn run_in(
    folder: &Path,
    config: &TrainConfig,
    stop_after: Option<u64>,
) -> (Result<SentenceClassifier, TrainError>, Watcher) {
    let (set, model) = (training_set(), open("tiny-bert"));
    let objective = WeightedSum::new(&[hard(), soft()], &Pair::alone(&model)).unwrap();
    let teacher = LiveTeacher::new(open("tiny-bert-teacher"), training_set());
    let run = Run {
        train: &set,
        dev: &set,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: Some(&teacher),
        config,
        seed: 3,
    };
    let mut watcher = Watcher::stopping_after(stop_after);
    let result = train_in(folder, &model, &run, &mut watcher);
    (result.map(|_| model), watcher)
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let whole = tempfile::tempdir().unwrap();
    let (expected, all) = run_in(whole.path(), &config(), None);
    for stop in [1, 4, 9, 17, 24] {
        let folder = tempfile::tempdir().unwrap();
        let (stopped, before) = run_in(folder.path(), &config(), Some(stop));
        assert!(matches!(stopped, Err(TrainError::Interrupted { step }) if step == stop));
        let (resumed, after) = run_in(folder.path(), &config(), None);
        let joined = [before.losses(), after.losses()].concat();
        assert_eq!(joined, all.losses(), "stopped after {stop}");
        assert_eq!(
            weights(&resumed.unwrap()),
            weights(expected.as_ref().unwrap())
        );
        assert_eq!(last_bytes(folder.path()), last_bytes(whole.path()));
    }
}

#[test]
fn threads_and_token_budgets_do_not_change_a_run() {
    let run = |threads: usize, config: &TrainConfig| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let (model, watcher) = pool.install(|| run_in(folder.path(), config, None));
        model.unwrap();
        (watcher.losses(), last_bytes(folder.path()))
    };
    let one = run(1, &config());
    assert!(one == run(2, &config()));
    assert!(one == run(3, &config()));
    // Cut into smaller passes, sums are grouped differently: close, not equal.
    let (cut, _) = run(
        2,
        &TrainConfig {
            token_budget: 40,
            ..config()
        },
    );
    for ((_, a), (_, b)) in one.0.iter().zip(&cut) {
        assert!((a / b - 1.0).abs() < 1e-3, "{a} and {b}");
    }
}

fn examples(count: usize) -> Vec<Example> {
    (0..count)
        .map(|i| Example {
            id: i as u64,
            text: Text::single(format!("sentence {i}")),
            label: None,
        })
        .collect()
}

#[test]
fn a_stored_teacher_equals_a_live_one_also_when_made_in_pieces() {
    use limbeck_model::{HiddenStates, Needs};
    let base = training_set();
    // More rows than one chunk, so that an interruption leaves some.
    let rows: Vec<usize> = (0..1300).map(|i| i % base.len()).collect();
    let given = encodings();
    let repeated = rows.iter().map(|&row| given[row].clone());
    let set = EncodedSet::from_parts(repeated.collect(), (0..1300).collect(), vec![None; 1300]);
    let model = open("tiny-bert-teacher");
    let live = LiveTeacher::new(model.clone(), set.clone());
    for hidden in [HiddenStates::None, HiddenStates::First, HiddenStates::All] {
        let needs = Needs {
            hidden,
            attention: false,
        };
        let header = CacheHeader::new(&model, "tokenizer", &examples(1300), 64, needs).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut calls = 0;
        let mut stop_at_second = |_| {
            calls += 1;
            calls < 2
        };
        let stopped = StoredTeacher::open_or_make(
            folder.path(),
            header.clone(),
            &model,
            &set,
            &mut stop_at_second,
        );
        assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
        // A kill in the middle of a write leaves a torn tail.
        let logits = folder.path().join("logits.f32");
        let torn = fs_err::read(&logits).unwrap();
        fs_err::write(&logits, &torn[..torn.len() - 5]).unwrap();
        let mut made = Vec::new();
        let stored =
            StoredTeacher::open_or_make(folder.path(), header.clone(), &model, &set, &mut |done| {
                made.push(done);
                true
            });
        let stored = stored.unwrap();
        assert_eq!(made, [1024, 1300], "the first chunk is kept");
        for rows in [vec![0, 1299, 700], vec![5]] {
            let (a, b) = (
                stored.signal(&rows, needs).unwrap(),
                live.signal(&rows, needs).unwrap(),
            );
            let values = |t: &Tensor| t.to_vec2::<f32>().unwrap();
            assert_eq!(values(&a.logits), values(&b.logits));
            assert_eq!(a.hidden.len(), b.hidden.len());
            for (a, b) in a.hidden.iter().zip(&b.hidden) {
                assert_eq!(values(a), values(b));
            }
        }
        let mut other = header.clone();
        other.model = "another".into();
        let refused =
            StoredTeacher::open_or_make(folder.path(), other, &model, &set, &mut |_| true);
        assert!(matches!(
            refused,
            Err(TrainError::CacheMismatch { what: "model", .. })
        ));
    }
}

#[test]
fn answers_computed_before_are_stored_as_if_made_there() {
    let set = training_set();
    let model = open("tiny-bert-teacher");
    let header = || {
        let examples = examples(set.len());
        CacheHeader::new(&model, "tokenizer", &examples, 64, Needs::NOTHING).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let answers = predict(&model, &set, |_| ()).unwrap();
    assert!(!header().is_whole(&kept));
    StoredTeacher::keep(&kept, &header(), &answers).unwrap();
    assert!(header().is_whole(&kept));
    let mut made = Vec::new();
    let mut open = |folder: &Path| {
        let mut note = |done| {
            made.push(done);
            true
        };
        StoredTeacher::open_or_make(folder, header(), &model, &set, &mut note).unwrap()
    };
    assert_eq!(open(&kept).predictions().logits, answers.logits);
    let fresh = open(&folder.path().join("made"));
    assert_eq!(fresh.predictions().logits, answers.logits);
    assert_eq!(made, [set.len()], "nothing is made of what was kept");
    // Half of a making that was cut short gives way to the whole.
    fs_err::write(kept.join("logits.f32"), [0; 12]).unwrap();
    StoredTeacher::keep(&kept, &header(), &answers).unwrap();
    assert!(header().is_whole(&kept));
    let mut other = header();
    other.model = "another".into();
    let refused = StoredTeacher::keep(&kept, &other, &answers);
    assert!(matches!(
        refused,
        Err(TrainError::CacheMismatch { what: "model", .. })
    ));
}

#[test]
fn a_teacher_of_the_same_weights_that_reads_them_otherwise_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let original = fixture("tiny-bert-teacher");
    let config = fs_err::read_to_string(original.join("config.json")).unwrap();
    let weights = fs_err::read(original.join("model.safetensors")).unwrap();
    fs_err::write(folder.path().join("model.safetensors"), weights).unwrap();
    let digest = |config: &str| {
        fs_err::write(folder.path().join("config.json"), config).unwrap();
        let model = SentenceClassifier::open(folder.path(), None, 0, &Device::Cpu).unwrap();
        let header = CacheHeader::new(&model, "tokenizer", &examples(4), 64, Needs::NOTHING);
        header.unwrap().digest()
    };
    let activation = config.replace("\"gelu\"", "\"relu\"");
    assert_ne!(config, activation);
    assert_eq!(digest(&config), digest(&config));
    assert_ne!(digest(&config), digest(&activation));
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (result, _) = run_in(
        folder.path(),
        &TrainConfig {
            learning_rate: 1e30,
            clip_norm: 0.0,
            ..config()
        },
        None,
    );
    assert!(matches!(result, Err(TrainError::NotANumber { .. })));
}

#[test]
fn a_tiny_model_memorises_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let (mut encodings, all) = (encodings(), training_set());
    encodings.truncate(16);
    let set = EncodedSet::from_parts(encodings, (0..16).collect(), all.labels()[..16].to_vec());
    let config = TrainConfig {
        epochs: 80.0,
        batch_size: 4,
        learning_rate: 5e-3,
        evaluate_every: 20,
        ..TrainConfig::default()
    };
    let model = open("tiny-bert");
    let objective = WeightedSum::new(
        &[ObjectiveConfig::HardLabels(HardLabelsConfig::default())],
        &Pair::alone(&model),
    )
    .unwrap();
    let run = Run {
        train: &set,
        dev: &set,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: None,
        config: &config,
        seed: 1,
    };
    let summary = train_in(folder.path(), &model, &run, &mut Watcher::default()).unwrap();
    assert_eq!(summary.best.score, 1.0);
    let best = folder.path().join("model");
    let reopened = SentenceClassifier::open(&best, None, 0, &Device::Cpu).unwrap();
    assert_eq!(weights(&reopened), weights(&model));
    assert!(Weights::open(&folder.path().join("last")).is_ok());
    assert!(matches!(model.target(), Target::Labels(labels) if labels.len() == 3));
}
