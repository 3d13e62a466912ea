//! The time of one step of each method, relative to vanilla distillation.
//!
//! `cargo bench -p limbeck-train --bench methods -- --model DIR --data SST-2/train.tsv` takes the same batches through a
//! step of each method in turn, several rounds, and prints for each the ratios to vanilla distillation in the same round, of
//! wall time and of processor's time: median, smallest and largest. The teacher's outputs are at hand, as from a store; for
//! texts that a generator writes it computes. The generator is the model with a fresh masked-LM head. Also: `--student`, as
//! `[student]` in a run file; `--labels`, how many there are, two or more, beyond two none of which occurs; `--only a,b`;
//! `--rounds`, `--steps`, `--threads`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use limbeck_model::{
    MaskedLanguageModel, Needs, SentenceClassifier, StudentConfig, Target, TextTokenizer,
};
use limbeck_text::{DataSpec, Example, GlueTask, LabelSource, Metric, read_examples};
use limbeck_train::{
    Beside, EncodedSet, Folders, LiveTeacher, ObjectiveConfig, Observer, Pair, Run, Signal,
    StepConfig, StepEvent, Teacher, TrainConfig, TrainError, WeightedSum, train,
};
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all others are compared with.
const VANILLA: (&str, &str) = (
    "vanilla distillation",
    "objective = [{ hard-labels = {} }, { soft-targets = {} }]",
);

/// Names and settings as in a run file.
const METHODS: [(&str, &str); 18] = [
    ("fine-tuning", "objective = [{ hard-labels = {} }]"),
    (
        "PKD",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }, { pkd = {} }]",
    ),
    (
        "TinyBERT, first stage",
        "objective = [{ hidden-states = {} }, { attention-scores = {} }]",
    ),
    (
        "deep distillation",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }, { feature-maps = {} }, { attention-maps = {} }]",
    ),
    (
        "AD², no perturbation",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { ad2 = { delta = 'none' } }",
    ),
    (
        "AD², as printed",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { ad2 = { delta = 'as-printed' } }",
    ),
    (
        "AD², unit l2",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { ad2 = { delta = { unit = { norm = 'l2' } } } }",
    ),
    (
        "AD², FreeLB's radii",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { ad2 = { delta = { free-lb = {} } } }",
    ),
    (
        "AD², random start",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { ad2 = { delta = { free-lb = {} }, start = { uniform = { magnitude = 0.3 } } } }",
    ),
    (
        "FreeLB, K = 2",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { free-lb = {} }",
    ),
    (
        "FreeLB, K = 3",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { free-lb = { steps = 3 } }",
    ),
    (
        "SMART",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { smart = {} }",
    ),
    (
        "MATE-KD, random words",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { mate-kd = { generator = 'random' } }",
    ),
    (
        "MATE-KD, student's",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { mate-kd = { generator = { model = { from = '', steps = 0 } } } }",
    ),
    (
        "MATE-KD, generator's",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { mate-kd = { generator = { model = { from = '', steps = 1000 } } } }",
    ),
    (
        "CILDA, student's",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { cilda = { generator = { model = { from = '', steps = 0 } } } }",
    ),
    (
        "CILDA, generator's",
        "objective = [{ hard-labels = {} }, { soft-targets = {} }]
        step = { cilda = { generator = { model = { from = '', steps = 1000 } } } }",
    ),
    (
        "GAN-BERT, no teacher",
        "objective = [{ hard-labels = {} }]
        step = { gan-bert = {} }",
    ),
];

const WARM_UP: u64 = 3;
const SEED: u64 = 1;

struct Arguments {
    model: PathBuf,
    data: PathBuf,
    student: String,
    labels: usize,
    only: Vec<String>,
    rounds: usize,
    steps: u64,
    threads: usize,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments {
        model: PathBuf::new(),
        data: PathBuf::new(),
        student: "layers = { bottom = 3 }".into(),
        labels: 2,
        only: Vec::new(),
        rounds: 5,
        steps: 12,
        threads: 2,
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
            "--model" => parsed.model = value.into(),
            "--data" => parsed.data = value.into(),
            "--student" => parsed.student = value,
            "--labels" => parsed.labels = value.parse().expect("a number"),
            "--only" => parsed.only = value.split(',').map(str::to_owned).collect(),
            "--rounds" => parsed.rounds = value.parse().expect("a number"),
            "--steps" => parsed.steps = value.parse().expect("a number"),
            "--threads" => parsed.threads = value.parse().expect("a number"),
            other => panic!("unknown flag {other}"),
        }
    }
    parsed
}

/// What of a run file says how a batch becomes gradients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Method {
    objective: Vec<ObjectiveConfig>,
    #[serde(default)]
    step: StepConfig,
}

/// Data and teacher, shared by all methods.
struct Bench {
    arguments: Arguments,
    examples: Vec<Example>,
    tokenizer: TextTokenizer,
    model: SentenceClassifier,
    teacher: Remembered,
}

#[expect(clippy::print_stdout, reason = "its result")]
fn main() {
    // `cargo test` runs benches without arguments: nothing to measure then.
    if std::env::args().len() < 3 {
        return;
    }
    let bench = Bench::open(arguments());
    let only = &bench.arguments.only;
    let methods = METHODS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|part| name.contains(&**part)));
    let methods: Vec<_> = methods.collect();
    let mut ratios = vec![[Vec::new(), Vec::new()]; methods.len()];
    let mut vanilla = [Vec::new(), Vec::new()];
    for round in 0..=bench.arguments.rounds {
        let base = bench.seconds_per_step(VANILLA.1);
        let measured = methods
            .iter()
            .map(|(_, settings)| bench.seconds_per_step(settings));
        let measured: Vec<_> = measured.collect();
        // In the first round the teacher is asked for all that later ones remember.
        if round > 0 {
            for clock in 0..2 {
                vanilla[clock].push(base[clock]);
                for (ratios, seconds) in ratios.iter_mut().zip(&measured) {
                    ratios[clock].push(seconds[clock] / base[clock]);
                }
            }
        }
    }
    let shown = |values: [Vec<f64>; 2], factor: f64| {
        let [wall, processor] = values.map(|values| {
            let [median, least, most] = spread(values).map(|value| value * factor);
            format!("{median:.2} [{least:.2}..{most:.2}]")
        });
        format!("{wall:<24} {processor}")
    };
    println!("{:<24} {:<24} processor's time", "", "wall time");
    println!("{:<24} {}", "vanilla, ms", shown(vanilla, 1e3));
    for ((name, _), ratios) in methods.iter().zip(ratios) {
        println!("{name:<24} {}", shown(ratios, 1.0));
    }
}

/// Median, smallest and largest.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [
        values[values.len() / 2],
        values[0],
        values[values.len() - 1],
    ]
}

impl Bench {
    fn open(arguments: Arguments) -> Self {
        limbeck_ops::start_threads(arguments.threads).expect("first pool");
        let mut names = ["negative", "positive"].map(str::to_owned).to_vec();
        names.extend((2..arguments.labels).map(|label| format!("label {label}")));
        let target = Target::Labels(names.clone());
        let model = SentenceClassifier::open(&arguments.model, Some(&target), 1, &Device::Cpu)
            .expect("a model");
        let tokenizer = TextTokenizer::open(&arguments.model).expect("a tokenizer");
        let spec = DataSpec::glue(&arguments.data, GlueTask::Sst2);
        let read = read_examples(&spec, &LabelSource::Names(names)).expect("a GLUE file");
        let mut examples = read.examples;
        examples.truncate(2000);
        let set = EncodedSet::new(&examples, &tokenizer, 128).expect("texts");
        Self {
            teacher: Remembered {
                live: LiveTeacher::new(model.clone(), set),
                answers: RefCell::default(),
            },
            arguments,
            examples,
            tokenizer,
            model,
        }
    }

    /// Wall time and processor's time.
    fn seconds_per_step(&self, settings: &str) -> [f64; 2] {
        let method: Method = toml::from_str(settings).expect("settings of a method");
        let student: StudentConfig = toml::from_str(&self.arguments.student).expect("a student");
        let mut texts = self.examples.iter().map(|example| example.text.clone());
        let from = Some((&self.model, &self.tokenizer));
        let target = self.model.target();
        let (student, tokenizer) = student
            .build(from, &mut texts, target, SEED, &Device::Cpu)
            .expect("a student");
        let student = method.step.prepare(student, SEED).expect("a head");
        let set = EncodedSet::new(&self.examples, &tokenizer, 128).expect("texts");
        let generator = method.step.generator().map(|_| {
            MaskedLanguageModel::open_or_draw_head(&self.arguments.model, SEED, &Device::Cpu)
                .expect("a generator")
        });
        let beside = Beside {
            generator: generator.as_ref().map(|model| (model, &self.tokenizer)),
            student_tokenizer: Some(&tokenizer),
            teacher_tokenizer: Some(&self.tokenizer),
        };
        let pair = Pair {
            student: &student,
            teacher: Some(&self.model),
            seed: SEED,
        };
        let objective = WeightedSum::new(&method.objective, &pair).expect("objectives");
        let step = method.step.build_with(&pair, beside).expect("a step");
        let config = TrainConfig {
            epochs: 1000.0,
            evaluate_every: u64::MAX,
            checkpoint_every_s: u64::MAX,
            ..TrainConfig::default()
        };
        let run = Run {
            train: &set,
            dev: &set,
            metrics: &[Metric::Accuracy],
            objective: &objective,
            step: &*step,
            teacher: Some(&self.teacher),
            config: &config,
            seed: SEED,
        };
        let folder = std::env::temp_dir().join(format!("limbeck-bench-{}", std::process::id()));
        let folders = Folders {
            best: &folder,
            last: &folder,
            checkpoint: &folder,
        };
        let mut clock = Clock {
            last_step: WARM_UP + self.arguments.steps,
            done: 0,
            begun: (Instant::now(), 0.0),
            seconds: [0.0; 2],
        };
        let ended = train(&student, &run, folders, &mut clock);
        assert!(matches!(ended, Err(TrainError::Interrupted { .. })));
        fs_err::remove_dir_all(&folder).expect("the state just written");
        clock.seconds.map(|s| s / self.arguments.steps as f64)
    }
}

/// Takes the time of the steps after a warm-up.
struct Clock {
    last_step: u64,
    done: u64,
    begun: (Instant, f64),
    seconds: [f64; 2],
}

impl Observer for Clock {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.done = event.step;
        if event.step == WARM_UP {
            self.begun = (Instant::now(), processor_seconds());
        } else if event.step == self.last_step {
            let (wall, processor) = self.begun;
            self.seconds = [
                wall.elapsed().as_secs_f64(),
                processor_seconds() - processor,
            ];
        }
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.done == self.last_step
    }
}

/// What this process has used so far: less disturbed by others on the machine than wall time.
fn processor_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks: f64 = fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// A teacher that computes what is asked the first time only.
struct Remembered {
    live: LiveTeacher,
    answers: RefCell<HashMap<String, Signal>>,
}

impl Teacher for Remembered {
    fn provides(&self) -> Needs {
        self.live.provides()
    }

    fn signal(&self, rows: &[usize], needs: Needs) -> Result<Signal, TrainError> {
        let key = format!("{rows:?} {needs:?}");
        if let Some(known) = self.answers.borrow().get(&key) {
            return Ok(known.clone());
        }
        let found = self.live.signal(rows, needs)?;
        self.answers.borrow_mut().insert(key, found.clone());
        Ok(found)
    }
}
