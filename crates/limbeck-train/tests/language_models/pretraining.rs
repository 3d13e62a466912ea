use std::path::Path;

use candle_core::Device;
use limbeck_model::{Batch, Encoding, Input, Learns, MaskedLanguageModel, TextTokenizer};
use limbeck_ops::loss::cross_entropy;
use limbeck_ops::optimizer::{Optimizer, clip_factor, gradient_norm};
use limbeck_ops::{Pass, backward};
use limbeck_train::{
    Folders, Masker, MaskingConfig, Observer, Pretraining, Schedule, StepEvent, Summary, TextRows,
    TrainConfig, TrainError, evaluate_masked, pretrain,
};
use serde_json::Value;

use crate::{fixture, floats, integers, json, sentences};

fn open(name: &str) -> MaskedLanguageModel {
    MaskedLanguageModel::open_or_draw_head(&fixture(name), 5, &Device::Cpu).unwrap()
}

/// Twenty steps on the same masks follow PyTorch's losses and norms, and end at its parameters.
#[test]
fn pretraining_follows_pytorch() {
    let expected = json("training/masked_lm.json");
    let settings = &expected["settings"];
    let number = |key: &str| settings[key].as_f64().unwrap();
    let model = open("tiny-bert-mlm");
    let mut optimizer = Optimizer::new(TrainConfig::default().rule(0.01), &model.parameters());
    let losses = floats(&expected["losses_f64"]);
    let norms = floats(&expected["gradient_norms_f64"]);
    for (step, sentences) in expected["steps"].as_array().unwrap().iter().enumerate() {
        let (mut encodings, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for sentence in sentences.as_array().unwrap() {
            let ids = integers(&sentence["ids"]);
            rows.extend(
                integers(&sentence["places"])
                    .iter()
                    .map(|place| start + place),
            );
            targets.extend(integers(&sentence["targets"]));
            start += ids.len() as u32;
            let segments = vec![0; ids.len()];
            encodings.push(Encoding { ids, segments });
        }
        let batch = Batch::new(encodings.iter().map(|encoding| (0, encoding)));
        let pass = Pass::train_without_dropout();
        let logits = model.logits(&batch, Input::Ids, &rows, &pass).unwrap();
        let loss = cross_entropy(&logits, &targets).unwrap();
        backward(&loss, &model.parameters()).unwrap();
        let norm = gradient_norm(optimizer.parameters()).unwrap();
        let loss = f64::from(loss.to_scalar::<f32>().unwrap());
        for (what, found, expected) in [("loss", loss, losses[step]), ("norm", norm, norms[step])] {
            assert!(
                (found / expected - 1.0).abs() < 1e-3,
                "step {step}: {what} {found}, PyTorch {expected}"
            );
        }
        let (warmup, steps) = (number("warmup_steps") as u64, number("steps") as u64);
        let rate = number("learning_rate") * Schedule::Linear.factor(step as u64, warmup, steps);
        assert!((rate - floats(&expected["learning_rates"])[step]).abs() < 1e-12);
        optimizer
            .step(rate, clip_factor(norm, number("clip_norm")))
            .unwrap();
    }
    let last = fixture("training/masked_lm_final.safetensors");
    let last = candle_core::safetensors::load(last, &Device::Cpu).unwrap();
    for (name, tensor) in model.tensors().unwrap() {
        // Softmax does not see a bias of the keys: its gradient is rounding, and Adam makes full steps of it.
        if name.ends_with("key.bias") {
            continue;
        }
        let difference = (tensor - &last[&name]).unwrap().abs().unwrap();
        let difference = difference.max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(
            difference < 1e-3,
            "{name} ends {difference:e} away from PyTorch's"
        );
    }
}

#[derive(Default)]
struct Watcher {
    losses: Vec<(u64, f64)>,
    stop_after: Option<u64>,
}

impl Observer for Watcher {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.losses.push((event.step, event.loss));
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.stop_after == self.losses.last().map(|(step, _)| *step)
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 3.0,
        batch_size: 3,
        accumulation: 2,
        max_tokens: 36,
        learning_rate: 5e-3,
        evaluate_every: 3,
        ..TrainConfig::default()
    }
}

/// With dropout, so that its masks have to be the same too.
fn with_dropout(folder: &Path) {
    for entry in fs_err::read_dir(fixture("tiny-bert")).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    config["hidden_dropout_prob"] = 0.1.into();
    fs_err::write(path, config.to_string()).unwrap();
}

type Finished = (
    Result<Summary, TrainError>,
    Vec<(u64, f64)>,
    MaskedLanguageModel,
);

fn run_in(
    folder: &Path,
    config: &TrainConfig,
    learns: Learns,
    stop_after: Option<u64>,
) -> Finished {
    let start = tempfile::tempdir().unwrap();
    with_dropout(start.path());
    let model = MaskedLanguageModel::open_or_draw_head(start.path(), 5, &Device::Cpu).unwrap();
    let model = model.learning(learns);
    let tokenizer = TextTokenizer::open(start.path()).unwrap();
    let masker = Masker::new(&tokenizer, MaskingConfig::default()).unwrap();
    let rows = |texts: &[String]| TextRows::new(texts, &tokenizer, config.max_tokens).unwrap();
    let texts = sentences(120);
    let run = Pretraining {
        train: &rows(&texts[..90]),
        dev: &rows(&texts[90..]),
        masker: &masker,
        config,
        seed: 3,
    };
    let [best, last, checkpoint] = ["model", "last", "checkpoint"].map(|name| folder.join(name));
    let folders = Folders {
        best: &best,
        last: &last,
        checkpoint: &checkpoint,
    };
    let mut watcher = Watcher {
        stop_after,
        ..Watcher::default()
    };
    let result = pretrain(&model, &run, folders, &mut watcher);
    (result, watcher.losses, model)
}

fn weights(folder: &Path) -> [Vec<u8>; 2] {
    ["model", "last"].map(|name| fs_err::read(folder.join(name).join("model.safetensors")).unwrap())
}

#[test]
fn a_resumed_pretraining_equals_an_uninterrupted_one() {
    for learns in [Learns::Everything, Learns::Head] {
        let whole = tempfile::tempdir().unwrap();
        let (summary, all, _) = run_in(whole.path(), &config(), learns, None);
        let summary = summary.unwrap();
        assert!(all.len() > 20, "{}", all.len());
        for stop in [1, 7, 16] {
            let folder = tempfile::tempdir().unwrap();
            let (stopped, mut before, _) = run_in(folder.path(), &config(), learns, Some(stop));
            assert!(matches!(stopped, Err(TrainError::Interrupted { step }) if step == stop));
            let (resumed, after, _) = run_in(folder.path(), &config(), learns, None);
            before.extend(after);
            assert_eq!(before, all, "stopped after {stop}");
            assert_eq!(resumed.unwrap().tokens, summary.tokens);
            assert!(weights(folder.path()) == weights(whole.path()));
        }
    }
}

#[test]
fn threads_do_not_change_a_pretraining_and_token_budgets_hardly() {
    let run = |threads: usize, config: &TrainConfig| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let (result, losses, _) = pool
            .build()
            .unwrap()
            .install(|| run_in(folder.path(), config, Learns::Everything, None));
        (result.unwrap().last, losses, weights(folder.path()))
    };
    let one = run(1, &config());
    assert!(one == run(2, &config()));
    assert!(one == run(3, &config()));
    let cut = TrainConfig {
        token_budget: 50,
        ..config()
    };
    for ((_, a), (_, b)) in one.1.iter().zip(&run(2, &cut).1) {
        assert!((a / b - 1.0).abs() < 1e-3, "{a} and {b}");
    }
}

#[test]
fn pretraining_learns_and_the_frozen_encoder_stays() {
    let config = TrainConfig {
        epochs: 25.0,
        learning_rate: 1e-2,
        evaluate_every: 0,
        ..config()
    };
    for learns in [Learns::Everything, Learns::Head] {
        let folder = tempfile::tempdir().unwrap();
        let (summary, losses, model) = run_in(folder.path(), &config, learns, None);
        let (first, best) = (losses[0].1, &summary.unwrap().best);
        assert!(
            -best.score < 0.75 * first,
            "{learns:?}: {first} to {}",
            -best.score
        );
        assert!((best.metrics["perplexity"].ln() + best.score).abs() < 1e-9);
        let begun = open("tiny-bert").tensors().unwrap();
        for (name, tensor) in model.tensors().unwrap() {
            let flat = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let is_same = flat(&tensor) == flat(&begun[&name]);
            assert_eq!(
                is_same,
                learns == Learns::Head && name.starts_with("bert."),
                "{name}"
            );
        }
        let again = MaskedLanguageModel::open(&folder.path().join("model"), &Device::Cpu).unwrap();
        let tokenizer = TextTokenizer::open(&fixture("tiny-bert")).unwrap();
        let masker = Masker::new(&tokenizer, MaskingConfig::default()).unwrap();
        let dev = TextRows::new(&sentences(120)[90..], &tokenizer, 36).unwrap();
        let scores = evaluate_masked(&again, &dev, &masker).unwrap();
        assert_eq!(-scores.loss, best.score);
        assert_eq!(scores.accuracy, best.metrics["masked-accuracy"]);
    }
}

#[test]
fn scores_are_the_mean_over_hidden_tokens() {
    let model = open("tiny-bert-mlm");
    let tokenizer = TextTokenizer::open(&fixture("tiny-bert-mlm")).unwrap();
    let masker = Masker::new(&tokenizer, MaskingConfig::default()).unwrap();
    let rows = TextRows::new(&sentences(40), &tokenizer, 30).unwrap();
    let scores = evaluate_masked(&model, &rows, &masker).unwrap();
    // One sentence at a time, by the training loss.
    let (mut total, mut count, mut hits) = (0.0, 0, 0);
    for row in 0..rows.len() {
        let masked = masker.mask(rows.row(row), Masker::held_out_key());
        let packed = limbeck_train::MaskedBatch::new([&masked]);
        let logits = model
            .logits(&packed.batch, Input::Ids, &packed.rows, &Pass::EVALUATE)
            .unwrap();
        let loss = cross_entropy(&logits, &packed.targets).unwrap();
        total += f64::from(loss.to_scalar::<f32>().unwrap()) * packed.targets.len() as f64;
        count += packed.targets.len();
        let best = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        hits += best
            .iter()
            .zip(&packed.targets)
            .filter(|(a, b)| a == b)
            .count();
    }
    assert_eq!(scores.predicted, count);
    assert!((scores.loss - total / count as f64).abs() < 1e-5);
    assert_eq!(scores.accuracy, hits as f64 / count as f64);
}
