//! Data sets of a run file, opened and checked against each other.

use std::collections::BTreeMap;
use std::path::Path;

use limbeck_model::Target;
use limbeck_report::{Input, hash_input};
use limbeck_text::{
    DataSpec, Dataset, Example, ExampleReader, LabelMap, LabelSource, Metric, TaskKind,
    read_examples, split,
};
use rand::seq::index;

use crate::commands::training_set::{Labels, TrainingFiles, TrainingSet, transfer_rows};
use crate::settings::{BadSettings, DataSettings, ExtraSet, SampleSettings};

/// A set to score a model on.
pub(crate) struct NamedSet {
    pub(crate) name: String,
    pub(crate) spec: DataSpec,
    pub(crate) examples: Vec<Example>,
    /// From the model's labels to the set's, where these are others.
    pub(crate) map: Option<LabelMap>,
}

impl NamedSet {
    fn new(name: &str, spec: &DataSpec, examples: Vec<Example>) -> Self {
        Self {
            name: name.to_owned(),
            spec: spec.clone(),
            examples,
            map: None,
        }
    }

    /// A set whose labels are those of a model of this kind, or what `map` calls them.
    fn read(
        name: &str,
        spec: &DataSpec,
        kind: &TaskKind,
        map: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        if map.is_empty() {
            let examples = read(spec, &LabelSource::from(kind))?.examples;
            return Ok(Self::new(name, spec, examples));
        }
        let TaskKind::Classification { labels } = kind else {
            let problem = format!(
                "`label-map` of `{name}`: found one for a regression, expected none; remove it"
            );
            return Err(BadSettings::new(problem).into());
        };
        let map = LabelMap::new(labels, map)
            .map_err(|e| BadSettings::new(format!("the set `{name}`: {e}")))?;
        let names = LabelSource::Names(map.names().to_vec());
        let examples = read(spec, &names)?.examples;
        Ok(Self {
            map: Some(map),
            ..Self::new(name, spec, examples)
        })
    }

    /// The same of an extra set, or of the part of it that is asked for.
    fn read_extra(
        extra: &ExtraSet,
        kind: &TaskKind,
        map: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let mut set = Self::read(&extra.name, &extra.set, kind, map)?;
        set.examples = sample(set.examples, extra.sample, "extra.sample", "extra sample")?;
        Ok(set)
    }
}

/// Everything a run reads; in memory, but for a training set that is large.
pub(crate) struct Sets {
    pub(crate) train: TrainingSet,
    pub(crate) dev: Vec<Example>,
    /// Held-out sets to score in the end, in order: `test` first, then the extra ones.
    pub(crate) held_out: Vec<NamedSet>,
    pub(crate) kind: TaskKind,
    pub(crate) metrics: Vec<Metric>,
}

impl Sets {
    /// What a model for these sets predicts.
    pub(crate) fn target(&self) -> Target {
        target(&self.kind)
    }

    /// Reads all sets. `known` are a teacher's labels, which the sets must then have.
    pub(crate) fn open(
        data: &DataSettings,
        known: Option<&Target>,
        need: Labels,
    ) -> anyhow::Result<Self> {
        check_names(data)?;
        let Some(train) = &data.train else {
            return Err(BadSettings::new(
                "`data.train`: found nothing, expected a set to learn from",
            )
            .into());
        };
        let source = label_source(data, known);
        if TrainingSet::is_large(data)? {
            return Self::open_files(data, train, &source, need);
        }
        let train = read(train, &source)?;
        if need == Labels::Needed {
            train.require_trainable()?;
        }
        let first_id = train.examples.len() as u64;
        let kind = train.kind.clone();
        let names = LabelSource::from(&kind);
        let mut test_cut = None;
        let (train, dev) = match (&data.dev, data.split) {
            (Some(_), Some(_)) => {
                return Err(BadSettings::new(
                    "`data`: found both `dev` and `split`, expected one of them",
                )
                .into());
            }
            (None, None) => {
                return Err(BadSettings::new("`data.dev`: found nothing, expected a set to choose the best model by, or `split = { dev-fraction = 0.1 }`").into());
            }
            (Some(dev), None) => (train.examples, read_labelled(dev, &names)?),
            (None, Some(cut)) => {
                let total = cut.dev_fraction + cut.test_fraction;
                if cut.dev_fraction <= 0.0 || cut.test_fraction < 0.0 || total >= 1.0 {
                    let problem = format!(
                        "`data.split`: found {} and {}, expected shares with a sum below 1",
                        cut.dev_fraction, cut.test_fraction
                    );
                    return Err(BadSettings::new(problem).into());
                }
                let mut rest = train.examples;
                if cut.test_fraction > 0.0 {
                    let parts = split(&rest, cut.test_fraction, cut.seed)?;
                    (rest, test_cut) = (parts.rest, Some(parts.held_out));
                }
                let parts = split(
                    &rest,
                    cut.dev_fraction / (1.0 - cut.test_fraction),
                    cut.seed,
                )?;
                if parts.held_out.is_empty() || parts.rest.is_empty() {
                    let (dev, rest) = (parts.held_out.len(), parts.rest.len());
                    let problem = format!(
                        "`data.split`: {dev} examples for the dev set and {rest} for training, expected at least one of each; change `dev-fraction`"
                    );
                    return Err(BadSettings::new(problem).into());
                }
                (parts.rest, parts.held_out)
            }
        };
        let mut held_out = Vec::new();
        if let (Some(examples), Some(spec)) = (test_cut, &data.train) {
            held_out.push(NamedSet::new("test", spec, examples));
        }
        held_out.extend(held_out_sets(data, &kind)?);
        let metrics = metrics(data, &kind)?;
        let mut train = sample(train, data.train_sample, "train-sample", "training sample")?;
        train.extend(transfer_rows(&data.transfer, first_id)?);
        Ok(Self {
            train: TrainingSet::Memory(with_split(train, data)?),
            dev,
            held_out,
            kind,
            metrics,
        })
    }

    /// The same where the training set stays in its files.
    fn open_files(
        data: &DataSettings,
        train: &DataSpec,
        source: &LabelSource,
        need: Labels,
    ) -> anyhow::Result<Self> {
        let Some(dev) = &data.dev else {
            return Err(BadSettings::new(
                "`data.dev`: found nothing, expected a set to choose the best model by",
            )
            .into());
        };
        let kind = ExampleReader::open(train, source)?.kind().clone();
        let labels = LabelSource::from(&kind);
        let dev = read_labelled(dev, &labels)?;
        let held_out = held_out_sets(data, &kind)?;
        let files = TrainingFiles::new(train, labels, &data.transfer);
        Ok(Self {
            train: TrainingSet::survey(files, need)?,
            dev,
            held_out,
            metrics: metrics(data, &kind)?,
            kind,
        })
    }

    /// Sets to score a finished model on: dev (given or cut), test and the extra ones.
    pub(crate) fn open_for_scoring(
        data: &DataSettings,
        target: &Target,
        label_map: Option<&BTreeMap<String, String>>,
    ) -> anyhow::Result<(Vec<NamedSet>, Vec<Metric>)> {
        check_names(data)?;
        check_stated_target(data, target)?;
        if label_map.is_none() && data.train.is_some() && data.dev.is_none() && data.split.is_some()
        {
            let sets = Self::open(data, Some(target), Labels::Free)?;
            let spec = data.train.clone().unwrap_or_default();
            let mut all = vec![NamedSet::new("dev", &spec, sets.dev)];
            all.extend(sets.held_out);
            return Ok((all, sets.metrics));
        }
        let kind = task_kind(target);
        let own = BTreeMap::new();
        let mut all = Vec::new();
        for (name, spec) in [("dev", &data.dev), ("test", &data.test)] {
            if let Some(spec) = spec {
                let map = label_map.unwrap_or(&own);
                all.push(NamedSet::read(name, spec, &kind, map)?);
            }
        }
        for extra in &data.extra {
            let map = if extra.label_map.is_empty() {
                label_map.unwrap_or(&own)
            } else {
                &extra.label_map
            };
            all.push(NamedSet::read_extra(extra, &kind, map)?);
        }
        if all.is_empty() {
            return Err(BadSettings::new(
                "`data`: found no set to score, expected `dev`, `test` or `[[data.extra]]`",
            )
            .into());
        }
        Ok((all, metrics(data, &task_kind(target))?))
    }
}

/// Fails where an extra set has the name of another input, or one that no file can have.
fn check_names(data: &DataSettings) -> anyhow::Result<()> {
    let reserved = |name: &str| {
        let begins = ["teacher", "generator", "transfer-"];
        ["train", "dev", "test", "model"].contains(&name)
            || begins.iter().any(|begin| name.starts_with(begin))
    };
    for (index, extra) in data.extra.iter().enumerate() {
        let name = &extra.name;
        let problem = if name.trim().is_empty() || name.contains(['/', '\\']) {
            "expected a name without slashes"
        } else if reserved(name) {
            "expected a name that no other input has, such as `train` or `dev`"
        } else if data.extra[..index].iter().any(|other| other.name == *name) {
            "a second time, expected each name once"
        } else {
            continue;
        };
        return Err(BadSettings::new(format!("`data.extra`: found `{name}`, {problem}")).into());
    }
    Ok(())
}

/// The rows that [`SampleSettings`], found under `data.{key}`, choose; `stream` names the draw.
fn sample(
    rows: Vec<Example>,
    settings: Option<SampleSettings>,
    key: &str,
    stream: &str,
) -> anyhow::Result<Vec<Example>> {
    let Some(SampleSettings { rows: wanted, seed }) = settings else {
        return Ok(rows);
    };
    if wanted == 0 {
        let problem = format!(
            "`data.{key}.rows`: found 0, expected 1 or more; leave the key out for all rows"
        );
        return Err(BadSettings::new(problem).into());
    }
    let mut random = limbeck_model::generator(seed, stream);
    let mut chosen = vec![false; rows.len()];
    for row in index::sample(&mut random, rows.len(), wanted.min(rows.len())) {
        chosen[row] = true;
    }
    let chosen = rows.into_iter().zip(chosen).filter(|(_, chosen)| *chosen);
    Ok(chosen.map(|(row, _)| row).collect())
}

/// The rows that learn, with the labels that are to stay.
fn with_split(train: Vec<Example>, data: &DataSettings) -> anyhow::Result<Vec<Example>> {
    let Some(split) = data.labelled else {
        return Ok(train);
    };
    let total = train.len();
    let train = split.apply(train)?;
    let labelled = train.iter().filter(|e| e.label.is_some()).count();
    tracing::info!(
        "labelled: {labelled} of the {} rows to learn from, made of {total}",
        train.len()
    );
    Ok(train)
}

/// The test set, and the extra ones.
fn held_out_sets(data: &DataSettings, kind: &TaskKind) -> anyhow::Result<Vec<NamedSet>> {
    let own = BTreeMap::new();
    let test = data.test.iter();
    let test = test.map(|spec| NamedSet::read("test", spec, kind, &own));
    let extra = data.extra.iter();
    let extra = extra.map(|extra| NamedSet::read_extra(extra, kind, &extra.label_map));
    test.chain(extra).collect()
}

fn target(kind: &TaskKind) -> Target {
    match kind {
        TaskKind::Classification { labels } => Target::Labels(labels.clone()),
        TaskKind::Regression => Target::Regression,
    }
}

/// The task that a model's target belongs to.
pub(crate) fn task_kind(target: &Target) -> TaskKind {
    match target {
        Target::Labels(labels) => TaskKind::Classification {
            labels: labels.clone(),
        },
        Target::Regression => TaskKind::Regression,
    }
}

/// Fails when a run file states other labels, or another order, than those a model has learnt.
fn check_stated_target(data: &DataSettings, model: &Target) -> anyhow::Result<()> {
    let stated = match (data.regression, data.labels.is_empty()) {
        (true, _) => Target::Regression,
        (false, false) => Target::Labels(data.labels.clone()),
        (false, true) => return Ok(()),
    };
    if stated == *model {
        return Ok(());
    }
    Err(BadSettings::new(format!(
        "`data`: has {stated}, the model predicts {model}; give `data.labels` the model's labels in its order, or leave both keys out"
    ))
    .into())
}

fn label_source(data: &DataSettings, known: Option<&Target>) -> LabelSource {
    match known {
        _ if data.regression => LabelSource::Scores,
        _ if !data.labels.is_empty() => LabelSource::Names(data.labels.clone()),
        Some(Target::Labels(labels)) => LabelSource::Names(labels.clone()),
        Some(Target::Regression) => LabelSource::Scores,
        None => LabelSource::Infer,
    }
}

fn metrics(data: &DataSettings, kind: &TaskKind) -> anyhow::Result<Vec<Metric>> {
    let metrics = if data.metrics.is_empty() {
        let glue = data
            .train
            .iter()
            .chain(&data.dev)
            .find_map(DataSpec::layout_task);
        match (glue, kind) {
            (Some(task), _) => task.metrics().to_vec(),
            (None, TaskKind::Classification { .. }) => vec![Metric::Accuracy],
            (None, TaskKind::Regression) => vec![Metric::Pearson, Metric::Spearman],
        }
    } else {
        data.metrics.clone()
    };
    let regression = *kind == TaskKind::Regression;
    match metrics
        .iter()
        .find(|metric| metric.needs_scores() != regression)
    {
        Some(metric) => {
            let expected = if regression {
                "`pearson` or `spearman` for a regression"
            } else {
                "those of a classification, such as `accuracy`, `f1-macro` or `matthews`"
            };
            Err(BadSettings::new(format!(
                "`data.metrics`: found `{}`, expected {expected}",
                metric.name()
            ))
            .into())
        }
        None => Ok(metrics),
    }
}

fn read(spec: &DataSpec, labels: &LabelSource) -> anyhow::Result<Dataset> {
    let set = read_examples(spec, labels)?;
    if !set.skipped.is_empty() {
        tracing::info!(
            "{}: {} rows left out ({})",
            set.path.display(),
            set.skipped.len(),
            reasons(&set)
        );
    }
    Ok(set)
}

fn read_labelled(spec: &DataSpec, labels: &LabelSource) -> anyhow::Result<Vec<Example>> {
    let set = read(spec, labels)?;
    set.gold()?;
    Ok(set.examples)
}

fn reasons(set: &Dataset) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &set.skipped {
        *counts.entry(row.reason.to_string()).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    parts.join(", ")
}

/// Digests of everything a run reads.
pub(crate) fn hash_inputs(
    data: &DataSettings,
    models: &[(&str, &Path)],
) -> anyhow::Result<BTreeMap<String, Input>> {
    let mut inputs = BTreeMap::new();
    let sets = [
        ("train", &data.train),
        ("dev", &data.dev),
        ("test", &data.test),
    ];
    for (name, spec) in sets
        .into_iter()
        .filter_map(|(name, spec)| Some((name, spec.as_ref()?)))
    {
        inputs.insert(name.to_owned(), hash_input(&spec.path)?);
    }
    for (number, spec) in (1..).zip(&data.transfer) {
        inputs.insert(format!("transfer-{number}"), hash_input(&spec.path)?);
    }
    for extra in &data.extra {
        inputs.insert(extra.name.clone(), hash_input(&extra.set.path)?);
    }
    for (name, folder) in models {
        inputs.insert((*name).to_owned(), hash_input(folder)?);
    }
    Ok(inputs)
}
