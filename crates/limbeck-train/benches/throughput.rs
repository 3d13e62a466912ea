//! Our side of the paired benchmark; the rival's is `scripts/bench/transformers_bench.py`, and
//! `scripts/bench/paired.py` runs both in turn.
//!
//! `cargo bench -p limbeck-train --bench throughput -- --work train|predict|kd|gemm --model DIR --data TSV`
//! prints one line of JSON: sentences per second after a warm-up, and the peak memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Device;
use limbeck_model::{Encoding, LayerSelection, SentenceClassifier, Target, TextTokenizer};
use limbeck_text::{DataSpec, GlueTask, Label, LabelSource, Text, read_examples};
use limbeck_train::{
    EncodedSet, Folders, HardLabelsConfig, ObjectiveConfig, Observer, Pair, Plain, Run, Signal,
    SoftTargetsConfig, StepEvent, Teacher, TrainConfig, TrainError, WeightedSum, predict, train,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Arguments {
    work: String,
    model: PathBuf,
    data: PathBuf,
    limit: usize,
    seconds: f64,
    threads: usize,
    fixed: bool,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments {
        work: "train".into(),
        model: PathBuf::new(),
        data: PathBuf::new(),
        limit: usize::MAX,
        seconds: 20.0,
        threads: 2,
        fixed: false,
    };
    let mut rest = std::env::args().skip(1);
    while let Some(flag) = rest.next() {
        if flag == "--bench" {
            continue;
        }
        let value = rest
            .next()
            .unwrap_or_else(|| panic!("{flag} needs a value"));
        match flag.as_str() {
            "--work" => parsed.work = value,
            "--model" => parsed.model = value.into(),
            "--data" => parsed.data = value.into(),
            "--limit" => parsed.limit = value.parse().expect("a number"),
            "--seconds" => parsed.seconds = value.parse().expect("a number"),
            "--threads" => parsed.threads = value.parse().expect("a number"),
            "--setting" => parsed.fixed = value == "fixed32",
            other => panic!("unknown flag {other}"),
        }
    }
    parsed
}

#[expect(clippy::print_stdout, reason = "its result")]
fn main() {
    // `cargo test` runs benches without arguments: nothing to measure then.
    if std::env::args().len() < 3 {
        return;
    }
    let arguments = arguments();
    limbeck_ops::start_threads(arguments.threads).expect("first pool");
    let rate = match arguments.work.as_str() {
        "gemm" => {
            product_rates();
            gemm_rate()
        }
        "predict" => predict_rate(&arguments),
        "train" => train_rate(&arguments, false),
        "kd" => train_rate(&arguments, true),
        other => panic!("unknown work {other}"),
    };
    println!(
        "{}",
        serde_json::json!({
            "work": arguments.work,
            "per_second": rate,
            "peak_rss_mb": peak_memory() / 1_000_000,
            "threads": arguments.threads,
        })
    );
}

fn target() -> Target {
    Target::Labels(vec!["negative".into(), "positive".into()])
}

fn load(arguments: &Arguments) -> (SentenceClassifier, EncodedSet) {
    let model = SentenceClassifier::open(&arguments.model, Some(&target()), 1, &Device::Cpu)
        .expect("a model");
    if arguments.fixed {
        return (model, fixed_set());
    }
    let spec = DataSpec::glue(&arguments.data, GlueTask::Sst2);
    let labels = LabelSource::Names(vec!["negative".into(), "positive".into()]);
    let mut examples = read_examples(&spec, &labels).expect("a GLUE file").examples;
    examples.truncate(arguments.limit);
    let tokenizer = TextTokenizer::open(&arguments.model).expect("a tokenizer");
    let texts: Vec<Text> = examples
        .iter()
        .map(|example| example.text.clone())
        .collect();
    assert_eq!(texts.len(), examples.len());
    (
        model,
        EncodedSet::new(&examples, &tokenizer, 128).expect("texts"),
    )
}

/// Random ids, 32 tokens each: equal work with padding and without.
fn fixed_set() -> EncodedSet {
    let encodings = (0..4096u32)
        .map(|row| Encoding {
            ids: (0..32)
                .map(|place| 1000 + (row * 7919 + place * 104_729) % 20_000)
                .collect(),
            segments: vec![0; 32],
        })
        .collect();
    EncodedSet::from_parts(
        encodings,
        (0..4096).collect(),
        (0..4096).map(|i| Some(Label::Class(i % 2))).collect(),
    )
}

fn predict_rate(arguments: &Arguments) -> f64 {
    let (model, set) = load(arguments);
    predict(&model, &set, |_| {}).expect("predictions");
    let (started, mut done) = (Instant::now(), 0);
    while started.elapsed().as_secs_f64() < arguments.seconds {
        predict(&model, &set, |_| {}).expect("predictions");
        done += set.len();
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// Stored teacher logits made up on the spot: reading them is part of the work.
struct Logits(Vec<f32>);

impl Teacher for Logits {
    fn provides(&self) -> limbeck_model::Needs {
        limbeck_model::Needs::NOTHING
    }

    fn signal(&self, rows: &[usize], _: limbeck_model::Needs) -> Result<Signal, TrainError> {
        let logits: Vec<f32> = rows
            .iter()
            .flat_map(|&row| [self.0[row], -self.0[row]])
            .collect();
        let logits = candle_core::Tensor::from_vec(logits, (rows.len(), 2), &Device::Cpu)?;
        Ok(Signal {
            logits,
            hidden: Vec::new(),
            attention: Vec::new(),
        })
    }
}

/// Counts sentences after a warm-up, and stops when time is up.
struct Clock {
    warm_up: u64,
    seconds: f64,
    started: Option<Instant>,
    sentences: usize,
    elapsed: Duration,
}

impl Observer for Clock {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        if event.step == self.warm_up {
            self.started = Some(Instant::now());
        } else if let Some(started) = self.started {
            self.sentences += event.sentences;
            self.elapsed = started.elapsed();
        }
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.elapsed.as_secs_f64() > self.seconds
    }
}

fn train_rate(arguments: &Arguments, with_teacher: bool) -> f64 {
    let (mut model, set) = load(arguments);
    let mut objectives = vec![ObjectiveConfig::HardLabels(HardLabelsConfig::default())];
    if with_teacher {
        model = model
            .cut(&LayerSelection::Skip(3), &Device::Cpu)
            .expect("three layers");
        objectives.push(ObjectiveConfig::SoftTargets(SoftTargetsConfig::default()));
    }
    let objective = WeightedSum::new(&objectives, &Pair::alone(&model)).expect("objectives");
    let teacher = Logits((0..set.len()).map(|i| (i as f32 * 0.37).sin()).collect());
    let config = TrainConfig {
        epochs: 1000.0,
        evaluate_every: u64::MAX,
        checkpoint_every_s: u64::MAX,
        ..TrainConfig::default()
    };
    let run = Run {
        train: &set,
        dev: &set,
        metrics: &[limbeck_text::Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: with_teacher.then_some(&teacher as &dyn Teacher),
        config: &config,
        seed: 1,
    };
    let folder = std::env::temp_dir().join(format!("limbeck-bench-{}", std::process::id()));
    let folders = Folders {
        best: &folder,
        last: &folder,
        checkpoint: &folder,
    };
    let mut clock = Clock {
        warm_up: 5,
        seconds: arguments.seconds,
        started: None,
        sentences: 0,
        elapsed: Duration::ZERO,
    };
    let ended = train(&model, &run, folders, &mut clock);
    assert!(matches!(ended, Err(TrainError::Interrupted { .. })));
    fs_err::remove_dir_all(&folder).expect("the state just written");
    clock.sentences as f64 / clock.elapsed.as_secs_f64()
}

/// Sizes of a linear layer's product: rows, outputs, inputs.
const PRODUCTS: [(usize, usize, usize); 10] = [
    (32, 384, 384),
    (32, 1536, 384),
    (200, 1152, 384),
    (800, 1152, 384),
    (800, 384, 384),
    (800, 1536, 384),
    (800, 384, 1536),
    (2500, 1152, 384),
    (2500, 384, 1536),
    (800, 3072, 768),
];

/// Prints a line of JSON for each of [`PRODUCTS`]: GFLOP/s with matrix tiles, where there are any,
/// and without, on one thread and on all, and the errors relative to the sums of magnitudes.
#[expect(clippy::print_stdout, reason = "its result")]
fn product_rates() {
    for sizes @ (m, n, k) in PRODUCTS {
        let numbers = |count: usize, seed: u32| -> Vec<f32> {
            let next =
                |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            std::iter::successors(Some(seed), next)
                .map(|state| (state >> 8) as f32 / (1 << 23) as f32 - 1.0)
                .skip(1)
                .take(count)
                .collect()
        };
        let (x, w, mut y) = (numbers(m * k, 1), numbers(n * k, 2), vec![0f32; m * n]);
        let mut found = Vec::new();
        for tiles in [true, false] {
            let mut product = || {
                let mut product = || limbeck_ops::row_products(&mut y, &x, &w, sizes);
                if tiles {
                    product();
                } else {
                    limbeck_ops::without_tiles(product);
                }
            };
            let one = best_rate(sizes, || limbeck_ops::serially(&mut product));
            let all = best_rate(sizes, &mut product);
            let (largest, mean) = product_errors(&y, &x, &w, sizes);
            found.push(serde_json::json!({
                "one_thread": one.round(), "all_threads": all.round(),
                "largest_error": largest, "rms_error": mean,
            }));
        }
        println!(
            "{}",
            serde_json::json!({
                "product": [m, n, k],
                "tiles": limbeck_ops::has_tiles().then(|| found[0].clone()),
                "vectors": found[1],
            })
        );
    }
}

/// The best GFLOP/s of some repetitions: others may be using the machine.
fn best_rate((m, n, k): (usize, usize, usize), mut product: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < Duration::from_millis(200) {
        let started = Instant::now();
        product();
        best = best.min(started.elapsed());
    }
    2.0 * (m * n * k) as f64 / best.as_secs_f64() / 1e9
}

/// Largest and root mean square error of some rows, against double precision.
fn product_errors(y: &[f32], x: &[f32], w: &[f32], (m, n, k): (usize, usize, usize)) -> (f64, f64) {
    let errors: Vec<f64> = (0..m)
        .step_by(m.div_ceil(16))
        .flat_map(|row| (0..n).map(move |column| (row, column)))
        .map(|(row, column)| {
            let pairs = x[row * k..][..k].iter().zip(&w[column * k..][..k]);
            let (sum, magnitude) = pairs.fold((0.0, 0.0), |(sum, magnitude), (&a, &b)| {
                let product = f64::from(a) * f64::from(b);
                (sum + product, magnitude + product.abs())
            });
            (f64::from(y[row * n + column]) - sum).abs() / magnitude
        })
        .collect();
    let squares: f64 = errors.iter().map(|error| error * error).sum();
    (
        errors.iter().copied().fold(0.0, f64::max),
        (squares / errors.len() as f64).sqrt(),
    )
}

/// `gemm`'s own peak: 1024 x 1024 x 1024 in single precision, in GFLOP/s.
#[expect(unsafe_code, reason = "the library's own interface is raw")]
fn gemm_rate() -> f64 {
    const N: usize = 1024;
    let (a, b, mut c) = (vec![0.5f32; N * N], vec![0.25f32; N * N], vec![0f32; N * N]);
    let mut once = || {
        let parallel = gemm::Parallelism::Rayon(0);
        // SAFETY: three square matrices of N x N.
        unsafe {
            gemm::gemm(
                N,
                N,
                N,
                c.as_mut_ptr(),
                1,
                N as isize,
                false,
                a.as_ptr(),
                1,
                N as isize,
                b.as_ptr(),
                1,
                N as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                parallel,
            );
        }
    };
    once();
    let mut rates = Vec::new();
    for _ in 0..30 {
        let started = Instant::now();
        once();
        rates.push(2.0 * (N as f64).powi(3) / started.elapsed().as_secs_f64() / 1e9);
    }
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn peak_memory() -> u64 {
    let status = fs_err::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|l| l.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}
