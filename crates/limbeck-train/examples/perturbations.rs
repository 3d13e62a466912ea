//! How far perturbations move a student's logits: `perturbations STUDENT TEACHER DATA.tsv [COUNT]`, data as SST-2's.
//!
//! For each kind of perturbation, over the first sentences of the set, without dropout: the perturbation's l2 norm for
//! a token relative to the token's embedding; how far it moves a logit, mean and largest; the mean divergence from
//! the teacher without and with it; the share of sentences whose label it changes.

#![expect(clippy::print_stdout, reason = "results go to standard output")]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use limbeck_model::{ModelConfig, Needs, SentenceClassifier, Target, TextTokenizer, Weights};
use limbeck_ops::Pass;
use limbeck_ops::loss::{Reduction, soft_targets};
use limbeck_text::{DataSpec, GlueTask, LabelSource, Metric, read_examples};
use limbeck_train::{
    Ad2, EncodedSet, Lesson, LiveTeacher, Norm, Pair, Perturbation, Plain, Run, Smart, Span,
    StartConfig, StepConfig, StepKeys, TrainConfig, WeightedSum,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Names, and steps as in a run file.
const KINDS: [(&str, &str); 12] = [
    ("none", "{ ad2 = { delta = 'none' } }"),
    (
        "as printed (token, 1e-5)",
        "{ ad2 = { delta = 'as-printed' } }",
    ),
    (
        "token ball 0.01",
        "{ ad2 = { delta = { ball = { over = 'token', radius = 0.01 } } } }",
    ),
    (
        "token ball 0.1",
        "{ ad2 = { delta = { ball = { over = 'token', radius = 0.1 } } } }",
    ),
    (
        "sentence ball 0.1",
        "{ ad2 = { delta = { ball = { radius = 0.1 } } } }",
    ),
    (
        "sentence ball 1",
        "{ ad2 = { delta = { ball = { radius = 1.0, step-size = 1.0 } } } }",
    ),
    (
        "FreeLB's radii, K 1",
        "{ ad2 = { delta = { free-lb = {} } } }",
    ),
    (
        "FreeLB's radii, K 3",
        "{ ad2 = { delta = { free-lb = {} }, steps = 3 } }",
    ),
    (
        "unit l2",
        "{ ad2 = { delta = { unit = { norm = 'l2' } } } }",
    ),
    (
        "unit max",
        "{ ad2 = { delta = { unit = { norm = 'max' } } } }",
    ),
    ("SMART, l2", "{ smart = {} }"),
    ("SMART, max", "{ smart = { norm = 'max' } }"),
];

const BATCH: usize = 32;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [student, teacher, data, rest @ ..] = &arguments[..] else {
        return Err("usage: perturbations STUDENT TEACHER DATA.tsv [COUNT]".into());
    };
    let count: usize = rest.first().map_or(Ok(256), |count| count.parse())?;
    let (student_folder, teacher_folder) = (Path::new(student), Path::new(teacher));
    let student = without_dropout(student_folder)?;
    let teacher = SentenceClassifier::open(teacher_folder, None, 0, &Device::Cpu)?;
    let Target::Labels(labels) = student.target().clone() else {
        return Err("expected a classifier".into());
    };
    let spec = DataSpec::glue(Path::new(data), GlueTask::Sst2);
    let mut examples = read_examples(&spec, &LabelSource::Names(labels))?.examples;
    examples.truncate(count);
    let encode = |folder: &Path| -> Result<EncodedSet, Failure> {
        Ok(EncodedSet::new(
            &examples,
            &TextTokenizer::open(folder)?,
            128,
        )?)
    };
    let set = encode(student_folder)?;
    let teacher = LiveTeacher::new(teacher, encode(teacher_folder)?);
    let objectives = toml::from_str::<toml::Table>("all = [{ soft-targets = {} }]")?;
    let objectives: Vec<_> = objectives["all"].clone().try_into()?;
    let objective = WeightedSum::new(&objectives, &Pair::alone(&student))?;
    let run = Run {
        train: &set,
        dev: &set,
        metrics: &[Metric::Accuracy],
        objective: &objective,
        step: &Plain,
        teacher: Some(&teacher),
        config: &TrainConfig::default(),
        seed: 1,
    };
    println!(
        "{:<26} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "perturbation", "of token", "mean", "largest", "KL clean", "KL", "flipped"
    );
    for (name, step) in KINDS {
        let table = toml::from_str::<toml::Table>(&format!("step = {step}"))?;
        let step: StepConfig = table["step"].clone().try_into()?;
        let mut found = Moved::default();
        let rows: Vec<usize> = (0..set.len()).collect();
        for rows in rows.chunks(BATCH) {
            found.add(&answers(&student, &run, rows, &step)?)?;
        }
        found.print(name, set.len() as f64);
    }
    Ok(())
}

/// Sums over sentences.
#[derive(Default)]
struct Moved {
    relative_norms: f64,
    tokens: f64,
    moves: f64,
    logits: f64,
    largest: f64,
    clean_divergence: f64,
    divergence: f64,
    flipped: usize,
}

impl Moved {
    fn add(&mut self, found: &Answers) -> Result<(), Failure> {
        let Answers {
            clean,
            moved,
            teacher,
            ..
        } = found;
        let sentences = clean.dim(0)? as f64;
        let divergence = |logits: &Tensor| -> Result<f64, Failure> {
            let mean = soft_targets(logits, teacher, 1.0, Reduction::BatchMean)?;
            Ok(sentences * f64::from(mean.to_scalar::<f32>()?))
        };
        self.clean_divergence += divergence(clean)?;
        self.divergence += divergence(moved)?;
        let flat = |logits: &Tensor| logits.to_dtype(DType::F64)?.to_vec2::<f64>();
        for (clean, moved) in flat(clean)?.iter().zip(flat(moved)?) {
            for (a, b) in clean.iter().zip(&moved) {
                self.moves += (a - b).abs();
                self.logits += 1.0;
                self.largest = self.largest.max((a - b).abs());
            }
            self.flipped += usize::from(best(clean) != best(&moved));
        }
        let sizes = found.embeddings.norms(Span::Token, Norm::L2);
        for (delta, size) in found.delta.norms(Span::Token, Norm::L2).iter().zip(sizes) {
            self.relative_norms += delta / size;
            self.tokens += 1.0;
        }
        Ok(())
    }

    fn print(&self, name: &str, sentences: f64) {
        println!(
            "{name:<26} {:>9.2e} {:>9.2e} {:>9.2e} {:>9.4} {:>9.4} {:>6.1}%",
            self.relative_norms / self.tokens,
            self.moves / self.logits,
            self.largest,
            self.clean_divergence / sentences,
            self.divergence / sentences,
            100.0 * self.flipped as f64 / sentences
        );
    }
}

fn best(logits: &[f64]) -> usize {
    let numbered = logits.iter().enumerate();
    numbered
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |(i, _)| i)
}

/// A batch's logits without and with a perturbation.
struct Answers {
    clean: Tensor,
    moved: Tensor,
    teacher: Tensor,
    delta: Perturbation,
    embeddings: Perturbation,
}

fn answers(
    student: &SentenceClassifier,
    run: &Run<'_>,
    rows: &[usize],
    step: &StepConfig,
) -> Result<Answers, Failure> {
    let keys = StepKeys {
        epoch: 0,
        step: 0,
        dropout: 0,
    };
    let lesson = Lesson::new(student, run, rows, rows.len(), keys);
    let batch = &lesson.batch;
    let embeddings = student.embed(batch, &Pass::EVALUATE)?;
    let delta = match step {
        StepConfig::Ad2(config) => Ad2::new(*config, false)?.perturbation(&lesson)?,
        StepConfig::Smart(config) => Some(Smart::new(*config, false)?.perturbation(&lesson)?),
        other => return Err(format!("{other:?} perturbs nothing").into()),
    };
    let delta = match delta {
        Some(delta) => delta,
        None => StartConfig::Zero.draw(batch, embeddings.dim(1)?, 0),
    };
    let logits = |delta: &Perturbation| -> Result<Tensor, Failure> {
        let sum = (&embeddings + delta.tensor(&Device::Cpu)?)?;
        Ok(student
            .forward_embedded(batch, &sum, Needs::NOTHING, &Pass::EVALUATE)?
            .logits)
    };
    Ok(Answers {
        clean: logits(&StartConfig::Zero.draw(batch, embeddings.dim(1)?, 0))?,
        moved: logits(&delta)?,
        teacher: lesson.signal()?.ok_or("a teacher answers")?.logits,
        embeddings: Perturbation::from_tensor(&embeddings, &batch.starts)?,
        delta,
    })
}

/// A model whose training passes drop nothing.
fn without_dropout(folder: &Path) -> Result<SentenceClassifier, Failure> {
    let mut config = ModelConfig::open(&folder.join("config.json"))?;
    match &mut config {
        ModelConfig::Transformer(config) => {
            config.hidden_dropout = 0.0;
            config.attention_dropout = 0.0;
            config.classifier_dropout = 0.0;
        }
        ModelConfig::BiLstm(config) => config.dropout = 0.0,
    }
    let weights = Weights::open(folder)?;
    Ok(SentenceClassifier::from_weights(
        config,
        &weights,
        None,
        0,
        &Device::Cpu,
    )?)
}
