//! MATE-KD and CILDA against PyTorch (`scripts/reference/min_max_steps.py`), and what alternation must not change.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use limbeck_model::{
    BiLstmStudent, Encoding, Input, MaskedLanguageModel, Needs, SentenceClassifier, StudentConfig,
    TextTokenizer,
};
use limbeck_ops::{Parameter, Pass, backward};
use limbeck_text::{Label, Metric, Text};
use limbeck_train::{
    Beside, CildaConfig, Divergence, DivergenceKind, EncodedSet, GeneratorConfig,
    GeneratorModelConfig, Given, LiveTeacher, Masked, MateKdConfig, MinMax, Observer, Pair, Passes,
    Run, Schedule, Step, StepConfig, StepEvent, Teacher, TrainConfig, TrainError, WeightedSum,
    Whole, contrastive_loss, cosines, gumbel,
};
use serde_json::Value;

use crate::common::{
    Watcher, fixture, last_bytes, open, read_json, read_tensors, train_in, training_set,
};

fn reference() -> Value {
    read_json("min_max/reference.json")
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    read_tensors(&format!("min_max/{name}.safetensors"))
}

fn tokenizer(name: &str) -> TextTokenizer {
    TextTokenizer::open(&fixture(name)).unwrap()
}

/// Student, teacher and generator with what tells their tokens apart.
struct Company {
    student: SentenceClassifier,
    teacher: SentenceClassifier,
    generator: MaskedLanguageModel,
    tokenizer: TextTokenizer,
    generator_tokenizer: TextTokenizer,
}

impl Company {
    fn new() -> Self {
        Self {
            student: open("tiny-bert"),
            teacher: open("tiny-bert-teacher"),
            generator: MaskedLanguageModel::open(&fixture("tiny-bert-mlm"), &Device::Cpu).unwrap(),
            tokenizer: tokenizer("tiny-bert"),
            generator_tokenizer: tokenizer("tiny-bert-mlm"),
        }
    }

    fn pair(&self) -> Pair<'_> {
        Pair {
            student: &self.student,
            teacher: Some(&self.teacher),
            seed: 3,
        }
    }

    fn beside(&self) -> Beside<'_> {
        Beside {
            generator: Some((&self.generator, &self.generator_tokenizer)),
            student_tokenizer: Some(&self.tokenizer),
            teacher_tokenizer: Some(&self.tokenizer),
        }
    }

    fn mate_kd(&self, divergence: DivergenceKind) -> MinMax {
        let config = MateKdConfig {
            generator: Some(model(2)),
            divergence,
            ..MateKdConfig::default()
        };
        config.build(&self.pair(), self.beside()).unwrap()
    }

    /// CILDA with the projections of the reference.
    fn cilda(&self) -> MinMax {
        let config = CildaConfig {
            generator: Some(model(2)),
            projection_size: 8,
            ..CildaConfig::default()
        };
        let step = config.build(&self.pair(), self.beside()).unwrap();
        let given = tensors("inputs");
        for parameter in step.parameters() {
            parameter.set(&given[parameter.name()]).unwrap();
        }
        step
    }
}

fn model(steps: u64) -> GeneratorConfig {
    GeneratorConfig::Model(GeneratorModelConfig {
        steps,
        ..GeneratorModelConfig::new("tiny-bert-mlm")
    })
}

/// The six texts of `tiny-bert/reference.json`.
fn texts() -> EncodedSet {
    let reference = read_json("tiny-bert/reference.json");
    let ids: Vec<Vec<u32>> = numbers(&reference["ids"]);
    let segments: Vec<Vec<u32>> = numbers(&reference["segments"]);
    let labels: Vec<u32> = numbers(&reference["labels"]);
    let encodings = ids.into_iter().zip(segments);
    EncodedSet::from_parts(
        encodings
            .map(|(ids, segments)| Encoding { ids, segments })
            .collect(),
        (0..6).collect(),
        labels.into_iter().map(|l| Some(Label::Class(l))).collect(),
    )
}

/// The reference's gaps in the six texts.
fn gaps() -> Masked {
    let mut batch = texts().batch(&[0, 1, 2, 3, 4, 5]);
    let rows: Vec<u32> = numbers(&reference()["gaps"]);
    let mut ids = batch.ids.to_vec();
    for &row in &rows {
        ids[row as usize] = 4;
    }
    batch.ids = ids.into();
    let names = rows.iter().map(|&row| u64::from(row)).collect();
    Masked { batch, rows, names }
}

fn largest(tensor: &Tensor) -> f64 {
    let all = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    let values = all.to_vec1::<f64>().unwrap();
    values.into_iter().fold(0.0, |a, b| a.max(b.abs()))
}

/// Gradients by the names of a checkpoint's tensors agree, to 1e-5 of the largest of all.
fn check_gradients(slots: &[limbeck_model::Slot], others: &[Parameter], expected: &str) {
    let expected = tensors(expected);
    let mut found = BTreeMap::new();
    for slot in slots {
        if let Some(gradient) = slot.parameter.gradient_tensor().unwrap() {
            found.extend(slot.split(&gradient).unwrap());
        }
    }
    for parameter in others {
        if let Some(gradient) = parameter.gradient_tensor().unwrap() {
            found.insert(parameter.name().to_owned(), gradient);
        }
    }
    let scale = expected.values().map(largest).fold(0.0, f64::max);
    assert!(scale > 1e-2, "{scale}");
    for (name, expected) in &expected {
        let error = match found.get(name) {
            Some(found) => largest(&(found - expected).unwrap()),
            None => largest(expected),
        };
        assert!(error <= 1e-5 * scale, "{name}: {error:e} of {scale}");
    }
}

fn check_value(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{found}, PyTorch {expected}"
    );
}

fn check_generators_step(company: &Company, step: &MinMax, name: &str) {
    let without = &Pass::train_without_dropout();
    let passes = Passes {
        generator: without,
        student: without,
    };
    let noise = &tensors("inputs")["noise"];
    let found = step
        .maximise(&company.student, (&gaps(), noise), passes, Whole::Yes, 1.0)
        .unwrap();
    let expected = &reference()[name];
    check_value(found.loss, &expected["loss"], 1e-5);
    check_value(
        found.terms["generator-divergence"],
        &expected["divergence"],
        1e-5,
    );
    check_gradients(company.generator.slots(), &[], name);
    for parameter in [
        company.student.parameters(),
        step.parameters(),
        company.teacher.parameters(),
    ]
    .concat()
    {
        assert!(
            parameter.gradient_tensor().unwrap().is_none(),
            "{}",
            parameter.name()
        );
    }
}

#[test]
fn the_generators_gradients_pass_through_both_models_as_in_pytorch() {
    for (kind, name) in [
        (DivergenceKind::Kl, "generator_kl"),
        (DivergenceKind::CrossEntropy, "generator_cross_entropy"),
    ] {
        let company = Company::new();
        check_generators_step(&company, &company.mate_kd(kind), name);
    }
    let company = Company::new();
    check_generators_step(&company, &company.cilda(), "generator_cilda");
    // The two divergences give the student one gradient and the generator two.
    let (kl, entropy) = (tensors("generator_kl"), tensors("generator_cross_entropy"));
    let name = "cls.predictions.bias";
    assert!(largest(&(&kl[name] - &entropy[name]).unwrap()) > 0.1 * largest(&kl[name]));
}

fn check_students_step(company: &Company, step: &MinMax, config: &StepConfig, name: &str) {
    let pass = &Pass::train_without_dropout();
    let (set, rows) = (texts(), [0, 1, 2, 3, 4, 5]);
    let batch = set.batch(&rows);
    let objective = WeightedSum::new(&config.usual_objectives(), &company.pair()).unwrap();
    let teacher = LiveTeacher::new(company.teacher.clone(), set.clone());
    let signal = teacher.signal(&rows, Needs::NOTHING).unwrap();
    let output = company
        .student
        .forward(&batch, Needs::NOTHING, pass)
        .unwrap();
    let given = Given {
        labels: &set.labels(),
        ids: &set.ids(),
        starts: &batch.starts,
        epoch: 0,
        pass,
    };
    let (clean, _) = objective.loss(&output, Some(&signal), given).unwrap();
    let expected = &reference()[name];
    let chosen: Vec<u32> = numbers(&reference()["chosen"]);
    let written = gaps().filled(&chosen);
    let (loss, terms) = step
        .on_written(&company.student, &written, pass, Whole::Yes)
        .unwrap();
    let total = (clean + loss).unwrap();
    let parameters = [company.student.parameters(), step.parameters()].concat();
    backward(&total, &parameters).unwrap();
    check_value(
        f64::from(total.to_scalar::<f32>().unwrap()),
        &expected["loss"],
        1e-5,
    );
    for (term, key) in [
        ("written-divergence", "divergence"),
        ("contrastive", "contrastive"),
    ] {
        if let Some((_, value)) = terms.iter().find(|(name, _)| *name == term) {
            check_value(*value, &expected[key], 1e-5);
        }
    }
    check_gradients(company.student.slots(), &step.parameters(), name);
    for parameter in [company.generator.parameters(), company.teacher.parameters()].concat() {
        assert!(
            parameter.gradient_tensor().unwrap().is_none(),
            "{}",
            parameter.name()
        );
    }
}

#[test]
fn the_students_gradients_are_pytorchs() {
    let company = Company::new();
    let step = company.mate_kd(DivergenceKind::Kl);
    let config = StepConfig::MateKd(MateKdConfig::default());
    check_students_step(&company, &step, &config, "student_mate_kd");
    let company = Company::new();
    let config = StepConfig::Cilda(CildaConfig::default());
    check_students_step(&company, &company.cilda(), &config, "student_cilda");
}

fn leaf(value: &Value) -> Var {
    let rows: Vec<Vec<f64>> = numbers(value);
    Var::new(rows, &Device::Cpu).unwrap()
}

fn matrix(value: &Value) -> Tensor {
    leaf(value).into_inner().detach()
}

#[test]
fn contrastive_loss_and_divergences_are_pytorchs_in_double_precision() {
    let cases = reference()["pure"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let (teacher, student) = (leaf(&case["teacher"]), leaf(&case["student"]));
        let divergence = |kind| {
            let divergence = Divergence {
                kind,
                temperature: 1.0,
                regression: false,
            };
            divergence
                .between(teacher.as_tensor(), student.as_tensor())
                .unwrap()
        };
        let loss = match case["loss"].as_str().unwrap() {
            "kl" => divergence(DivergenceKind::Kl),
            "cross-entropy" => divergence(DivergenceKind::CrossEntropy),
            _ => {
                contrastive_loss(&cosines(&teacher, &student).unwrap(), 2.0)
                    .unwrap()
                    .loss
            }
        };
        check_value(loss.to_scalar::<f64>().unwrap(), &case["value"], 1e-9);
        let store = loss.backward().unwrap();
        for (leaf, key) in [
            (&teacher, "teacher_gradient"),
            (&student, "student_gradient"),
        ] {
            let found = store.get(leaf.as_tensor()).unwrap();
            let error = largest(&(found - matrix(&case[key])).unwrap());
            assert!(error < 1e-9, "{} {key}: {error:e}", case["loss"]);
        }
    }
}

#[test]
fn the_way_back_through_a_choice_is_pytorchs_in_double_precision() {
    let case = &reference()["choice"];
    let temperature = case["temperature"].as_f64().unwrap();
    let choices = gumbel::choose(
        &matrix(&case["logits"]),
        &matrix(&case["noise"]),
        temperature,
    )
    .unwrap();
    assert_eq!(choices.ids, numbers::<Vec<u32>>(&case["ids"]));
    let gradient = matrix(&case["gradient_of_choice"]);
    let found = gumbel::straight_through(&choices.soft, &gradient, temperature).unwrap();
    assert!(largest(&(found - matrix(&case["gradient"])).unwrap()) < 1e-9);
}

#[test]
fn contrastive_rows_are_distributions_within_the_bounds_that_cosines_set() {
    let values = |seed: u64| -> Tensor {
        let row = |i: u64| {
            (0..5)
                .map(|j| ((seed * 31 + i * 7 + j * 3) % 11) as f64 - 5.2)
                .collect()
        };
        Tensor::new((0..6).map(row).collect::<Vec<Vec<f64>>>(), &Device::Cpu).unwrap()
    };
    let cosines = cosines(&values(1), &values(4)).unwrap();
    let rows = cosines.to_vec2::<f64>().unwrap();
    let found = contrastive_loss(&cosines, 2.0).unwrap();
    let bound = |sign: f64| (1.0 + 5.0 * (sign * 1.0f64).exp()).ln();
    let mut mean = 0.0;
    for (own, (row, anchor)) in rows.iter().zip(&found.anchors).enumerate() {
        let total: f64 = row.iter().map(|c| (c / 2.0).exp()).sum();
        let probabilities: f64 = row.iter().map(|c| (c / 2.0).exp() / total).sum();
        assert!((probabilities - 1.0).abs() < 1e-12);
        assert!(row.iter().all(|c| c.abs() <= 1.0 + 1e-12));
        assert!((anchor + ((row[own] / 2.0).exp() / total).ln()).abs() < 1e-12);
        assert!((bound(-1.0)..=bound(1.0)).contains(anchor), "{anchor}");
        mean += anchor / 6.0;
    }
    assert!((found.loss.to_scalar::<f64>().unwrap() - mean).abs() < 1e-12);
    // A batch in which each finds its own at once lies at the lower end.
    let same = contrastive_loss(
        &Tensor::eye(6, DType::F64, &Device::Cpu)
            .unwrap()
            .affine(2.0, -1.0)
            .unwrap(),
        2.0,
    );
    assert!((same.unwrap().anchors[0] - bound(-1.0)).abs() < 1e-12);
}

#[test]
fn looking_up_choices_equals_mixing_word_embeddings_by_them() {
    let company = Company::new();
    let gaps = gaps();
    let logits = company
        .generator
        .logits(&gaps.batch, Input::Ids, &gaps.rows, &Pass::EVALUATE)
        .unwrap();
    let noise = &tensors("inputs")["noise"];
    let choices = gumbel::choose(&logits, noise, 1.0).unwrap();
    assert_eq!(choices.ids, numbers::<Vec<u32>>(&reference()["chosen"]));
    let written = gaps.filled(&choices.ids);
    let mut one_hot = vec![vec![0f32; 60]; written.ids.len()];
    for (row, &id) in one_hot.iter_mut().zip(&*written.ids) {
        row[id as usize] = 1.0;
    }
    let one_hot = Tensor::new(one_hot, &Device::Cpu).unwrap();
    for model in [&company.student, &company.teacher] {
        let words = one_hot.matmul(&model.word_embeddings().value()).unwrap();
        let mixed = model.forward_from(
            &written,
            Input::Words(&words),
            Needs::NOTHING,
            &Pass::EVALUATE,
        );
        let looked_up = model
            .forward(&written, Needs::NOTHING, &Pass::EVALUATE)
            .unwrap();
        let difference = (mixed.unwrap().logits - looked_up.logits).unwrap();
        assert!(largest(&difference) < 1e-6);
    }
}

/// A game of 2 steps of the generator to 3 of the student, fast enough to be seen.
fn game(generator: Option<GeneratorConfig>, is_cilda: bool) -> StepConfig {
    if is_cilda {
        StepConfig::Cilda(CildaConfig {
            generator,
            student_steps: 3,
            projection_size: 8,
            ..CildaConfig::default()
        })
    } else {
        StepConfig::MateKd(MateKdConfig {
            generator,
            student_steps: 3,
            ..MateKdConfig::default()
        })
    }
}

fn quick() -> GeneratorConfig {
    GeneratorConfig::Model(GeneratorModelConfig {
        steps: 2,
        learning_rate: 1e-2,
        schedule: Schedule::Constant,
        ..GeneratorModelConfig::new("tiny-bert-mlm")
    })
}

/// Keeps what happened, and the state after each step.
struct StateWatcher {
    watched: BTreeMap<&'static str, Vec<Parameter>>,
    states: Vec<State>,
    watcher: Watcher,
}

impl Observer for StateWatcher {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.states.push(state(&self.watched));
        self.watcher.on_step(event)
    }

    fn should_stop(&mut self) -> bool {
        self.watcher.should_stop()
    }
}

/// All values of each group of parameters.
type State = BTreeMap<&'static str, Vec<f32>>;

fn state(watched: &BTreeMap<&'static str, Vec<Parameter>>) -> State {
    let values = |parameters: &Vec<Parameter>| {
        let each = parameters.iter().map(|p| p.value().flatten_all().unwrap());
        each.flat_map(|t| t.to_vec1::<f32>().unwrap()).collect()
    };
    watched
        .iter()
        .map(|(&name, all)| (name, values(all)))
        .collect()
}

/// What a run left behind.
struct Played {
    result: Result<(), TrainError>,
    events: Vec<StepEvent>,
    /// Before the first step, then after each.
    states: Vec<State>,
}

impl Played {
    fn losses(&self) -> Vec<(u64, f64, f64)> {
        let events = self.events.iter();
        events.map(|e| (e.step, e.loss, e.gradient_norm)).collect()
    }
}

fn play(folder: &Path, config: &StepConfig, stop_after: Option<u64>) -> Played {
    let company = Company::new();
    let beside = Beside {
        generator: config.generator().and(company.beside().generator),
        ..company.beside()
    };
    let step = config.build_with(&company.pair(), beside).unwrap();
    let objective = WeightedSum::new(&config.usual_objectives(), &company.pair()).unwrap();
    let set = training_set();
    let teacher = LiveTeacher::new(company.teacher.clone(), set.clone());
    let settings = TrainConfig {
        epochs: 4.0,
        batch_size: 12,
        learning_rate: 2e-3,
        evaluate_every: 5,
        ..TrainConfig::default()
    };
    let run = Run {
        train: &set,
        dev: &set,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &*step,
        teacher: Some(&teacher),
        config: &settings,
        seed: 3,
    };
    let watched = BTreeMap::from([
        ("student", company.student.parameters()),
        ("teacher", company.teacher.parameters()),
        ("generator", company.generator.parameters()),
        ("projections", step.parameters()),
    ]);
    let mut watcher = StateWatcher {
        states: vec![state(&watched)],
        watched,
        watcher: Watcher::stopping_after(stop_after),
    };
    let result = train_in(folder, &company.student, &run, &mut watcher).map(|_| ());
    Played {
        result,
        events: watcher.watcher.events,
        states: watcher.states,
    }
}

/// Which of the watched parameters changed in each step.
fn changes(played: &Played) -> Vec<Vec<&'static str>> {
    let pairs = played.states.windows(2);
    let changed = |pair: &[State]| {
        let names = pair[0]
            .iter()
            .filter(|(name, before)| pair[1][*name] != **before);
        names.map(|(&name, _)| name).collect()
    };
    pairs.map(changed).collect()
}

#[test]
fn generator_and_student_learn_by_turns_and_the_teacher_never() {
    let folder = tempfile::tempdir().unwrap();
    let played = play(folder.path(), &game(Some(quick()), true), None);
    played.result.as_ref().unwrap();
    let changes = changes(&played);
    assert_eq!(changes.len(), 16);
    for (step, changed) in changes.iter().enumerate() {
        let terms = &played.events[step].terms;
        let is_last_of_epoch = step % 4 == 3;
        if step % 5 < 2 {
            // The first step of all is at learning rate 0.
            let expected: &[&str] = if step == 0 { &[] } else { &["generator"] };
            assert_eq!(changed, expected, "step {step}");
            assert!(terms.contains_key("generator-divergence"));
        } else {
            assert!(changed.contains(&"student"), "step {step}");
            // AdamW's means move the projections on where the last batch, cut short, gives them no gradient.
            assert!(!changed.contains(&"generator") && !changed.contains(&"teacher"));
            assert_eq!(
                terms.contains_key("contrastive"),
                !is_last_of_epoch,
                "step {step}"
            );
            assert!(terms.contains_key("hard-labels") && terms.contains_key("written-divergence"));
        }
        assert_eq!(
            terms.contains_key("contrastive-lowest"),
            !is_last_of_epoch,
            "step {step}"
        );
    }
}

#[test]
fn a_generator_without_steps_and_the_controls_leave_the_student_every_batch() {
    for generator in [
        Some(model(0)),
        Some(GeneratorConfig::Random),
        Some(GeneratorConfig::Mask),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let played = play(folder.path(), &game(generator.clone(), false), None);
        played.result.as_ref().unwrap();
        for (step, changed) in changes(&played).into_iter().enumerate() {
            let expected: &[&str] = if step == 0 { &[] } else { &["student"] };
            assert_eq!(changed, expected, "{generator:?}, step {step}");
        }
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_across_the_alternation() {
    let whole = tempfile::tempdir().unwrap();
    let config = game(Some(quick()), true);
    let expected = play(whole.path(), &config, None);
    // Inside and at the borders of both turns.
    for stop in [1, 2, 4, 5, 6, 13] {
        let folder = tempfile::tempdir().unwrap();
        let before = play(folder.path(), &config, Some(stop));
        assert!(matches!(before.result, Err(TrainError::Interrupted { step }) if step == stop));
        let after = play(folder.path(), &config, None);
        after.result.as_ref().unwrap();
        let joined = [before.losses(), after.losses()].concat();
        assert_eq!(joined, expected.losses(), "stopped after {stop}");
        assert!(
            after.states.last() == expected.states.last(),
            "stopped after {stop}"
        );
        assert_eq!(last_bytes(folder.path()), last_bytes(whole.path()));
    }
}

#[test]
fn threads_do_not_change_a_run() {
    for config in [
        game(Some(quick()), true),
        game(Some(GeneratorConfig::Random), false),
    ] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let folder = tempfile::tempdir().unwrap();
            let played = pool.unwrap().install(|| play(folder.path(), &config, None));
            played.result.as_ref().unwrap();
            (played.losses(), played.states)
        };
        assert!(run(1) == run(2));
    }
}

#[test]
fn gaps_are_three_in_ten_ordinary_tokens_wherever_a_sentence_lies() {
    let set = training_set();
    let special = tokenizer("tiny-bert").special_ids();
    let all: Vec<usize> = (0..set.len()).collect();
    let mut hidden = 0;
    let mut ordinary = 0;
    for key in 0..50 {
        let masked = |rows: &[usize]| {
            let examples: Vec<u64> = rows.iter().map(|&row| set.ids()[row]).collect();
            Masked::new(&set.batch(rows), &examples, &special, 4, 0.3, key)
        };
        let together = masked(&all);
        hidden += together.rows.len();
        let original = set.batch(&all);
        ordinary += original
            .ids
            .iter()
            .filter(|id| special.binary_search(id).is_err())
            .count();
        for (row, (&before, &after)) in original.ids.iter().zip(&*together.batch.ids).enumerate() {
            let is_gap = together.rows.contains(&(row as u32));
            assert_eq!(after, if is_gap { 4 } else { before });
            assert!(!is_gap || special.binary_search(&before).is_err());
        }
        let alone = masked(&[7]);
        let start = original.starts.first_rows()[7];
        let inside = start..start + set.length(7) as u32;
        let pairs = together.rows.iter().zip(&together.names);
        let same: Vec<_> = pairs
            .filter(|(row, _)| inside.contains(*row))
            .map(|(row, name)| (row - start, *name))
            .collect();
        assert_eq!(
            same,
            alone
                .rows
                .iter()
                .copied()
                .zip(alone.names.iter().copied())
                .collect::<Vec<_>>()
        );
    }
    let share = f64::from(hidden as u32) / f64::from(ordinary as u32);
    assert!((share - 0.3).abs() < 0.01, "{share}");
}

fn refusal(result: Result<Box<dyn Step>, TrainError>) -> String {
    result.err().expect("to be refused").to_string()
}

#[test]
fn models_of_different_vocabularies_are_refused() {
    let company = Company::new();
    let config = game(Some(quick()), false);
    let swapped = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "vocab.txt"] {
        let text = fs_err::read_to_string(fixture("tiny-bert").join(name)).unwrap();
        // Of the same size, with two words in each other's place.
        let text = match name {
            "vocab.txt" => text.replace("\nfilm\nmovie\n", "\nmovie\nfilm\n"),
            _ => text
                .replace("\"film\": 9", "\"movie\": 9")
                .replace("\"movie\": 10", "\"film\": 10"),
        };
        fs_err::write(swapped.path().join(name), text).unwrap();
    }
    let swapped = TextTokenizer::open(swapped.path()).unwrap();
    let error = |beside: Beside<'_>| refusal(config.build_with(&company.pair(), beside));
    let generator = error(Beside {
        generator: Some((&company.generator, &swapped)),
        ..company.beside()
    });
    assert!(
        generator.contains("the generator: token 9 is `movie`, the student's `film`"),
        "{generator}"
    );
    let teacher = error(Beside {
        teacher_tokenizer: Some(&swapped),
        ..company.beside()
    });
    assert!(
        teacher.contains("the teacher: token 9 is `movie`"),
        "{teacher}"
    );
    let other = tokenizer("tiny-mpnet");
    let other = error(Beside {
        generator: Some((&company.generator, &other)),
        ..company.beside()
    });
    assert!(
        other.contains("another vocabulary in the generator"),
        "{other}"
    );
}

#[test]
fn what_cannot_be_played_is_refused_before_the_first_step() {
    let company = Company::new();
    let build = |config: &StepConfig| config.build_with(&company.pair(), company.beside());
    let no_generator = refusal(build(&game(None, false)));
    assert!(
        no_generator.contains("`mate-kd` without a generator"),
        "{no_generator}"
    );
    let alone = game(Some(GeneratorConfig::Random), false).build(&Pair::alone(&company.student));
    assert!(refusal(alone).contains("without a teacher"));
    let mask = StepConfig::MateKd(MateKdConfig {
        generator: Some(quick()),
        mask_fraction: 1.5,
        ..MateKdConfig::default()
    });
    assert!(refusal(build(&mask)).contains("`step.mask-fraction`: found 1.5"));
    let no_turns = StepConfig::MateKd(MateKdConfig {
        generator: Some(quick()),
        student_steps: 0,
        ..MateKdConfig::default()
    });
    assert!(refusal(build(&no_turns)).contains("`step.student-steps`: found 0"));
    let set = training_set();
    let cilda = build(&game(Some(quick()), true)).unwrap();
    let objective =
        WeightedSum::new(&game(None, true).usual_objectives(), &company.pair()).unwrap();
    for (settings, expected) in [
        (
            TrainConfig {
                token_budget: 100,
                ..TrainConfig::default()
            },
            "`token-budget`: found 100",
        ),
        (
            TrainConfig {
                batch_size: 41,
                ..TrainConfig::default()
            },
            "`batch-size`: found 41, expected 2 to 40",
        ),
    ] {
        let run = Run {
            train: &set,
            dev: &set,
            metrics: &[Metric::Accuracy],
            objective: &objective,
            step: &*cilda,
            teacher: None,
            config: &settings,
            seed: 0,
        };
        let error = cilda.check(&run).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A BiLSTM over the teacher's word pieces, with two copies of its embeddings.
fn bi_lstm(company: &Company) -> (SentenceClassifier, TextTokenizer) {
    let config = BiLstmStudent {
        hidden_size: 8,
        head_size: 8,
        ..BiLstmStudent::default()
    };
    let text = Text::single("a good film .");
    StudentConfig::BiLstm(config)
        .build(
            Some((&company.teacher, &company.tokenizer)),
            &mut std::iter::once(text.clone()),
            company.teacher.target(),
            5,
            &Device::Cpu,
        )
        .unwrap()
}

#[test]
fn a_bi_lstm_plays_mate_kd_and_is_refused_by_cilda() {
    let company = Company::new();
    let (student, tokenizer) = bi_lstm(&company);
    let pair = Pair {
        student: &student,
        ..company.pair()
    };
    let beside = Beside {
        student_tokenizer: Some(&tokenizer),
        ..company.beside()
    };
    let error = refusal(game(Some(quick()), true).build_with(&pair, beside));
    assert!(
        error.contains("no layers to compare") && error.contains("`mate-kd`"),
        "{error}"
    );
    let StepConfig::MateKd(config) = game(Some(quick()), false) else {
        unreachable!("not CILDA")
    };
    let step = config.build(&pair, beside).unwrap();
    let without = &Pass::train_without_dropout();
    let passes = Passes {
        generator: without,
        student: without,
    };
    let noise = &tensors("inputs")["noise"];
    let gradient = |share| {
        for parameter in company.generator.parameters() {
            parameter.clear_gradient();
        }
        step.maximise(&student, (&gaps(), noise), passes, Whole::No, share)
            .unwrap();
        let bias = company
            .generator
            .parameters()
            .into_iter()
            .find(|p| p.name() == "cls.predictions.bias");
        bias.unwrap().gradient_tensor().unwrap().unwrap()
    };
    let whole = gradient(1.0);
    assert!(largest(&whole) > 1e-4);
    let twice_half = (gradient(0.5) * 2.0).unwrap();
    assert!(largest(&(twice_half - whole).unwrap()) < 1e-8);
}
