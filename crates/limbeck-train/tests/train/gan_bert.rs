//! GAN-BERT against PyTorch (`scripts/reference/gan_bert.py`), its gradients by hand, and what must not change a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use limbeck_model::{
    ExtraClasses, HeadKind, ModelConfig, Needs, SentenceClassifier, Target, Weights,
};
use limbeck_ops::{Parameter, Pass, backward};
use limbeck_text::{Example, Label, Metric, Text};
use limbeck_train::{
    Balance, EncodedSet, GanBert, GanBertConfig, GanPasses, GanUpdates, HardLabelsConfig,
    LabelSplit, LiveTeacher, ObjectiveConfig, Pair, Plain, Rest, Run, SoftTargetsConfig, Step,
    StepEvent, Teacher, TrainConfig, TrainError, WeightedSum, gan_losses, predict,
};
use serde_json::Value;

use crate::common::{
    Watcher, encodings, labels, last_bytes, open, read_json, read_tensors, train_in, training_set,
    weights,
};

type Tensors = BTreeMap<String, Tensor>;

fn config(classes: ExtraClasses, updates: GanUpdates) -> GanBertConfig {
    GanBertConfig {
        classes,
        updates,
        noise_size: 10,
        dropout: 0.0,
        ..GanBertConfig::default()
    }
}

const CLASSES: [(&str, ExtraClasses); 2] = [
    ("k+1", ExtraClasses::Fake),
    ("k+2", ExtraClasses::UnknownAndFake),
];

/// tiny-bert with the reference's discriminator, in the given precision.
fn reference_model(kind: &str, classes: ExtraClasses, dtype: DType) -> SentenceClassifier {
    let plain = open("tiny-bert");
    let model = plain.with_discriminator(classes, 0.0, 0).unwrap();
    let mut all = model.tensors().unwrap();
    for (name, tensor) in read_tensors("gan_bert.safetensors") {
        if let Some(name) = name.strip_prefix(&format!("{kind}/discriminator.")) {
            all.insert(format!("discriminator.{name}"), tensor);
        }
    }
    let all = all
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_dtype(dtype).unwrap()))
        .collect();
    let weights = Weights::from_tensors(Path::new("the reference"), all);
    let config = model.config().clone();
    SentenceClassifier::from_weights(config, &weights, None, 0, &Device::Cpu).unwrap()
}

fn reference_step(model: &SentenceClassifier, config: GanBertConfig) -> GanBert {
    let step = GanBert::new(config, &Pair::alone(model)).unwrap();
    let all = read_tensors("gan_bert.safetensors");
    for parameter in step.generator().parameters() {
        let name = parameter.name().replace("gan-bert", "generator");
        parameter.set(&all[&name]).unwrap();
    }
    step
}

fn without_dropout() -> GanPasses {
    GanPasses {
        real: Pass::train_without_dropout(),
        generated: Pass::train_without_dropout(),
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.to_dtype(DType::F64).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

fn number(tensor: &Tensor) -> f64 {
    numbers(tensor)[0]
}

fn gradient(parameter: &Parameter) -> Tensor {
    let found = parameter.gradient_tensor().unwrap();
    found.unwrap_or_else(|| parameter.value().zeros_like().unwrap())
}

/// One case of the reference: losses and every gradient.
fn check_case(case: &Value, dtype: DType, tolerance: f64) {
    let text = |key: &str| case[key].as_str().unwrap();
    let (kind, batch, updates) = (text("classes"), text("batch"), text("updates"));
    let prefix = format!("{kind}/{batch}");
    let label = format!("{prefix}/{updates} {dtype:?}");
    let classes = CLASSES.iter().find(|(name, _)| *name == kind).unwrap().1;
    let updates_kind = match updates {
        "leaky" => GanUpdates::Leaky,
        _ => GanUpdates::Separate,
    };
    let model = reference_model(kind, classes, dtype);
    let step = reference_step(&model, config(classes, updates_kind));
    let given = read_tensors("gan_bert.safetensors");
    let noise = given[&format!("{prefix}/noise")].to_dtype(dtype).unwrap();
    let labels: Vec<Option<u32>> = case["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label.as_u64().map(|label| label as u32))
        .collect();
    let count = labels.len();
    let set = EncodedSet::from_parts(encodings(), (0..40).collect(), vec![None; 40]);
    let rows: Vec<usize> = (0..count).collect();
    let output = model
        .forward(
            &set.batch(&rows),
            Needs::NOTHING,
            &Pass::train_without_dropout(),
        )
        .unwrap();
    let discriminator = model.discriminator().unwrap();
    let losses = step
        .losses(
            discriminator,
            &output.pooled,
            &noise,
            (&labels, 1.0),
            &without_dropout(),
        )
        .unwrap();
    let close = |name: &str, found: f64, expected: f64| {
        let difference = (found - expected).abs();
        assert!(
            difference < tolerance,
            "{label}: {name} {found}, PyTorch {expected}"
        );
    };
    for (name, value) in &losses.terms {
        close(name, number(value), case["terms"][name].as_f64().unwrap());
    }
    close(
        "L_D",
        number(&losses.discriminator),
        case["discriminator"].as_f64().unwrap(),
    );
    let all = [model.parameters(), step.generator().parameters()].concat();
    backward(&losses.total, &all).unwrap();

    let mut found: Tensors = BTreeMap::new();
    for slot in model.slots() {
        found.extend(slot.split(&gradient(&slot.parameter)).unwrap());
    }
    for parameter in step.generator().parameters() {
        found.insert(
            parameter.name().replace("gan-bert", "generator"),
            gradient(&parameter),
        );
    }
    let mut whole = 0;
    for (name, expected) in &given {
        let Some(name) = name.strip_prefix(&format!("{prefix}/{updates}/")) else {
            continue;
        };
        whole += 1;
        for (found, expected) in numbers(&found[name]).iter().zip(numbers(expected)) {
            close(name, *found, expected);
        }
    }
    assert_eq!(
        whole,
        4 + 4 + 2,
        "{label}: discriminator, generator, pooler"
    );
    for (name, norm) in case["encoder_gradient_norms"].as_object().unwrap() {
        let squares = numbers(&found[name]).iter().map(|g| g * g).sum::<f64>();
        close(name, squares.sqrt(), norm.as_f64().unwrap());
    }
}

#[test]
fn losses_and_all_gradients_are_pytorchs() {
    let reference = read_json("gan_bert.json");
    let cases = reference["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        check_case(case, DType::F64, 1e-9);
        check_case(case, DType::F32, 1e-5);
    }
}

/// Gradients of the losses with respect to logits, by hand.
///
/// With `p` the softmax and `P = p_fake`: `dP/dz_j = P (δ_jf − p_j)`, so `−log(P + ε)` has the gradient
/// `−P / (P + ε) (δ_jf − p_j)` and `−log(1 − P + ε)` has `P / (1 − P + ε) (δ_jf − p_j)`.
#[test]
fn the_two_losses_of_generated_vectors_pull_to_one_half() {
    let gradients = |logits: &[f64], loss: &dyn Fn(&Tensor) -> Tensor| {
        let leaf = Var::from_slice(logits, (1, logits.len()), &Device::Cpu).unwrap();
        let store = loss(leaf.as_tensor()).backward().unwrap();
        numbers(store.get(leaf.as_tensor()).unwrap())
    };
    let fake = |z: &Tensor| gan_losses::taken_for_fake(z).unwrap();
    let real = |z: &Tensor| gan_losses::taken_for_real(z).unwrap();
    let both = |z: &Tensor| (fake(z) + real(z)).unwrap();
    let half = 2.0_f64.ln(); // a third logit that makes P one half beside two of 0
    for logits in [
        [0.3_f64, -1.2, 0.8],
        [2.0, 1.0, -3.0],
        [0.0, 0.0, 6.0],
        [0.0, 0.0, half],
    ] {
        let powers = logits.map(f64::exp);
        let p = powers.map(|power| power / powers.iter().sum::<f64>());
        let expected = |factor: f64| -> Vec<f64> {
            let delta = |j| if j == 2 { 1.0 } else { 0.0 };
            (0..3).map(|j| factor * (delta(j) - p[j])).collect()
        };
        let fake_factor = -p[2] / (p[2] + 1e-8);
        let real_factor = p[2] / (1.0 - p[2] + 1e-8);
        for (found, factor) in [
            (gradients(&logits, &fake), fake_factor),
            (gradients(&logits, &real), real_factor),
            (gradients(&logits, &both), fake_factor + real_factor),
        ] {
            for (found, expected) in found.iter().zip(expected(factor)) {
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{logits:?}: {found} and {expected}"
                );
            }
        }
        let pull = fake_factor + real_factor;
        match p[2] - 0.5 {
            distance if distance.abs() < 1e-12 => {
                assert!(gradients(&logits, &both).iter().all(|g| g.abs() < 1e-12));
            }
            distance => assert!(pull * distance > 0.0, "pulled back to one half"),
        }
    }
}

#[test]
fn unknown_takes_mass_but_is_never_a_target() {
    let labels = [Some(0), None, Some(2)];
    // Three labels, "unknown", "fake": the gradient is p over all but "fake", less one at the target.
    let rows: [[f64; 5]; 3] = [
        [0.4, -1.0, 0.2, 0.9, 3.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [-0.5, 0.0, 1.5, -2.0, 0.1],
    ];
    let leaf = Var::new(&rows, &Device::Cpu).unwrap();
    let loss = gan_losses::supervised(leaf.as_tensor(), &labels).unwrap();
    let store = loss.backward().unwrap();
    let found = numbers(store.get(leaf.as_tensor()).unwrap());
    for ((row, label), found) in rows.iter().zip(labels).zip(found.chunks(5)) {
        let total: f64 = row[..4].iter().map(|z| z.exp()).sum();
        for (class, found) in found.iter().enumerate() {
            let target = f64::from(label == Some(class as u32));
            let expected = match (label, class) {
                (None, _) | (_, 4) => 0.0,
                _ => (row[class].exp() / total - target) / 2.0,
            };
            assert!(
                (found - expected).abs() < 1e-12,
                "{label:?} {class}: {found}"
            );
        }
    }
    // With equal logits the supervised loss is the logarithm of the number of classes that are not "fake".
    let logits = Tensor::zeros((3, 5), DType::F64, &Device::Cpu).unwrap();
    let loss = number(&gan_losses::supervised(&logits, &labels).unwrap());
    assert!((loss - 4_f64.ln()).abs() < 1e-12);
    let without_unknown = logits.narrow(1, 0, 4).unwrap();
    let loss = number(&gan_losses::supervised(&without_unknown, &labels).unwrap());
    assert!((loss - 3_f64.ln()).abs() < 1e-12);
    // Unlabelled rows do not count in it.
    let rows = Tensor::new(
        &[[1.0, 2.0, 0.0], [9.0, -9.0, 5.0], [0.5, 0.0, 0.0]],
        &Device::Cpu,
    )
    .unwrap();
    let some = gan_losses::supervised(&rows, &[Some(1), None, Some(0)]).unwrap();
    let one = |row: usize, label| {
        let row = rows.narrow(0, row, 1).unwrap();
        number(&gan_losses::supervised(&row, &[Some(label)]).unwrap())
    };
    assert!((number(&some) - f64::midpoint(one(0, 1), one(2, 0))).abs() < 1e-12);
}

fn examples(count: u64) -> Vec<Example> {
    (0..count)
        .map(|id| Example {
            id,
            text: Text::single(format!("sentence {id}")),
            label: Some(Label::Class((id % 2) as u32)),
        })
        .collect()
}

#[test]
fn the_labelled_part_is_a_matter_of_seed_and_example_alone() {
    for fraction in [0.2, 0.5, 0.7] {
        let split = LabelSplit {
            fraction,
            ..LabelSplit::default()
        };
        let count = 20_000;
        let labelled = |examples: Vec<Example>, split: &LabelSplit| -> BTreeSet<u64> {
            let all = split.apply(examples).unwrap();
            assert_eq!(all.len() as u64, count);
            all.iter()
                .filter(|e| e.label.is_some())
                .map(|e| e.id)
                .collect()
        };
        let forward = labelled(examples(count), &split);
        // Five standard deviations.
        let (mean, deviation) = (
            fraction * count as f64,
            (fraction * (1.0 - fraction) * count as f64).sqrt(),
        );
        assert!(
            (forward.len() as f64 - mean).abs() < 5.0 * deviation,
            "{}",
            forward.len()
        );
        let mut shuffled = examples(count);
        shuffled.reverse();
        shuffled.swap(3, 700);
        assert_eq!(labelled(shuffled, &split), forward);
        let other = labelled(examples(count), &LabelSplit { seed: 1, ..split });
        let common = other.intersection(&forward).count() as f64;
        let chance = fraction * fraction * count as f64;
        assert!(
            (common - chance).abs() < 5.0 * chance.sqrt(),
            "independent of the other seed's"
        );
        // The control has the same labels and nothing else.
        let control = LabelSplit {
            rest: Rest::LeftOut,
            ..split
        };
        let ids: BTreeSet<u64> = control
            .apply(examples(count))
            .unwrap()
            .iter()
            .map(|e| e.id)
            .collect();
        assert_eq!(ids, forward);
    }
}

#[test]
fn labelled_rows_are_repeated_as_often_as_the_formula_says() {
    for (fraction, expected) in [
        (1.0, 1),
        (0.7, 1),
        (0.5, 1),
        (0.34, 1),
        (0.25, 2),
        (0.2, 2),
        (0.126, 2),
        (0.125, 3),
        (0.1, 3),
        (0.05, 4),
        (0.01, 6),
        (0.001, 9),
    ] {
        assert_eq!(LabelSplit::copies(fraction), expected, "{fraction}");
    }
    let split = LabelSplit {
        fraction: 0.2,
        balance: Balance::Log2,
        ..LabelSplit::default()
    };
    let all = split.apply(examples(5_000)).unwrap();
    let (labelled, rest): (Vec<_>, Vec<_>) = all.iter().partition(|e| e.label.is_some());
    let share = labelled.len() as f64 / 2.0 / 5_000.0;
    let times = LabelSplit::copies(share) as usize;
    let texts: BTreeSet<&Text> = labelled.iter().map(|e| &e.text).collect();
    assert_eq!(labelled.len(), times * texts.len());
    assert_eq!(rest.len() + texts.len(), 5_000);
    // Each copy has an id, and so randomness, of its own.
    assert_eq!(
        all.iter().map(|e| e.id).collect::<BTreeSet<_>>().len(),
        all.len()
    );
    for (found, fraction) in [(0.0, "0"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        let error = LabelSplit {
            fraction: found,
            ..split
        }
        .apply(examples(9))
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`labelled.fraction`: found {fraction}, expected a share in (0, 1]")
        );
    }
    let none = LabelSplit {
        fraction: 1e-9,
        ..split
    }
    .apply(examples(9))
    .unwrap_err();
    assert!(
        none.to_string().contains("no label kept of 9 examples"),
        "{none}"
    );
}

#[test]
fn a_discriminator_is_saved_and_opened_like_any_head() {
    let teacher = open("tiny-bert");
    for (kind, classes) in CLASSES {
        let model = teacher.with_discriminator(classes, 0.2, 7).unwrap();
        let fresh: Vec<&str> = model.fresh_tensors().iter().map(String::as_str).collect();
        let parts = [
            "dense.weight",
            "dense.bias",
            "classifier.weight",
            "classifier.bias",
        ];
        assert_eq!(fresh, parts.map(|part| format!("discriminator.{part}")));
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let written: Value = serde_json::from_str(
            &fs_err::read_to_string(folder.path().join("config.json")).unwrap(),
        )
        .unwrap();
        assert_eq!(written["limbeck_head"], format!("gan-{kind}"));
        assert_eq!(written["classifier_dropout"], 0.2);
        let reopened = SentenceClassifier::open(folder.path(), None, 0, &Device::Cpu).unwrap();
        assert_eq!(weights(&reopened), weights(&model));
        assert_eq!(reopened.target(), teacher.target());
        let ModelConfig::Transformer(config) = reopened.config() else {
            panic!("a transformer")
        };
        assert_eq!(
            (config.head, config.classifier_dropout),
            (HeadKind::Discriminator(classes), 0.2)
        );

        // Asked for all classes, it shows what the discriminator says, and names the classes that no label has.
        let all = reopened.clone().with_all_classes().unwrap();
        let all = all.with_all_classes().unwrap();
        let Target::Labels(names) = all.target() else {
            panic!("labels")
        };
        let further: &[&str] = match classes {
            ExtraClasses::Fake => &["[fake]"],
            ExtraClasses::UnknownAndFake => &["[unknown]", "[fake]"],
        };
        assert_eq!(names[3..], *further);

        // Predictions are the softmax over the labels' logits of the discriminator.
        let set = EncodedSet::from_parts(encodings(), (0..40).collect(), vec![None; 40]);
        let predictions = predict(&reopened, &set, |_| {}).unwrap();
        assert_eq!(predictions.outputs, 3);
        let batch = set.batch(&(0..40).collect::<Vec<_>>());
        let output = model
            .forward(&batch, Needs::NOTHING, &Pass::EVALUATE)
            .unwrap();
        let verdict = model
            .discriminator()
            .unwrap()
            .judge(&output.pooled, &Pass::EVALUATE)
            .unwrap();
        assert_eq!(verdict.logits.dims(), [40, 3 + classes.count()]);
        let first = verdict.logits.narrow(1, 0, 3).unwrap();
        assert_eq!(numbers(&first), numbers(&output.logits));
        let shown = all
            .forward(&batch, Needs::NOTHING, &Pass::EVALUATE)
            .unwrap();
        assert_eq!(numbers(&shown.logits), numbers(&verdict.logits));
        for (row, found) in numbers(&first)
            .chunks(3)
            .zip(predictions.probabilities().chunks(3))
        {
            let total: f64 = row.iter().map(|z| z.exp()).sum();
            for (z, found) in row.iter().zip(found) {
                assert!((z.exp() / total - f64::from(*found)).abs() < 1e-6);
            }
        }

        // The same classes: nothing is drawn again. Others: only the discriminator is.
        assert_eq!(
            weights(&reopened.with_discriminator(classes, 0.2, 9).unwrap()),
            weights(&model)
        );
        let other = match classes {
            ExtraClasses::Fake => ExtraClasses::UnknownAndFake,
            ExtraClasses::UnknownAndFake => ExtraClasses::Fake,
        };
        let changed = reopened.with_discriminator(other, 0.2, 9).unwrap();
        assert_eq!(changed.fresh_tensors().len(), 4);
    }
}

#[test]
fn every_family_can_have_a_discriminator() {
    for name in ["tiny-bert", "tiny-roberta", "tiny-distilbert", "tiny-mpnet"] {
        let plain = open(name);
        let model = plain
            .with_discriminator(ExtraClasses::Fake, 0.2, 7)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let reopened = SentenceClassifier::open(folder.path(), None, 0, &Device::Cpu).unwrap();
        assert_eq!(weights(&reopened), weights(&model), "{name}");
        // What the family's own linear layer reads is what the discriminator reads.
        let batch =
            EncodedSet::from_parts(encodings(), (0..40).collect(), vec![None; 40]).batch(&[0, 7]);
        let pooled = |m: &SentenceClassifier| {
            numbers(
                &m.forward(&batch, Needs::NOTHING, &Pass::EVALUATE)
                    .unwrap()
                    .pooled,
            )
        };
        assert_eq!(pooled(&model), pooled(&plain), "{name}");
        let layers = model
            .cut(&limbeck_model::LayerSelection::Bottom(1), &Device::Cpu)
            .unwrap();
        assert!(layers.discriminator().is_some());
    }
}

/// Forty sentences of which a third is labelled.
fn third_labelled() -> EncodedSet {
    let labels = (0..)
        .zip(labels())
        .map(|(row, label)| (row % 3 == 0).then_some(Label::Class(label)));
    EncodedSet::from_parts(encodings(), (0..40).collect(), labels.collect())
}

fn hard() -> ObjectiveConfig {
    ObjectiveConfig::HardLabels(HardLabelsConfig::default())
}

/// A step with its loss and each term's.
type Losses = (u64, f64, BTreeMap<&'static str, f64>);

fn losses(event: &StepEvent) -> Losses {
    (event.step, event.loss, event.terms.clone())
}

fn train_config() -> TrainConfig {
    TrainConfig {
        epochs: 4.0,
        batch_size: 8,
        learning_rate: 2e-3,
        evaluate_every: 3,
        ..TrainConfig::default()
    }
}

/// What a run leaves: the student's parameters, the generator's, and all losses.
struct Left {
    result: Result<SentenceClassifier, TrainError>,
    generator: Vec<Vec<f64>>,
    losses: Vec<Losses>,
}

fn run_in(
    folder: &Path,
    updates: GanUpdates,
    config: &TrainConfig,
    stop_after: Option<u64>,
) -> Left {
    let gan = GanBertConfig {
        updates,
        learning_rate: 1e-3,
        ..GanBertConfig::default()
    };
    let model = open("tiny-bert")
        .with_discriminator(gan.classes, gan.dropout, 5)
        .unwrap();
    let step = GanBert::new(
        gan,
        &Pair {
            seed: 5,
            ..Pair::alone(&model)
        },
    )
    .unwrap();
    let objective = WeightedSum::new(&[hard()], &Pair::alone(&model)).unwrap();
    let run = Run {
        train: &third_labelled(),
        dev: &training_set(),
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &step,
        teacher: None,
        config,
        seed: 5,
    };
    let mut watcher = Watcher::stopping_after(stop_after);
    let result = train_in(folder, &model, &run, &mut watcher).map(|_| model);
    let generator = step.generator().parameters();
    Left {
        result,
        generator: generator.iter().map(|p| numbers(&p.value())).collect(),
        losses: watcher.events.iter().map(losses).collect(),
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_with_its_generator() {
    for updates in [GanUpdates::Separate, GanUpdates::Leaky] {
        let whole = tempfile::tempdir().unwrap();
        let expected = run_in(whole.path(), updates, &train_config(), None);
        assert_eq!(expected.losses.len(), 20);
        let expected_bytes = weights(expected.result.as_ref().unwrap());
        for stop in [1, 7, 19] {
            let folder = tempfile::tempdir().unwrap();
            let before = run_in(folder.path(), updates, &train_config(), Some(stop));
            assert!(matches!(before.result, Err(TrainError::Interrupted { step }) if step == stop));
            let after = run_in(folder.path(), updates, &train_config(), None);
            let joined = [before.losses, after.losses].concat();
            assert!(
                joined == expected.losses,
                "{updates:?} stopped after {stop}"
            );
            assert_eq!(after.generator, expected.generator);
            assert_eq!(weights(&after.result.unwrap()), expected_bytes);
            assert_eq!(last_bytes(folder.path()), last_bytes(whole.path()));
        }
    }
}

#[test]
fn leaky_updates_end_with_half_of_the_mass_on_fake() {
    // What S0's logs show: a generator's loss of 0.70 from the first epoch on, whatever the data.
    let folder = tempfile::tempdir().unwrap();
    let long = TrainConfig {
        epochs: 200.0,
        evaluate_every: 400,
        ..train_config()
    };
    let left = run_in(folder.path(), GanUpdates::Leaky, &long, None);
    let steps = left.losses;
    let mean = |steps: &[Losses], name: &str| {
        let values = steps.iter().map(|(_, _, terms)| terms[name]);
        values.sum::<f64>() / steps.len() as f64
    };
    let half = std::f64::consts::LN_2;
    let last = &steps[steps.len() - 50..];
    let fooled = mean(last, "generator") - mean(last, "feature-matching");
    assert!((fooled - half).abs() < 0.1, "{fooled}");
    assert!((mean(last, "generated") - half).abs() < 0.1);
    // It did not begin there: with four classes alike, "fake" has a quarter of the mass.
    assert!(mean(&steps[..1], "generated") > half + 0.3);
}

#[test]
fn threads_do_not_change_a_run() {
    let run = |threads: usize| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let left =
            pool.install(|| run_in(folder.path(), GanUpdates::Separate, &train_config(), None));
        left.result.unwrap();
        (left.generator, left.losses, last_bytes(folder.path()))
    };
    let one = run(1);
    assert!(one == run(2));
    assert!(one == run(3));
}

#[test]
fn settings_that_cannot_be_meant_are_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let budget = TrainConfig {
        token_budget: 64,
        ..train_config()
    };
    let error = run_in(folder.path(), GanUpdates::Separate, &budget, None)
        .result
        .unwrap_err();
    let message = "`token-budget`: found 64, expected 0 with the step gan-bert, whose losses are not sums over sentences";
    assert_eq!(error.to_string(), message);

    let plain = open("tiny-bert");
    let error = GanBert::new(GanBertConfig::default(), &Pair::alone(&plain)).unwrap_err();
    assert!(
        error.to_string().contains("a head with a discriminator"),
        "{error}"
    );
    let model = plain
        .with_discriminator(ExtraClasses::UnknownAndFake, 0.2, 0)
        .unwrap();
    let error = GanBert::new(GanBertConfig::default(), &Pair::alone(&model)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`gan-bert.classes`: found Fake, expected those of the student's head, UnknownAndFake"
    );
    let bad = GanBertConfig {
        dropout: 1.0,
        ..GanBertConfig::default()
    };
    let error = GanBert::new(bad, &Pair::alone(&model)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`gan-bert.dropout`: found 1, expected a number in [0, 1)"
    );

    // An ordinary step cannot learn the gold labels of rows that have none, and says so at once.
    let objective = WeightedSum::new(&[hard()], &Pair::alone(&plain)).unwrap();
    let (train_set, config) = (third_labelled(), train_config());
    let run = Run {
        train: &train_set,
        dev: &train_set,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: None,
        config: &config,
        seed: 0,
    };
    assert!(matches!(
        run.check(),
        Err(TrainError::Unlabelled {
            id: 1,
            objective: "hard-labels"
        })
    ));
    let soft = ObjectiveConfig::SoftTargets(SoftTargetsConfig::default());
    let gan = plain
        .with_discriminator(ExtraClasses::Fake, 0.2, 0)
        .unwrap();
    let objective = WeightedSum::new(&[hard(), soft], &Pair::alone(&gan)).unwrap();
    let step = GanBert::new(GanBertConfig::default(), &Pair::alone(&gan)).unwrap();
    let run = Run {
        objective: &objective,
        step: &step,
        ..run
    };
    assert!(
        step.check(&run)
            .unwrap_err()
            .to_string()
            .starts_with("`objective`: found soft-targets")
    );
}

#[test]
fn a_student_learns_from_the_labels_logits_of_a_discriminator() {
    let gan = open("tiny-bert-teacher")
        .with_discriminator(ExtraClasses::UnknownAndFake, 0.2, 3)
        .unwrap();
    let set = training_set();
    let rows: Vec<usize> = (0..40).collect();
    let logits = gan
        .forward(&set.batch(&rows), Needs::NOTHING, &Pass::EVALUATE)
        .unwrap()
        .logits;
    let teacher = LiveTeacher::new(gan, set.clone());
    let signal = teacher.signal(&rows, Needs::NOTHING).unwrap();
    assert_eq!(signal.logits.dims(), [40, 3]);
    assert_eq!(numbers(&signal.logits), numbers(&logits));

    let student = open("tiny-bert");
    let soft = ObjectiveConfig::SoftTargets(SoftTargetsConfig {
        temperature: 4.0,
        ..SoftTargetsConfig::default()
    });
    let objective = WeightedSum::new(&[soft], &Pair::alone(&student)).unwrap();
    let config = TrainConfig {
        epochs: 30.0,
        batch_size: 8,
        learning_rate: 5e-3,
        ..TrainConfig::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let run = Run {
        train: &set,
        dev: &set,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: Some(&teacher),
        config: &config,
        seed: 1,
    };
    let mut watcher = Watcher::default();
    train_in(folder.path(), &student, &run, &mut watcher).unwrap();
    let losses = watcher.losses();
    let (first, end) = (losses[0].1, losses.last().unwrap().1);
    assert!(end < 0.2 * first, "{first} to {end}");
}

#[test]
fn a_regression_has_no_discriminator() {
    let plain = open("tiny-bert");
    let ModelConfig::Transformer(config) = plain.config() else {
        panic!("a transformer")
    };
    let regression =
        SentenceClassifier::fresh(config, &Target::Regression, 0, &Device::Cpu).unwrap();
    let error = regression
        .with_discriminator(ExtraClasses::Fake, 0.2, 0)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the task is to predict a number"),
        "{error}"
    );
}
