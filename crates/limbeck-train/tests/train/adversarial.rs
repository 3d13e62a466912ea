//! AD², FreeLB and SMART: against PyTorch (`scripts/reference/adversarial_steps.py`), finite differences, and what
//! sharing passes, resuming, threads and packing must not change.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var, safetensors};
use limbeck_model::{
    Batch, BiLstmConfig, EmbeddingMode, Needs, SentenceClassifier, Target, write_tensors,
};
use limbeck_ops::{Learning, Pass, backward, backward_to_inputs};
use limbeck_text::{Label, Metric};
use limbeck_train::{
    Ad2, Ad2Config, BallConfig, DeltaConfig, EncodedSet, Lesson, Norm, ObjectiveConfig, Pair, Run,
    Signal, Smart, SoftTargetsConfig, Span, StartConfig, Step, StepConfig, StepKeys, Teacher,
    TrainConfig, TrainError, UnitConfig, WeightedSum,
};
use serde_json::{Value, json};

use crate::common::{Watcher, encodings, fixture, labels, last_bytes, open, read_json, train_in};

fn list<T>(value: &Value, item: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(item).collect()
}

/// The first sentences of `training/data.json` with labels for so many outputs; with one, a regression's scores.
fn sentences(count: usize, outputs: usize) -> EncodedSet {
    let labels = labels().into_iter().take(count).map(|label| {
        Some(match outputs {
            1 => Label::Score(label as f32),
            _ => Label::Class(label % outputs as u32),
        })
    });
    EncodedSet::from_parts(
        encodings().into_iter().take(count).collect(),
        (0..count as u64).collect(),
        labels.collect(),
    )
}

/// `tiny-bert` with some keys of its configuration changed, and the first of its three outputs; one is a regression.
fn tiny_bert(changes: &Value, outputs: usize) -> SentenceClassifier {
    let folder = tempfile::tempdir().unwrap();
    let mut config = read_json("tiny-bert/config.json");
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let path = fixture("tiny-bert/model.safetensors");
    let mut tensors = safetensors::load(path, &Device::Cpu).unwrap();
    for name in ["classifier.weight", "classifier.bias"] {
        let first = tensors[name].narrow(0, 0, outputs).unwrap();
        tensors.insert(name.into(), first.contiguous().unwrap());
    }
    if outputs == 1 {
        config["problem_type"] = json!("regression");
    }
    for label in outputs..3 {
        let name = config["id2label"][label.to_string()].take();
        for (map, key) in [
            ("id2label", label.to_string()),
            ("label2id", name.to_string()),
        ] {
            let map = config[map].as_object_mut().unwrap();
            map.remove(key.trim_matches('"'));
        }
    }
    fs_err::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let named = tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
    write_tensors(&folder.path().join("model.safetensors"), named).unwrap();
    SentenceClassifier::open(folder.path(), None, 0, &Device::Cpu).unwrap()
}

fn with_dropout() -> Value {
    json!({ "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1 })
}

fn bi_lstm() -> SentenceClassifier {
    let config = BiLstmConfig {
        vocabulary_size: 60,
        embedding_size: 12,
        embedding_mode: EmbeddingMode::Multichannel,
        layer_count: 1,
        hidden_size: 10,
        head_size: 14,
        dropout: 0.1,
        target: None,
    };
    let names = ["negative", "neutral", "positive"].map(str::to_owned);
    let config = limbeck_model::ModelConfig::BiLstm(config);
    SentenceClassifier::fresh(config, &Target::Labels(names.to_vec()), 4, &Device::Cpu).unwrap()
}

/// The first logits of `tiny-bert-teacher`.
struct Logits(Tensor);

impl Logits {
    fn of(set: &EncodedSet, outputs: usize) -> Self {
        let model = open("tiny-bert-teacher");
        let rows: Vec<usize> = (0..set.len()).collect();
        let output = model.forward(&set.batch(&rows), Needs::NOTHING, &Pass::EVALUATE);
        let logits = output.unwrap().logits;
        Self(logits.narrow(1, 0, outputs).unwrap().contiguous().unwrap())
    }
}

impl Teacher for Logits {
    fn provides(&self) -> Needs {
        Needs::NOTHING
    }

    fn signal(&self, rows: &[usize], _: Needs) -> Result<Signal, TrainError> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        Ok(Signal {
            logits: self.0.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?,
            hidden: Vec::new(),
            attention: Vec::new(),
        })
    }
}

/// All that a run needs, built from settings as in a run file.
struct Scene {
    student: SentenceClassifier,
    set: EncodedSet,
    teacher: Logits,
    objective: WeightedSum,
    step: Box<dyn Step>,
    config: TrainConfig,
}

impl Scene {
    fn new(student: SentenceClassifier, count: usize, objective: &Value, step: &Value) -> Self {
        let outputs = match student.target() {
            Target::Regression => 1,
            Target::Labels(labels) => labels.len(),
        };
        let set = sentences(count, outputs);
        let pair = Pair::alone(&student);
        let objectives: Vec<ObjectiveConfig> = serde_json::from_value(objective.clone()).unwrap();
        let objective = WeightedSum::new(&objectives, &pair).unwrap();
        let step: StepConfig = serde_json::from_value(step.clone()).unwrap();
        let step = step.build(&pair).unwrap();
        Self {
            teacher: Logits::of(&set, outputs),
            config: TrainConfig::default(),
            student,
            set,
            objective,
            step,
        }
    }

    fn run(&self) -> Run<'_> {
        Run {
            train: &self.set,
            dev: &self.set,
            metrics: &[Metric::Accuracy],
            objective: &self.objective,
            step: &*self.step,
            teacher: Some(&self.teacher),
            config: &self.config,
            seed: 3,
        }
    }

    /// Calls `work` with a lesson of the given rows out of all.
    fn lesson<R>(&self, rows: &[usize], work: impl FnOnce(&Lesson<'_>) -> R) -> R {
        let keys = StepKeys {
            epoch: 0,
            step: 5,
            dropout: 77,
        };
        let run = self.run();
        work(&Lesson::new(
            &self.student,
            &run,
            rows,
            self.set.len(),
            keys,
        ))
    }

    fn all(&self) -> Vec<usize> {
        (0..self.set.len()).collect()
    }

    /// Every parameter's gradient, which is forgotten.
    fn take_gradients(&self) -> BTreeMap<String, Tensor> {
        let mut found = BTreeMap::new();
        for slot in self.student.slots() {
            if let Some(gradient) = slot.parameter.gradient_tensor().unwrap() {
                found.extend(slot.split(&gradient).unwrap());
            }
            slot.parameter.clear_gradient();
        }
        found
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    tensor.to_vec1().unwrap()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Fails when values differ by more than `tolerance` of the expected ones' root mean square (at least `least`).
fn check(what: &str, actual: &[f64], expected: &[f64], tolerance: f64, least: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let square = expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64;
    let size = square.sqrt().max(least);
    for (a, b) in actual.iter().zip(expected) {
        let off = (a - b).abs() / size;
        assert!(
            off < tolerance,
            "{what}: {a:e} for {b:e}, off by {off:e} of {size:e}"
        );
    }
}

fn check_close(what: &str, actual: f64, expected: f64, tolerance: f64) {
    let off = (actual / expected - 1.0).abs();
    assert!(
        off < tolerance,
        "{what}: {actual} for {expected}, off by {off:e}"
    );
}

fn check_case(case: &Value) {
    let name = case["name"].as_str().unwrap();
    let path = fixture(&format!("adversarial/{name}.safetensors"));
    let expected: BTreeMap<_, _> = safetensors::load(path, &Device::Cpu)
        .unwrap()
        .into_iter()
        .collect();
    let outputs = if name.ends_with("regression") { 1 } else { 3 };
    let student = tiny_bert(&json!({}), outputs);
    let scene = Scene::new(student, 8, &case["objective"], &case["step"]);
    scene.lesson(&scene.all(), |lesson| {
        check_perturbation(name, lesson, case, &expected);
        let loss = scene.step.accumulate(lesson).unwrap().loss;
        check_close(name, loss, case["loss"].as_f64().unwrap(), 1e-5);
    });
    let gradients = scene.take_gradients();
    let squares = gradients.values().flat_map(flat).map(|v| v * v);
    let norm = squares.sum::<f64>().sqrt();
    check_close(
        &format!("{name}: norm"),
        norm,
        case["gradient_norm"].as_f64().unwrap(),
        1e-4,
    );
    let mut seen = 0;
    for (parameter, expected) in &expected {
        if let Some(parameter) = parameter.strip_prefix("grad.") {
            let what = format!("{name}: gradient of {parameter}");
            check(
                &what,
                &flat(&gradients[parameter]),
                &flat(expected),
                2e-4,
                1e-3,
            );
            seen += 1;
        }
    }
    assert!(
        seen == 0 || seen == gradients.len(),
        "{name}: {seen} gradients"
    );
}

fn check_perturbation(
    name: &str,
    lesson: &Lesson<'_>,
    case: &Value,
    expected: &BTreeMap<String, Tensor>,
) {
    let regression = *lesson.student.target() == Target::Regression;
    let delta = match serde_json::from_value(case["step"].clone()).unwrap() {
        StepConfig::Ad2(config) => {
            let step = Ad2::new(config, regression).unwrap();
            if config.start == StartConfig::Zero {
                let width = expected["delta"].dim(1).unwrap();
                let zeros = StartConfig::Zero.draw(&lesson.batch, width, 0);
                let gradient = step.gradient_at(lesson, &zeros, 0).unwrap();
                let what = format!("{name}: gradient of the perturbation");
                let expected = flat(&expected["start_gradient"]);
                check(&what, &wide(gradient.values()), &expected, 1e-4, 0.0);
            }
            step.perturbation(lesson).unwrap()
        }
        StepConfig::Smart(config) => {
            let step = Smart::new(config, regression).unwrap();
            Some(step.perturbation(lesson).unwrap())
        }
        _ => return,
    };
    let Some(delta) = delta else {
        assert!(flat(&expected["delta"]).iter().all(|&v| v == 0.0));
        return;
    };
    let what = format!("{name}: perturbation");
    check(
        &what,
        &wide(delta.values()),
        &flat(&expected["delta"]),
        1e-4,
        0.0,
    );
}

#[test]
fn single_steps_match_pytorch() {
    for case in read_json("adversarial/steps.json")["cases"]
        .as_array()
        .unwrap()
    {
        check_case(case);
    }
}

fn play(
    folder: &Path,
    scene: &Scene,
    stop_after: Option<u64>,
) -> (Result<(), TrainError>, Watcher) {
    let mut watcher = Watcher::stopping_after(stop_after);
    let result = train_in(folder, &scene.student, &scene.run(), &mut watcher);
    (result.map(|_| ()), watcher)
}

#[test]
fn training_follows_pytorch() {
    let reference = read_json("adversarial/training.json");
    let steps = reference["steps"].as_u64().unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let student = tiny_bert(&json!({}), 3);
        let mut scene = Scene::new(student, 8, &case["objective"], &case["step"]);
        // Each batch is the whole set, so the order of rows does not matter.
        scene.config = TrainConfig {
            epochs: steps as f64,
            batch_size: 8,
            learning_rate: reference["learning_rate"].as_f64().unwrap(),
            ..TrainConfig::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let (result, watcher) = play(folder.path(), &scene, None);
        result.unwrap();
        let floats = |key: &str| list(&case[key], |v| v.as_f64().unwrap());
        let name = case["name"].as_str().unwrap();
        assert_eq!(watcher.events.len() as u64, steps);
        let rows = watcher.events.iter().zip(floats("losses"));
        for (step, (event, expected)) in rows.enumerate() {
            check_close(
                &format!("{name}: loss of step {step}"),
                event.loss,
                expected,
                1e-3,
            );
        }
        let rows = watcher.events.iter().zip(floats("gradient_norms"));
        for (step, (event, expected)) in rows.enumerate() {
            check_close(
                &format!("{name}: norm of step {step}"),
                event.gradient_norm,
                expected,
                1e-3,
            );
        }
    }
}

fn both() -> Value {
    json!([{ "hard-labels": {} }, { "soft-targets": {} }])
}

fn students() -> [(&'static str, SentenceClassifier); 2] {
    [
        ("tiny-bert", tiny_bert(&with_dropout(), 3)),
        ("BiLSTM", bi_lstm()),
    ]
}

#[test]
fn the_perturbations_gradient_is_that_of_finite_differences() {
    for (name, student) in students() {
        let scene = Scene::new(student, 8, &both(), &json!("plain"));
        scene.lesson(&scene.all(), |lesson| {
            let ad2 = Ad2::new(Ad2Config::default(), false).unwrap();
            let batch = &lesson.batch;
            let embeddings = lesson.student.embed(batch, &Pass::EVALUATE).unwrap();
            let width = embeddings.dim(1).unwrap();
            let noise = |deviation, key| StartConfig::Normal { deviation }.draw(batch, width, key);
            let delta = noise(0.1, 8);
            let gradient = ad2.gradient_at(lesson, &delta, 0).unwrap();
            let teacher = lesson.signal().unwrap().unwrap().logits;
            let phi = |delta: &limbeck_train::Perturbation| {
                let leaf = (&embeddings + delta.tensor(&Device::Cpu).unwrap()).unwrap();
                let output = lesson
                    .student
                    .forward_embedded(batch, &leaf, Needs::NOTHING, &lesson.pass())
                    .unwrap();
                let (student, teacher) = (flat(&output.logits), flat(&teacher));
                let rows = student.chunks(3).zip(teacher.chunks(3));
                rows.map(|(s, t)| divergence(s, t)).sum::<f64>()
            };
            for key in 0..4 {
                let direction = noise(1.0, 100 + key);
                let along = |step: f64| {
                    let mut moved = delta.clone();
                    moved.advance(&direction, step);
                    phi(&moved)
                };
                let step = 2e-3;
                let measured = (along(step) - along(-step)) / (2.0 * step);
                let pairs = gradient.values().iter().zip(direction.values());
                let expected: f64 = pairs.map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
                let size = gradient
                    .norms(Span::Token, Norm::L2)
                    .iter()
                    .map(|n| n * n)
                    .sum::<f64>();
                let off = (measured - expected).abs() / size.sqrt();
                assert!(
                    off < 2e-3,
                    "{name}: {measured} for {expected}, off by {off:e}"
                );
            }
        });
    }
}

/// `KL(softmax(teacher) ‖ softmax(student))`.
fn divergence(student: &[f64], teacher: &[f64]) -> f64 {
    let log_softmax = |z: &[f64]| -> Vec<f64> {
        let total = z.iter().map(|v| v.exp()).sum::<f64>().ln();
        z.iter().map(|v| v - total).collect()
    };
    let (s, t) = (log_softmax(student), log_softmax(teacher));
    t.iter().zip(&s).map(|(t, s)| t.exp() * (t - s)).sum()
}

#[test]
fn a_backward_pass_to_the_inputs_leaves_parameters_alone() {
    let set = sentences(6, 3);
    let batch = set.batch(&[0, 1, 2, 3, 4, 5]);
    let families = ["tiny-bert", "tiny-roberta", "tiny-distilbert", "tiny-mpnet"].map(|name| {
        let model = open(name);
        (name, model)
    });
    for (name, model) in families.into_iter().chain([("BiLSTM", bi_lstm())]) {
        for attention in [false, true] {
            if attention && name == "BiLSTM" {
                continue;
            }
            check_inputs_alone(
                &format!("{name}, attention {attention}"),
                &model,
                &batch,
                attention,
            );
        }
    }
}

fn check_inputs_alone(name: &str, model: &SentenceClassifier, batch: &Batch, attention: bool) {
    let key = batch.dropout(9);
    let needs = Needs {
        attention,
        ..Needs::NOTHING
    };
    let embeddings = model.embed(batch, &Pass::EVALUATE).unwrap();
    let leaf = Var::from_tensor(&embeddings).unwrap().into_inner();
    let loss = |pass: &Pass| {
        let output = model.forward_embedded(batch, &leaf, needs, pass).unwrap();
        output.logits.sqr().unwrap().sum_all().unwrap()
    };
    let gradients = || -> Vec<Option<Vec<f64>>> {
        let parameters = model.parameters();
        let found = parameters.iter().map(|parameter| {
            let gradient = parameter.gradient_tensor().unwrap();
            parameter.clear_gradient();
            gradient.map(|g| flat(&g))
        });
        found.collect()
    };
    let learning = Pass::train(key.clone());
    let frozen = Pass {
        learning: Learning::Off,
        ..learning.clone()
    };
    let expected_input = flat(loss(&frozen).backward().unwrap().get(&leaf).unwrap());
    assert!(gradients().iter().all(Option::is_none), "{name}: frozen");
    let store = backward(&loss(&learning), &model.parameters()).unwrap();
    assert_eq!(
        flat(store.get(&leaf).unwrap()),
        expected_input,
        "{name}: both"
    );
    let expected = gradients();
    assert!(expected.iter().any(Option::is_some));

    // One graph: inputs alone, then all, then inputs alone.
    let shared = loss(&learning);
    let alone = backward_to_inputs(&shared).unwrap();
    assert_eq!(
        flat(alone.get(&leaf).unwrap()),
        expected_input,
        "{name}: first"
    );
    assert!(
        gradients().iter().all(Option::is_none),
        "{name}: parameters were reached"
    );
    let store = backward(&shared, &model.parameters()).unwrap();
    assert_eq!(
        flat(store.get(&leaf).unwrap()),
        expected_input,
        "{name}: second"
    );
    assert_eq!(gradients(), expected, "{name}: parameters");
    backward_to_inputs(&shared).unwrap();
    assert!(
        gradients().iter().all(Option::is_none),
        "{name}: parameters were reached again"
    );
}

/// The step as its equation reads: a plain step, and the adversarial loss with a look-up of its own.
fn unshared(scene: &Scene, lesson: &Lesson<'_>, config: Ad2Config) {
    let (student, batch) = (&scene.student, &lesson.batch);
    let parameters = student.parameters();
    let pass = lesson.pass();
    let signal = lesson.signal().unwrap();
    let regression = *student.target() == Target::Regression;
    let delta = Ad2::new(config, regression)
        .unwrap()
        .perturbation(lesson)
        .unwrap();
    let output = student.forward(batch, lesson.needs(), &pass).unwrap();
    let (loss, _) = lesson.objectives(&output, signal.as_ref(), &pass).unwrap();
    lesson.backward(&loss, &parameters).unwrap();

    let pass = lesson.another_pass(config.steps as u64);
    let mut embeddings = student.embed(batch, &pass).unwrap();
    if let Some(delta) = delta {
        embeddings = (embeddings + delta.tensor(&Device::Cpu).unwrap()).unwrap();
    }
    let output = student
        .forward_embedded(batch, &embeddings, Needs::NOTHING, &pass)
        .unwrap();
    let soft = ObjectiveConfig::SoftTargets(SoftTargetsConfig {
        weight: config.weight,
        ..SoftTargetsConfig::default()
    });
    let soft = WeightedSum::new(&[soft], &Pair::alone(student)).unwrap();
    let (loss, _) = soft
        .loss(&output, signal.as_ref(), lesson.given(&pass))
        .unwrap();
    lesson.backward(&loss, &parameters).unwrap();
}

/// The parameters' gradients by the step, and by [`unshared`].
fn both_ways(student: SentenceClassifier, step: &Value) -> [BTreeMap<String, Tensor>; 2] {
    let scene = Scene::new(student, 8, &both(), step);
    let StepConfig::Ad2(config) = serde_json::from_value(step.clone()).unwrap() else {
        unreachable!()
    };
    // Half of the step's sentences, so that gradients are scaled.
    let rows = [0, 2, 3, 5];
    scene.lesson(&rows, |lesson| scene.step.accumulate(lesson).unwrap());
    let shared = scene.take_gradients();
    scene.lesson(&rows, |lesson| unshared(&scene, lesson, config));
    let expected = scene.take_gradients();
    assert_eq!(shared.len(), expected.len());
    [shared, expected]
}

fn deltas() -> impl Iterator<Item = Value> {
    let deltas = [
        json!("none"),
        json!("as-printed"),
        json!({ "unit": { "norm": "l2" } }),
        json!({ "ball": { "radius": 0.1, "step-size": 0.1, "over": "sentence" } }),
    ];
    let steps = |delta: Value| {
        [1, 2].map(|steps| json!({ "ad2": { "delta": delta, "steps": steps, "weight": 0.7 } }))
    };
    deltas.into_iter().flat_map(steps)
}

#[test]
fn sharing_the_clean_pass_changes_nothing() {
    for step in deltas() {
        for (name, student) in students() {
            let [shared, expected] = both_ways(student, &step);
            for (parameter, gradient) in &shared {
                let what = format!("{name}, {step}, {parameter}");
                let (actual, expected) = (flat(gradient), flat(&expected[parameter]));
                if parameter.contains("embedding") {
                    // Both passes' gradients go through the tables as one sum.
                    check(&what, &actual, &expected, 1e-5, 1e-6);
                } else {
                    assert_eq!(actual, expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn one_backward_pass_serves_two_losses_of_one_number() {
    for step in deltas() {
        for outputs in [1, 2] {
            let [shared, expected] = both_ways(tiny_bert(&with_dropout(), outputs), &step);
            for (parameter, gradient) in &shared {
                let what = format!("{outputs} outputs, {step}, {parameter}");
                // A key's bias moves all scores of a row alike: its gradient is rounding alone.
                check(
                    &what,
                    &flat(gradient),
                    &flat(&expected[parameter]),
                    1e-4,
                    1e-3,
                );
            }
        }
    }
}

#[test]
fn perturbations_have_the_norms_that_their_settings_say() {
    let scene = Scene::new(tiny_bert(&with_dropout(), 3), 8, &both(), &json!("plain"));
    let check_norms = |delta, start, steps, span, norm, expected: f64, exact: bool| {
        let config = Ad2Config {
            delta,
            start,
            steps,
            ..Ad2Config::default()
        };
        let delta = scene.lesson(&scene.all(), |lesson| {
            Ad2::new(config, false)
                .unwrap()
                .perturbation(lesson)
                .unwrap()
                .unwrap()
        });
        for size in delta.norms(span, norm) {
            assert!(size <= expected * (1.0 + 1e-6), "{config:?}: {size}");
            assert!(
                !exact || size >= expected * (1.0 - 1e-6),
                "{config:?}: {size}"
            );
        }
    };
    let ball = |radius, step_size, over| {
        DeltaConfig::Ball(BallConfig {
            radius,
            step_size,
            over,
        })
    };
    let unit = |norm| {
        DeltaConfig::Unit(UnitConfig {
            norm,
            step_size: 1e-3,
        })
    };
    let free = DeltaConfig::FreeLb(limbeck_train::FreeLbDeltaConfig::default());
    let (zero, noise) = (StartConfig::Zero, StartConfig::Normal { deviation: 1e-5 });
    let (token, sentence, l2) = (Span::Token, Span::Sentence, Norm::L2);
    check_norms(DeltaConfig::AsPrinted, zero, 1, token, l2, 1e-5, true);
    check_norms(DeltaConfig::AsPrinted, noise, 2, token, l2, 1e-5, true);
    check_norms(ball(0.1, 0.1, sentence), zero, 1, sentence, l2, 0.1, true);
    check_norms(ball(0.1, 0.03, sentence), zero, 1, sentence, l2, 0.03, true);
    check_norms(ball(0.1, 0.03, token), zero, 3, token, l2, 0.09, false);
    check_norms(ball(0.2, 0.3, token), noise, 1, token, l2, 0.2, true);
    check_norms(unit(l2), zero, 1, token, l2, 1.0, true);
    check_norms(unit(Norm::Max), noise, 1, token, Norm::Max, 1.0, true);
    check_norms(free, zero, 1, sentence, l2, 0.1, true);
    check_norms(free, zero, 9, sentence, l2, 0.3, false);
}

fn methods() -> [Value; 4] {
    [
        json!({ "ad2": {
            "delta": { "ball": { "radius": 0.2, "step-size": 0.1, "over": "token" } },
            "start": { "uniform": { "magnitude": 0.3 } }, "steps": 2,
        } }),
        json!({ "ad2": { "delta": { "unit": { "norm": "l2" } } } }),
        json!({ "free-lb": { "steps": 3, "max-norm": 0.2 } }),
        json!({ "smart": {} }),
    ]
}

/// Twelve steps on forty sentences.
fn small_run(student: SentenceClassifier, step: &Value) -> Scene {
    let mut scene = Scene::new(student, 32, &both(), step);
    scene.config = TrainConfig {
        epochs: 3.0,
        batch_size: 8,
        learning_rate: 2e-3,
        evaluate_every: 5,
        ..TrainConfig::default()
    };
    scene
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    for step in methods() {
        let whole = tempfile::tempdir().unwrap();
        let scene = small_run(tiny_bert(&with_dropout(), 3), &step);
        let (result, all) = play(whole.path(), &scene, None);
        result.unwrap();
        for stop in [1, 6, 11] {
            let folder = tempfile::tempdir().unwrap();
            let scene = small_run(tiny_bert(&with_dropout(), 3), &step);
            let (stopped, before) = play(folder.path(), &scene, Some(stop));
            assert!(matches!(stopped, Err(TrainError::Interrupted { .. })));
            let scene = small_run(tiny_bert(&with_dropout(), 3), &step);
            let (result, after) = play(folder.path(), &scene, None);
            result.unwrap();
            let joined = [before.losses(), after.losses()].concat();
            assert_eq!(joined, all.losses(), "{step}, stopped after {stop}");
            assert!(
                last_bytes(folder.path()) == last_bytes(whole.path()),
                "{step}"
            );
        }
    }
}

#[test]
fn threads_do_not_change_a_run() {
    for step in methods() {
        let run = |threads: usize, student: fn() -> SentenceClassifier| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let folder = tempfile::tempdir().unwrap();
                let (result, watcher) = play(folder.path(), &small_run(student(), &step), None);
                result.unwrap();
                (watcher.losses(), last_bytes(folder.path()))
            })
        };
        let bert = || tiny_bert(&with_dropout(), 3);
        assert!(run(1, bert) == run(2, bert), "{step}");
        assert!(run(1, bi_lstm) == run(2, bi_lstm), "{step}: BiLSTM");
    }
}

#[test]
fn a_batch_in_parts_gives_the_same_gradients() {
    for step in methods() {
        let scene = Scene::new(tiny_bert(&with_dropout(), 3), 8, &both(), &step);
        let whole = scene.lesson(&scene.all(), |lesson| {
            scene.step.accumulate(lesson).unwrap()
        });
        let expected = scene.take_gradients();
        let mut sum = limbeck_train::StepLoss::default();
        // In another order: draws and masks belong to examples, not to places in a batch.
        for rows in [vec![6, 1, 3], vec![0, 7], vec![4, 2, 5]] {
            scene.lesson(&rows, |lesson| {
                sum.add(scene.step.accumulate(lesson).unwrap(), lesson.share);
            });
        }
        check_close(&step.to_string(), sum.loss, whole.loss, 1e-5);
        assert_eq!(sum.tokens, whole.tokens);
        for (name, gradient) in scene.take_gradients() {
            let what = format!("{step}: {name}");
            check(&what, &flat(&gradient), &flat(&expected[&name]), 1e-3, 1e-3);
        }
    }
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let student = tiny_bert(&json!({}), 3);
    let message = |step: Value| {
        let step: StepConfig = serde_json::from_value(step).unwrap();
        step.build(&Pair::alone(&student))
            .err()
            .unwrap()
            .to_string()
    };
    insta::assert_snapshot!(message(json!({ "ad2": { "steps": 0 } })), @"`step.ad2.steps`: found 0, expected 1 or more");
    insta::assert_snapshot!(message(json!({ "ad2": { "delta": { "ball": { "radius": -1.0 } } } })), @"`step.delta.radius`: found -1, expected a number above 0");
    insta::assert_snapshot!(message(json!({ "free-lb": { "max-norm": -0.5 } })), @"`step.free-lb.max-norm`: found -0.5, expected a number of 0 or more");
    insta::assert_snapshot!(message(json!({ "smart": { "deviation": 0.0 } })), @"`step.smart.deviation`: found 0, expected a number above 0");
    assert!(serde_json::from_value::<StepConfig>(json!({ "ad2": { "alpha": 1.0 } })).is_err());

    let scene = Scene::new(
        tiny_bert(&json!({}), 3),
        8,
        &json!([{ "hard-labels": {} }]),
        &json!({ "ad2": {} }),
    );
    let alone = Run {
        teacher: None,
        ..scene.run()
    };
    insta::assert_snapshot!(alone.check().unwrap_err(), @"objective `ad2` learns from a teacher, and there is none; run `limbeck distill` with one, or remove the objective");
    let step = json!({ "ad2": { "maps": "both" } });
    let scene = Scene::new(tiny_bert(&json!({}), 3), 8, &both(), &step);
    insta::assert_snapshot!(scene.run().check().unwrap_err(), @"`step.ad2.maps`: found both, but no objective on hidden states or attention, expected such an objective, or clean");
}
