//! Learning from teachers alone: their labels, several of them, and training sets that stay on disk.

use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use limbeck_model::{Needs, Output, SentenceClassifier, Target, TextTokenizer};
use limbeck_ops::{Pass, Starts};
use limbeck_text::{Example, Label, LabelMap, Metric, Text, TextError};
use limbeck_train::{
    Average, EncodedSet, EnsembleTeacher, Given, HardTeacherLabels, HardTeacherLabelsConfig,
    LiveTeacher, Objective, ObjectiveConfig, Pair, Plain, Predictions, Run, SetHeader, Signal,
    StoredSet, Survey, Teacher, TrainConfig, TrainError, WeightedSum, divergence,
    score_predictions,
};
use serde_json::Value;

use crate::common::{Watcher, fixture, last_bytes, open, read_json, train_in};

/// From `scripts/reference/teachers.py`.
fn cases() -> Vec<Value> {
    read_json("teachers.json")["cases"]
        .as_array()
        .unwrap()
        .clone()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    let number = |value: &Value| value.as_f64().unwrap();
    let row = |row: &Value| row.as_array().unwrap().iter().map(number).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn predictions(rows: &[Vec<f64>]) -> Predictions {
    Predictions {
        outputs: rows[0].len(),
        logits: rows.iter().flatten().map(|&z| z as f32).collect(),
    }
}

fn is_close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs().max(1.0)
}

#[test]
fn labels_of_the_teacher_give_pytorchs_loss_and_gradient() {
    for case in cases() {
        let student = rows(&case["student"]);
        let (batch, outputs) = (student.len(), student[0].len());
        let tensor = |rows: &[Vec<f64>]| {
            Tensor::from_vec(rows.concat(), (batch, outputs), &Device::Cpu).unwrap()
        };
        let leaf = Var::from_tensor(&tensor(&student)).unwrap();
        let output = Output {
            logits: leaf.as_tensor().clone(),
            pooled: leaf.as_tensor().detach(),
            hidden: Vec::new(),
            attention: Vec::new(),
        };
        let signal = Signal {
            logits: tensor(&rows(&case["teachers"][0])),
            hidden: Vec::new(),
            attention: Vec::new(),
        };
        let given = Given {
            labels: &vec![None; batch],
            ids: &vec![0; batch],
            starts: &Starts::from_lengths(vec![1; batch]),
            epoch: 0,
            pass: &Pass::EVALUATE,
        };
        let loss = HardTeacherLabels
            .loss(&output, Some(&signal), given)
            .unwrap();
        let expected = &case["hard_teacher_labels"];
        let value = loss
            .to_dtype(DType::F64)
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        assert!(
            is_close(value, expected["value"].as_f64().unwrap(), 1e-9),
            "{value}"
        );
        let gradients = loss.backward().unwrap();
        let gradient = gradients.get(&leaf).unwrap().to_vec2::<f64>().unwrap();
        for (found, expected) in gradient
            .concat()
            .iter()
            .zip(rows(&expected["gradient"]).concat())
        {
            assert!(is_close(*found, expected, 1e-9), "{found} and {expected}");
        }
    }
}

#[test]
fn averages_and_divergence_are_pytorchs() {
    for case in cases() {
        let members = case["teachers"].as_array().unwrap().iter();
        let members: Vec<Predictions> = members.map(|member| predictions(&rows(member))).collect();
        for (average, name) in [
            (Average::Logits, "mean_logits"),
            (Average::Probabilities, "mean_probabilities"),
        ] {
            // What comes out is in single precision.
            let found = average.of_predictions(&members);
            for (found, expected) in found.logits.iter().zip(rows(&case[name]).concat()) {
                let found = f64::from(*found);
                assert!(
                    is_close(found, expected, 1e-6),
                    "{name}: {found} and {expected}"
                );
            }
        }
        let found = divergence(&members[0], &predictions(&rows(&case["student"])));
        let expected = case["divergence"].as_f64().unwrap();
        assert!(is_close(found, expected, 1e-9), "{found} and {expected}");
        assert_eq!(divergence(&members[0], &members[0]), 0.0);
    }
}

#[test]
fn a_mapped_prediction_is_the_likeliest_label_by_its_other_name() {
    let labels = ["entailment", "neutral", "contradiction"].map(str::to_owned);
    let names = ["entailment", "non-entailment", "non-entailment"].map(str::to_owned);
    let map = LabelMap::new(&labels, &labels.iter().cloned().zip(names).collect()).unwrap();
    // In the first row the two others are likelier together, but none of them alone.
    let probabilities: [[f32; 3]; 3] = [[0.4, 0.3, 0.3], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]];
    let predictions = Predictions {
        logits: probabilities.concat().iter().map(|p| p.ln()).collect(),
        outputs: 3,
    };
    let gold = [Label::Class(1), Label::Class(1), Label::Class(0)];
    let target = Target::Labels(labels.to_vec());
    let metrics = [Metric::Accuracy];
    let found = score_predictions(predictions, &target, &gold, &metrics, Some(&map)).unwrap();
    assert_eq!(found.predicted, [0, 1, 1].map(Label::Class));
    assert!(is_close(found.metrics[&Metric::Accuracy], 1.0 / 3.0, 1e-12));
    let expected = -(0.6f64.ln() + 0.8f64.ln() + 0.1f64.ln()) / 3.0;
    assert!(is_close(found.loss, expected, 1e-6), "{}", found.loss);
}

/// Sentences and pairs of the fixture's words, with labels, without, and longer than the limit.
fn examples(count: usize) -> Vec<Example> {
    let words = [
        "the", "film", "is", "good", "bad", "snow", "story", "dull", "great", "movie",
    ];
    let sentence = |number: usize, length: usize| {
        let word = |place: usize| words[(number * 7 + place * place * 3 + place) % words.len()];
        (0..length).map(word).collect::<Vec<_>>().join(" ")
    };
    let example = |number: usize| Example {
        id: number as u64,
        text: Text {
            first: sentence(number, 1 + number % 23),
            second: number.is_multiple_of(5).then(|| sentence(number + 1, 3)),
        },
        label: (number % 4 < 3).then_some(Label::Class((number % 3) as u32)),
    };
    (0..count).map(example).collect()
}

const MAX_TOKENS: usize = 16;

fn tokenizer() -> TextTokenizer {
    TextTokenizer::open(&fixture("tiny-bert")).unwrap()
}

fn survey(examples: &[Example]) -> Survey {
    Survey::of(examples.iter().cloned().map(Ok::<_, TextError>)).unwrap()
}

fn store(
    folder: &Path,
    header: &SetHeader,
    examples: &[Example],
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<EncodedSet, TrainError> {
    let mut rows = examples.iter().cloned().map(Ok);
    StoredSet::open_or_make(folder, header, &mut rows, &tokenizer(), go_on).map(EncodedSet::from)
}

fn header(examples: &[Example]) -> SetHeader {
    SetHeader::new(
        &survey(examples),
        &tokenizer().fingerprint().unwrap(),
        MAX_TOKENS,
    )
}

fn assert_same_set(stored: &EncodedSet, memory: &EncodedSet) {
    assert_eq!(stored.len(), memory.len());
    assert_eq!(stored.lengths(), memory.lengths());
    assert_eq!(stored.ids(), memory.ids());
    assert_eq!(stored.labels(), memory.labels());
    let last = memory.len() - 1;
    for rows in [
        vec![0],
        vec![last, 0, 5, 5],
        (0..last.min(60)).rev().collect(),
    ] {
        let (a, b) = (stored.batch(&rows), memory.batch(&rows));
        assert_eq!(
            (&a.ids, &a.segments, &a.places),
            (&b.ids, &b.segments, &b.places)
        );
        assert_eq!(
            a.starts.lengths().collect::<Vec<_>>(),
            b.starts.lengths().collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_set_on_disk_equals_one_in_memory_also_when_made_in_pieces() {
    // More rows than two chunks, so that an interruption leaves some.
    let examples = examples(20_000);
    let memory = EncodedSet::new(&examples, &tokenizer(), MAX_TOKENS).unwrap();
    let header = header(&examples);
    let folder = tempfile::tempdir().unwrap();
    let mut calls = 0;
    let stopped = store(folder.path(), &header, &examples, &mut |_| {
        calls += 1;
        calls < 2
    });
    assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
    // A kill in the middle of a write leaves torn tails: of the tokens, and of both.
    for (tokens, rows) in [(5, 0), (3, 7)] {
        for (name, cut) in [("tokens.u32", tokens), ("rows.bin", rows)] {
            let path = folder.path().join(name);
            let bytes = fs_err::read(&path).unwrap();
            fs_err::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        }
        let mut made = Vec::new();
        let stored = store(folder.path(), &header, &examples, &mut |done| {
            made.push(done);
            true
        });
        assert_same_set(&stored.unwrap(), &memory);
        assert!(!made.is_empty(), "what was torn is made again");
        assert!(made[0] > 8192, "what is whole is kept: {made:?}");
    }
    let mut never = |_| panic!("nothing is missing");
    assert_same_set(
        &store(folder.path(), &header, &examples, &mut never).unwrap(),
        &memory,
    );
}

#[test]
fn a_set_on_disk_of_something_else_is_refused() {
    let given = examples(40);
    let folder = tempfile::tempdir().unwrap();
    let go_on = &mut |_| true;
    store(folder.path(), &header(&given), &given, go_on).unwrap();
    let mut relabelled = given.clone();
    relabelled[8].label = None;
    let mut retold = given.clone();
    retold[7].text.first.push('!');
    let mut longer = header(&given);
    longer.max_tokens += 1;
    for (header, expected) in [
        (header(&relabelled), "labels"),
        (header(&retold), "texts"),
        (longer, "max-tokens"),
        (header(&given[..39]), "texts"),
    ] {
        let refused = store(folder.path(), &header, &given, go_on);
        assert!(
            matches!(&refused, Err(TrainError::SetMismatch { what, .. }) if *what == expected),
            "{expected}: {refused:?}"
        );
    }
    // Fewer rows than there were: the files changed while they were read.
    let other = tempfile::tempdir().unwrap();
    let refused = store(other.path(), &header(&given), &given[..30], go_on);
    assert!(matches!(refused, Err(TrainError::Damaged { .. })));
    let bytes = fs_err::read(folder.path().join("tokens.u32")).unwrap();
    fs_err::write(
        folder.path().join("tokens.u32"),
        [&bytes[..], b"more"].concat(),
    )
    .unwrap();
    // Rows beyond what the records tell are cut off.
    let memory = EncodedSet::new(&given, &tokenizer(), MAX_TOKENS).unwrap();
    assert_same_set(
        &store(folder.path(), &header(&given), &given, go_on).unwrap(),
        &memory,
    );
}

/// Where the training set is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Memory,
    Disk,
}

/// Distils on labels of two teachers; returns losses and the last model's bytes.
fn run_in(folder: &Path, place: Place, stop_after: Option<u64>) -> (Option<Vec<u8>>, Watcher) {
    let given = examples(60);
    let memory = EncodedSet::new(&given, &tokenizer(), MAX_TOKENS).unwrap();
    let set = match place {
        Place::Memory => memory.clone(),
        Place::Disk => store(&folder.join("set"), &header(&given), &given, &mut |_| true).unwrap(),
    };
    let dev: Vec<Example> = given
        .iter()
        .filter(|e| e.label.is_some())
        .cloned()
        .collect();
    let dev = EncodedSet::new(&dev, &tokenizer(), MAX_TOKENS).unwrap();
    let model = open("tiny-bert");
    let config = ObjectiveConfig::HardTeacherLabels(HardTeacherLabelsConfig::default());
    let objective = WeightedSum::new(&[config], &Pair::alone(&model)).unwrap();
    let member =
        |name: &str| Box::new(LiveTeacher::new(open(name), set.clone())) as Box<dyn Teacher>;
    let members = vec![member("tiny-bert-teacher"), member("tiny-bert")];
    let teacher = EnsembleTeacher::new(members, Average::Probabilities);
    let config = TrainConfig {
        epochs: 2.0,
        batch_size: 8,
        learning_rate: 2e-3,
        evaluate_every: 3,
        ..TrainConfig::default()
    };
    let run = Run {
        train: &set,
        dev: &dev,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: Some(&teacher),
        config: &config,
        seed: 3,
    };
    let mut watcher = Watcher::stopping_after(stop_after);
    let result = train_in(folder, &model, &run, &mut watcher);
    assert_eq!(result.is_ok(), stop_after.is_none(), "{result:?}");
    (result.ok().map(|_| last_bytes(folder)), watcher)
}

#[test]
fn training_from_disk_equals_training_from_memory_on_any_threads_and_after_a_stop() {
    let in_pool = |threads: usize, place: Place| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let (last, watcher) = pool.unwrap().install(|| run_in(folder.path(), place, None));
        (last.unwrap(), watcher.losses())
    };
    let expected = in_pool(1, Place::Memory);
    assert!(expected == in_pool(1, Place::Disk));
    assert!(expected == in_pool(3, Place::Disk));
    for stop in [1, 6, 11] {
        let folder = tempfile::tempdir().unwrap();
        let (_, before) = run_in(folder.path(), Place::Disk, Some(stop));
        let (last, after) = run_in(folder.path(), Place::Disk, None);
        assert_eq!([before.losses(), after.losses()].concat(), expected.1);
        assert!(last.unwrap() == expected.0, "stopped after {stop}");
    }
}

#[test]
fn an_ensemble_answers_with_its_members_average_and_shows_nothing_inside() {
    let set = EncodedSet::new(&examples(12), &tokenizer(), MAX_TOKENS).unwrap();
    let names = ["tiny-bert-teacher", "tiny-bert"];
    let live = |name: &str| LiveTeacher::new(open(name), set.clone());
    let chosen = [3, 0, 11];
    let answer = |teacher: &dyn Teacher| {
        let logits = teacher.signal(&chosen, Needs::NOTHING).unwrap().logits;
        logits.to_vec2::<f32>().unwrap()
    };
    let alone = names.map(|name| answer(&live(name)));
    for average in [Average::Logits, Average::Probabilities] {
        let members = names.map(|name| Box::new(live(name)) as Box<dyn Teacher>);
        let ensemble = EnsembleTeacher::new(members.into(), average);
        assert_eq!(ensemble.provides(), Needs::NOTHING);
        for (row, found) in answer(&ensemble).iter().enumerate() {
            assert_eq!(*found, average.of(&[&alone[0][row], &alone[1][row]]));
        }
    }
}

#[test]
fn numbers_are_averaged_themselves_whatever_the_average() {
    for average in [Average::Logits, Average::Probabilities] {
        assert_eq!(average.of(&[&[2.0], &[5.0]]), [3.5]);
    }
}

#[test]
fn the_teachers_labels_are_refused_in_a_regression() {
    let config = ObjectiveConfig::HardTeacherLabels(HardTeacherLabelsConfig::default());
    let fresh = |target: &Target| {
        let config = open("tiny-bert").config().clone();
        SentenceClassifier::fresh(config, target, 0, &Device::Cpu).unwrap()
    };
    let model = fresh(&Target::Regression);
    let refused = WeightedSum::new(&[config], &Pair::alone(&model))
        .err()
        .unwrap();
    insta::assert_snapshot!(refused, @"`hard-teacher-labels`: found a regression, expected labels; for numbers use `logit-mse`");
}
