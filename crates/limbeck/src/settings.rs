//! Run files: TOML read into typed settings, with every default visible.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use limbeck_model::StudentConfig;
use limbeck_report::Role;
use limbeck_text::{DataSpec, Metric};
use limbeck_train::{Average, HandsOn, LabelSplit, ObjectiveConfig, StepConfig, TrainConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A run file or an argument that cannot be meant; exit code 2.
#[derive(Debug)]
pub(crate) struct BadSettings(String);

impl BadSettings {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSettings {}

/// A run file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RunFile {
    /// Name of the task in reports.
    pub(crate) task: String,
    /// The part the model plays in a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    /// Seed of all randomness.
    #[serde(default)]
    pub(crate) seed: u64,
    /// What fine-tuning begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<ModelSettings>,
    /// Whom a student learns from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) teacher: Option<TeacherSettings>,
    /// What a student is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) student: Option<StudentConfig>,
    /// What is learnt.
    #[serde(default)]
    pub(crate) objective: Vec<ObjectiveConfig>,
    /// How a batch becomes gradients.
    #[serde(default)]
    pub(crate) step: StepConfig,
    /// How it is learnt.
    #[serde(default)]
    pub(crate) train: TrainConfig,
    /// Several phases, one after another; each has objectives and a step of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) phase: Vec<PhaseSettings>,
    /// What it is learnt from and judged on.
    pub(crate) data: DataSettings,
    /// Students to choose from; only for `limbeck search`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) search: Option<SearchSettings>,
}

/// `[search]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SearchSettings {
    /// The students to try, in any order: they are tried from the smallest.
    pub(crate) students: Vec<StudentConfig>,
    /// Share of the teacher's dev score that is enough, above 0.
    #[serde(default = "default_share")]
    pub(crate) share: f64,
}

fn default_share() -> f64 {
    0.9
}

/// `[model]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ModelSettings {
    /// A folder, a hub id, or a finished run.
    pub(crate) from: String,
}

/// `[teacher]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TeacherSettings {
    /// A finished run, a folder, or a hub id.
    pub(crate) from: String,
    /// Further teachers, whose answers are averaged with its.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ensemble: Vec<String>,
    /// What is averaged: `probabilities` or `logits`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) average: Average,
    /// Whether its outputs are computed once and stored, beside the run's folder.
    #[serde(default = "yes")]
    pub(crate) store: bool,
    /// Longest sentence in the teacher's tokens.
    #[serde(default = "default_max_tokens")]
    pub(crate) max_tokens: usize,
}

fn yes() -> bool {
    true
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_max_tokens() -> usize {
    MAX_TOKENS
}

/// One of `[[phase]]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct PhaseSettings {
    /// What is learnt.
    pub(crate) objective: Vec<ObjectiveConfig>,
    /// How a batch becomes gradients.
    pub(crate) step: StepConfig,
    /// The model that the next phase begins with.
    pub(crate) hands_on: HandsOn,
    /// What differs from `[train]`.
    pub(crate) train: toml::Table,
}

/// A phase with all its settings.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedPhase {
    pub(crate) objective: Vec<ObjectiveConfig>,
    pub(crate) step: StepConfig,
    pub(crate) hands_on: HandsOn,
    pub(crate) train: TrainConfig,
}

impl ResolvedPhase {
    /// Whether every row of the training file has to have a gold label.
    pub(crate) fn needs_labels(&self) -> bool {
        let by_objectives = self.objective.iter().any(ObjectiveConfig::needs_labels);
        self.step.needs_labels() || by_objectives && !self.step.takes_unlabelled()
    }
}

/// `[data]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DataSettings {
    /// Label names in the order of the logits; found in the training set when empty.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// Whether labels are numbers to be predicted.
    #[serde(default)]
    pub(crate) regression: bool,
    /// Metrics; the first chooses the best model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics: Vec<Metric>,
    /// The set to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) train: Option<DataSpec>,
    /// Sets without labels that are learnt from a teacher too, after `train`; labels in them are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) transfer: Vec<DataSpec>,
    /// Whether the training set stays on disk, so that memory holds a batch only; `None`: from 256 MiB on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<bool>,
    /// The set to choose the best model by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dev: Option<DataSpec>,
    /// The set to judge the chosen model on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<DataSpec>,
    /// Dev and test sets cut from the training set, where it comes as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) split: Option<SplitSettings>,
    /// A part of the training set, to see what less data or time is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) train_sample: Option<SampleSettings>,
    /// Which training examples keep their labels, for learning from few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labelled: Option<LabelSplit>,
    /// Further labelled sets, such as other domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extra: Vec<ExtraSet>,
}

impl DataSettings {
    /// All files that are named.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let sets = [&self.train, &self.dev, &self.test];
        let extra = self.extra.iter().map(|extra| &extra.set);
        let specs = sets
            .into_iter()
            .flatten()
            .chain(&self.transfer)
            .chain(extra);
        specs.map(|spec| spec.path.as_path())
    }
}

/// `[data] split`: equal texts stay together, shares of the labels are kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SplitSettings {
    /// Share of the training file that becomes the dev set, in `(0, 1)`.
    pub(crate) dev_fraction: f64,
    /// Share that becomes the test set, in `[0, 1)`.
    #[serde(default)]
    pub(crate) test_fraction: f64,
    /// Decides which examples; apart from the run's seed, so that runs compare.
    #[serde(default)]
    pub(crate) seed: u64,
}

/// `[data] train-sample`, and `sample` of an extra set: rows drawn without replacement, kept in their order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SampleSettings {
    /// How many; all when there are no more.
    pub(crate) rows: usize,
    /// Decides which; apart from the run's seed, so that runs compare.
    #[serde(default)]
    pub(crate) seed: u64,
}

/// One of `[[data.extra]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ExtraSet {
    /// Name in reports.
    pub(crate) name: String,
    /// The set.
    pub(crate) set: DataSpec,
    /// What each of the model's labels is called in the set, where its labels are others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) label_map: BTreeMap<String, String>,
    /// A part of the set, where all of it takes too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample: Option<SampleSettings>,
}

impl RunFile {
    /// Reads a run file and applies `key=value` overrides.
    pub(crate) fn read(path: &Path, overrides: &[String]) -> anyhow::Result<Self> {
        read_settings(path, overrides)
    }

    /// The phases with their settings, checked; a run without `[[phase]]` has one.
    pub(crate) fn phases(&self) -> anyhow::Result<Vec<ResolvedPhase>> {
        self.train.check()?;
        if self.phase.is_empty() {
            return Ok(vec![ResolvedPhase {
                objective: self.objective.clone(),
                step: self.step.clone(),
                hands_on: HandsOn::default(),
                train: self.train.clone(),
            }]);
        }
        if !self.objective.is_empty() || self.step != StepConfig::default() {
            return Err(BadSettings::new(
                "`phase`: found beside `objective` or `step`, expected these in each phase; move them there",
            )
            .into());
        }
        (1..)
            .zip(&self.phase)
            .map(|(number, phase)| {
                let whole_run = ["max-tokens", "log-every"];
                if let Some(key) = whole_run.iter().find(|&&key| phase.train.contains_key(key)) {
                    return Err(BadSettings::new(format!(
                        "`phase.train.{key}` of phase {number}: holds for all phases; set `train.{key}`"
                    ))
                    .into());
                }
                let mut table = toml::Table::try_from(&self.train)?;
                table.extend(phase.train.clone());
                let train: TrainConfig = table.try_into().map_err(|e: toml::de::Error| {
                    BadSettings::new(format!("`phase.train` of phase {number}: {}", e.message()))
                })?;
                train
                    .check()
                    .map_err(|e| BadSettings::new(format!("phase {number}: {e}")))?;
                Ok(ResolvedPhase {
                    objective: phase.objective.clone(),
                    step: phase.step.clone(),
                    hands_on: phase.hands_on,
                    train,
                })
            })
            .collect()
    }
}

/// Longest sentence where nothing says otherwise, in tokens.
pub(crate) const MAX_TOKENS: usize = 128;

/// The longest sentence that a model is given, in tokens: as stated, or as the run `model` was trained with, or else.
pub(crate) fn max_tokens(stated: Option<usize>, model: Option<&str>, otherwise: usize) -> usize {
    let trained = || trained_max_tokens(model?);
    stated.or_else(trained).unwrap_or(otherwise)
}

/// `None` for a model that is not one of our runs.
fn trained_max_tokens(model: &str) -> Option<usize> {
    let text = fs_err::read_to_string(Path::new(model).join("config.toml")).ok()?;
    let config: toml::Table = text.parse().ok()?;
    let tokens = config.get("train")?.get("max-tokens")?.as_integer()?;
    usize::try_from(tokens).ok()
}

/// A time that an option states, in seconds.
pub(crate) fn seconds(option: &str, value: f64) -> anyhow::Result<Duration> {
    const LONGEST: f64 = 1e9;
    if value > 0.0 && value <= LONGEST {
        return Ok(Duration::from_secs_f64(value));
    }
    let problem = format!("`{option}`: found {value}, expected seconds above 0, at most {LONGEST}");
    Err(BadSettings::new(problem).into())
}

/// Reads the run file of any command and applies `key=value` overrides.
pub(crate) fn read_settings<T: DeserializeOwned>(
    path: &Path,
    overrides: &[String],
) -> anyhow::Result<T> {
    let text = fs_err::read_to_string(path).map_err(|e| {
        BadSettings::new(format!(
            "{e}; `limbeck init` writes a run file to begin with"
        ))
    })?;
    parse_settings(&text, path, overrides)
}

/// The settings in the text of a run file, with `key=value` overrides; `path` is what errors name.
pub(crate) fn parse_settings<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    overrides: &[String],
) -> anyhow::Result<T> {
    if overrides.is_empty() {
        // Straight from the text: errors point at their line.
        return toml::from_str(text).map_err(|e| bad(path, &e));
    }
    let mut table: toml::Table = toml::from_str(text).map_err(|e| bad(path, &e))?;
    for item in overrides {
        apply(&mut table, item)?;
    }
    let merged = toml::to_string(&table)?;
    toml::from_str(&merged).map_err(|e| {
        BadSettings::new(format!(
            "{} with {}: {}",
            path.display(),
            overrides.join(" "),
            e.message()
        ))
        .into()
    })
}

fn bad(path: &Path, error: &toml::de::Error) -> anyhow::Error {
    BadSettings::new(format!(
        "{}: {}",
        path.display(),
        error.to_string().trim_end()
    ))
    .into()
}

/// Sets `a.b.c=value`; what does not read as a TOML value is a string.
fn apply(table: &mut toml::Table, item: &str) -> anyhow::Result<()> {
    let Some((key, value)) = item.split_once('=') else {
        return Err(BadSettings::new(format!(
            "`--set {item}`: expected KEY=VALUE, such as `train.epochs=2`"
        ))
        .into());
    };
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let value = parsed
        .ok()
        .and_then(|mut t| t.remove("value"))
        .unwrap_or_else(|| value.to_owned().into());
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().expect("split gives at least one part");
    let mut table = table;
    for part in parts {
        let entry = table
            .entry(part)
            .or_insert_with(|| toml::Table::new().into());
        let Some(inner) = entry.as_table_mut() else {
            return Err(
                BadSettings::new(format!("`--set {item}`: `{part}` is not a table")).into(),
            );
        };
        table = inner;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_files_of_the_examples_are_valid() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut count = 0;
        for folder in [
            "adversarial-training",
            "assistant-chain",
            "methods",
            "movie-reviews",
            "sst2",
        ] {
            for entry in fs_err::read_dir(examples.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                // Of another command.
                if path.extension().is_none_or(|e| e != "toml") || name.starts_with("masked-lm") {
                    continue;
                }
                let file = RunFile::read(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
                file.phases().unwrap_or_else(|e| panic!("{name}: {e}"));
                count += 1;
            }
        }
        assert!(count > 15, "{count}");
    }

    #[test]
    fn overrides_reach_nested_keys() {
        let mut table: toml::Table = toml::from_str("seed = 1\n[train]\nepochs = 3.0").unwrap();
        for item in [
            "seed=9",
            "train.learning-rate=1e-3",
            "train.schedule=cosine",
            "data.labels=[\"a\", \"b\"]",
        ] {
            apply(&mut table, item).unwrap();
        }
        let expected = "seed = 9\n[train]\nepochs = 3.0\nlearning-rate = 1e-3\nschedule = \"cosine\"\n[data]\nlabels = [\"a\", \"b\"]";
        assert_eq!(table, toml::from_str::<toml::Table>(expected).unwrap());
        assert!(apply(&mut table, "seed.x=1").is_err());
        assert!(apply(&mut table, "seed").is_err());
    }
}
