//! `limbeck pretrain`: language models from raw text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::Device;
use limbeck_model::{Learns, MaskedLanguageModel, ModelConfig, TextTokenizer};
use limbeck_report::{
    EvalRecord, FinishedRun, Headline, LogRecord, Metrics, ModelSummary, Role, RunDir, RunState,
    Score, SplitMetrics, hash_input,
};
use limbeck_train::{
    Folders, MASKED_ACCURACY, MaskedScores, Masker, MaskingConfig, Pretraining, Summary, TextRows,
    TextSource, TrainConfig, evaluate_masked, hold_out, pretrain,
};
use serde::{Deserialize, Serialize};

use crate::cli::PretrainArgs;
use crate::commands::run::{
    already_finished, announce, begin, folder_bytes, for_each_seed, label, prepare, provenance,
    training_summary,
};
use crate::environment::{device, model_folder, peak_memory_bytes};
use crate::interrupt;
use crate::progress::RunObserver;
use crate::settings::{BadSettings, read_settings};

/// A run file of `limbeck pretrain mlm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct PretrainFile {
    /// Name of the task in reports.
    task: String,
    /// Seed of all randomness.
    #[serde(default)]
    seed: u64,
    /// What it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<EncoderSettings>,
    /// Which tokens are hidden, and how.
    #[serde(default)]
    masking: MaskingConfig,
    /// How it is learnt.
    #[serde(default)]
    train: TrainConfig,
    /// What it is learnt from and judged on.
    data: TextSettings,
}

/// `[model]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct EncoderSettings {
    /// A folder, a hub id, or a finished run.
    from: String,
    /// Whether the encoder learns too, or the head alone.
    #[serde(default = "yes")]
    train_encoder: bool,
}

fn yes() -> bool {
    true
}

/// `[data]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TextSettings {
    /// Texts to learn from.
    train: Vec<TextSource>,
    /// Texts to choose the best model by.
    #[serde(default)]
    dev: Vec<TextSource>,
    /// Texts to choose the best model by, cut from those to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split: Option<HeldOutSettings>,
}

/// `[data] split`: equal texts stay together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HeldOutSettings {
    /// Share of the texts, in `(0, 1)`.
    dev_fraction: f64,
    /// Decides which texts; apart from the run's seed, so that runs compare.
    #[serde(default)]
    seed: u64,
}

/// Runs `limbeck pretrain mlm`.
pub(crate) fn masked_lm(args: &PretrainArgs, quiet: bool) -> anyhow::Result<()> {
    let mut settings: PretrainFile = read_settings(&args.train.file, &args.train.overrides)?;
    if let Some(from) = &args.model {
        let train_encoder = settings.model.is_none_or(|model| model.train_encoder);
        settings.model = Some(EncoderSettings {
            from: from.clone(),
            train_encoder,
        });
    }
    settings.train.check()?;
    settings.masking.check()?;
    for_each_seed(&args.train, settings.seed, |seed, out| {
        let job = Job {
            settings: PretrainFile {
                seed,
                ..settings.clone()
            },
            out,
            device: device(args.train.device)?,
            quiet,
        };
        job.run()
    })?;
    Ok(())
}

/// One run: settings, folder and device.
struct Job {
    settings: PretrainFile,
    out: PathBuf,
    device: Device,
    quiet: bool,
}

impl Job {
    fn run(&self) -> anyhow::Result<FinishedRun> {
        let settings = &self.settings;
        let Some(from) = &settings.model else {
            return Err(BadSettings::new(
                "`model`: found nothing, expected `--model MODEL` or `[model] from = \"..\"`",
            )
            .into());
        };
        let folder = model_folder(&from.from, self.quiet)?;
        let (train, dev) = self.read_texts()?;
        let provenance = provenance(settings.seed, &self.device, self.inputs(&folder)?);
        if RunState::of(&self.out)? == RunState::Finished {
            let finished = already_finished(&self.out, settings, &provenance)?;
            announce(&self.out, &finished);
            return Ok(finished);
        }
        let model = MaskedLanguageModel::open_or_draw_head(&folder, settings.seed, &self.device)?;
        let model = model.learning(if from.train_encoder {
            Learns::Everything
        } else {
            Learns::Head
        });
        if !model.fresh_tensors().is_empty() {
            tracing::info!("drawn afresh: {}", model.fresh_tensors().join(", "));
        }
        let tokenizer = TextTokenizer::open(&folder)?;
        let masker = Masker::new(&tokenizer, settings.masking)?;
        let max_tokens = settings.train.max_tokens.min(model.config().max_tokens());
        let train = TextRows::new(&train, &tokenizer, max_tokens)?;
        let dev = TextRows::new(&dev, &tokenizer, max_tokens)?;
        for (name, rows) in [("train", &train), ("dev", &dev)] {
            let (sentences, tokens) = (rows.sentence_count(), rows.tokens());
            let rows = rows.len();
            tracing::info!("{name}: {sentences} sentences, {tokens} tokens in {rows} rows");
        }

        interrupt::listen();
        let mut run = begin(&self.out, settings, &provenance)?;
        let started = Instant::now();
        let setup = Pretraining {
            train: &train,
            dev: &dev,
            masker: &masker,
            config: &settings.train,
            seed: settings.seed,
        };
        let summary = self.train(&mut run, &setup, &model, &tokenizer)?;
        let metrics = self.judge(&run, &setup, &model, &summary, started)?;
        let finished = run.finish(&metrics)?;
        announce(&self.out, &finished);
        Ok(finished)
    }

    /// Texts to learn from and texts to judge by.
    fn read_texts(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let data = &self.settings.data;
        let read = |sources: &[TextSource]| -> anyhow::Result<Vec<String>> {
            let mut texts = Vec::new();
            for source in sources {
                texts.extend(source.read()?);
            }
            Ok(texts)
        };
        if data.train.is_empty() {
            return Err(BadSettings::new(
                "`data.train`: found nothing, expected texts to learn from, such as `[{ lines = \"text.txt\" }]`",
            )
            .into());
        }
        match (data.dev.is_empty(), data.split) {
            (false, None) => Ok((read(&data.train)?, read(&data.dev)?)),
            (true, Some(split)) if split.dev_fraction > 0.0 && split.dev_fraction < 1.0 => {
                Ok(hold_out(read(&data.train)?, split.dev_fraction, split.seed))
            }
            (true, Some(split)) => Err(BadSettings::new(format!(
                "`data.split`: found a `dev-fraction` of {}, expected a share in (0, 1)",
                split.dev_fraction
            ))
            .into()),
            (false, Some(_)) => Err(BadSettings::new(
                "`data`: found both `dev` and `split`, expected one of them",
            )
            .into()),
            (true, None) => Err(BadSettings::new(
                "`data.dev`: found nothing, expected texts to choose the best model by, or `split = { dev-fraction = 0.02 }`",
            )
            .into()),
        }
    }

    fn inputs(&self, model: &Path) -> anyhow::Result<BTreeMap<String, limbeck_report::Input>> {
        let data = &self.settings.data;
        let mut inputs = BTreeMap::from([("model".to_owned(), hash_input(model)?)]);
        for (name, sources) in [("train", &data.train), ("dev", &data.dev)] {
            for (index, source) in sources.iter().enumerate() {
                inputs.insert(format!("{name}-{}", index + 1), hash_input(source.path())?);
            }
        }
        Ok(inputs)
    }

    fn train(
        &self,
        run: &mut RunDir,
        setup: &Pretraining<'_>,
        model: &MaskedLanguageModel,
        tokenizer: &TextTokenizer,
    ) -> anyhow::Result<Summary> {
        let (best, last, checkpoint) = (run.model_path(), run.last_path(), run.checkpoint_path());
        prepare(run, tokenizer)?;
        if run.log()?.is_empty() {
            let scores = evaluate_masked(model, setup.dev, setup.masker)?;
            tracing::info!("before the first step: dev {}", shown(&scores));
            run.append(&LogRecord::Eval(EvalRecord {
                step: 0,
                epoch: 0,
                split: "dev".into(),
                metrics: scores.metrics(),
                loss: scores.loss,
            }))?;
        }
        let label = label(&self.out);
        let mut observer = RunObserver::new(run, &label, setup.config.log_every, self.quiet)?;
        let folders = Folders {
            best: &best,
            last: &last,
            checkpoint: &checkpoint,
        };
        Ok(pretrain(model, setup, folders, &mut observer)?)
    }

    fn judge(
        &self,
        run: &RunDir,
        setup: &Pretraining<'_>,
        model: &MaskedLanguageModel,
        summary: &Summary,
        started: Instant,
    ) -> anyhow::Result<Metrics> {
        let scores = evaluate_masked(model, setup.dev, setup.masker)?;
        let (tokens, best) = (summary.tokens, summary.best.step);
        tracing::info!(
            "{tokens} tokens seen; best after step {best}: dev {}",
            shown(&scores)
        );
        let (parameters, embedding_parameters) = model.parameter_count();
        let config = ModelConfig::from(model.config());
        let score = |(name, value)| {
            let interval = None;
            (name, Score { value, interval })
        };
        Ok(Metrics {
            task: self.settings.task.clone(),
            labels: Vec::new(),
            role: Role::Teacher,
            teacher: None,
            ensemble: Vec::new(),
            model: ModelSummary {
                name: format!("{}, masked LM", config.kind_name()),
                kind: config.model_type().into(),
                parameters: parameters as u64,
                embedding_parameters: embedding_parameters as u64,
                size_bytes: folder_bytes(&run.model_path())?,
            },
            headline: Headline {
                split: "dev".into(),
                metric: MASKED_ACCURACY.into(),
            },
            splits: vec![SplitMetrics {
                split: "dev".into(),
                examples: setup.dev.sentence_count() as u64,
                metrics: scores.metrics().into_iter().map(score).collect(),
                loss: Some(scores.loss),
                ..SplitMetrics::default()
            }],
            training: Some(training_summary(summary, setup.train.len(), setup.config)),
            sentences_per_s: None,
            peak_memory_bytes: peak_memory_bytes(),
            wall_time_s: summary.earlier_s + started.elapsed().as_secs_f64(),
        })
    }
}

fn shown(scores: &MaskedScores) -> String {
    format!(
        "masked accuracy {:.4}, perplexity {:.1} over {} hidden tokens",
        scores.accuracy,
        scores.perplexity(),
        scores.predicted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_files_of_the_examples_are_valid() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        for name in [
            "adversarial-training/masked-lm.toml",
            "masked-lm/minilm-wikitext.toml",
            "movie-reviews/masked-lm.toml",
            "study/masked-lm.toml",
        ] {
            let file: PretrainFile = read_settings(&examples.join(name), &[]).unwrap();
            file.train.check().unwrap();
            file.masking.check().unwrap();
        }
    }

    #[test]
    fn the_template_is_valid_and_shows_the_defaults() {
        let text = include_str!("init/pretrain_mlm.toml");
        let file: PretrainFile = toml::from_str(text).unwrap();
        assert_eq!(file.train, TrainConfig::default());
        assert_eq!(file.masking, MaskingConfig::default());
        assert!(file.model.unwrap().train_encoder);
        let table: toml::Table = toml::from_str(text).unwrap();
        let shown =
            |key: &str| -> Vec<String> { table[key].as_table().unwrap().keys().cloned().collect() };
        let all = |table: toml::Table| -> Vec<String> { table.keys().cloned().collect() };
        let train = toml::Table::try_from(TrainConfig::default()).unwrap();
        let masking = toml::Table::try_from(MaskingConfig::default()).unwrap();
        assert_eq!(shown("train"), all(train));
        assert_eq!(shown("masking"), all(masking));
    }
}
