//! `limbeck augment`: more training rows from those there are.

mod in_flight;
mod input;
mod output;
mod part_file;
pub(crate) mod settings;

use std::collections::BTreeMap;

use anyhow::Context;
use limbeck_model::Target;
use limbeck_report::{Input as Hashed, Provenance, hash_input};
use limbeck_text::augment::{Augmentation, RowAugmenter, TaggedWords, row_generator};
use limbeck_text::{BoxError, Example, Format, Label, Resources, TaskKind, Text};
use limbeck_train::{Predictor, TrainError};
use rayon::prelude::*;

use crate::cli::AugmentArgs;
use crate::commands::resources::{Opened, Resource, Store, hash_lists, open_required};
use crate::commands::run::provenance;
use crate::environment::{device, model_folder};
use crate::interrupt::{self, Stopped};
use crate::progress::example_bar;
use crate::settings::BadSettings;
use input::{CHUNK, CHUNK_OF_MODELS, Input, sample};
use output::{Output, Row};
use part_file::{RowDigest, Sink};
use settings::AugmentFile;

/// Runs the command.
pub(crate) fn run(args: &AugmentArgs, quiet: bool) -> anyhow::Result<()> {
    let file = AugmentFile::read(args)?;
    let device = device(args.device)?;
    let store = Store::new(&args.resources);
    let usual_vectors = Resource::usual_vectors(&file.recipe);
    let required = file.recipe.required();
    let opened = open_required(&required, usual_vectors, &file.resources, &store, &device)?;
    let inputs = inputs(&file, &opened, quiet)?;
    let resources = opened.pooled()?;
    // Built once without words, so that a bad setting is found before the data is read.
    let task = file.data.layout_task();
    let recipe = &file.recipe;
    let build = |words| {
        let built = recipe.build(&file.augment, &resources, words, task);
        built.map_err(|error| BadSettings::new(error.to_string()))
    };
    let mut augmenter = build(TaggedWords::default())?;
    let mut input = Input::open(&file.data)?;
    let teacher = Teacher::open(&file, &mut input, &device, quiet)?;
    let is_stream = file.reads_standard_input();
    let count = if is_stream {
        None
    } else {
        Some(input.count()?)
    };
    let chosen = chosen(&file, count)?;
    if let (true, Some(tagger)) = (recipe.needs_words(), &resources.tagger) {
        augmenter = build(input.words(&**tagger)?)?;
    }

    let mut rows = input.rows()?.peekable();
    let is_pair = matches!(rows.peek(), Some(Ok(row)) if row.text.second.is_some());
    let has_labels = teacher.is_some() || *input.kind() != unlabelled();
    let out = args.out.as_deref();
    let output = Output::like(&input, out, file.provenance, is_pair, has_labels)?;
    let provenance = provenance(file.seed, &device, inputs);
    let mut sink = Sink::open(out, &made_by(&file, &provenance), &provenance)?;
    interrupt::listen();
    let total = chosen.as_ref().map(Vec::len).or(count);
    let bar = example_bar(recipe.name(), total.unwrap_or_default(), quiet);
    let done = sink.rows_done();
    if done > 0 {
        tracing::info!("going on after {done} rows");
    }
    let is_chosen = |row: &Example| match &chosen {
        Some(chosen) => chosen.binary_search(&row.id).is_ok(),
        None => true,
    };
    let mut rows = rows.filter(|row| row.as_ref().map_or(true, is_chosen));
    let mut digest = RowDigest::default();
    for row in rows.by_ref().take(done as usize) {
        digest.add(&row?);
    }
    sink.check_rows(&digest)?;
    if sink.is_empty() {
        sink.append(&output.header(), 0, 0, &digest)?;
    }
    let (mut row_count, mut new_count) = (done, sink.new_rows());
    let work = Work {
        file: &file,
        augmenter: &*augmenter,
        teacher: teacher.as_ref(),
        output: &output,
        in_flight: asks_models(&resources).then_some(args.in_flight),
    };
    let chunk_size = match work.in_flight {
        Some(_) => CHUNK_OF_MODELS,
        None => CHUNK,
    };
    loop {
        bar.set_position(row_count);
        let chunk = rows
            .by_ref()
            .take(chunk_size)
            .collect::<Result<Vec<_>, _>>()?;
        if chunk.is_empty() {
            break;
        }
        let (text, made) = work.rows(&chunk)?;
        for row in &chunk {
            digest.add(row);
        }
        sink.append(&text, chunk.len() as u64, made, &digest)?;
        row_count += chunk.len() as u64;
        new_count += made;
        if interrupt::asked() {
            return Err(stopped(args, row_count));
        }
    }
    bar.finish_and_clear();
    sink.finish()?;
    let name = recipe.name();
    tracing::info!("{new_count} new rows of {row_count} by `{name}`");
    Ok(())
}

/// The rows of a sample, ascending; `None` for all.
fn chosen(file: &AugmentFile, count: Option<usize>) -> anyhow::Result<Option<Vec<u64>>> {
    let (Some(wanted), Some(count)) = (file.sample, count) else {
        return Ok(None);
    };
    if wanted > count {
        let path = file.data.path.display();
        return Err(BadSettings::new(format!(
            "`sample`: found {wanted}, but {path} has {count} rows; ask for fewer"
        ))
        .into());
    }
    Ok(Some(sample(count, wanted, file.seed)))
}

/// Whether rows have to wait for the answers of a model.
fn asks_models(resources: &Resources) -> bool {
    resources.masked_lm.is_some() || resources.sentence_encoder.is_some()
}

/// Hashes of all files that are read: rows, words, vectors, models.
fn inputs(
    file: &AugmentFile,
    opened: &Opened,
    quiet: bool,
) -> anyhow::Result<BTreeMap<String, Hashed>> {
    let mut inputs = BTreeMap::new();
    if !file.reads_standard_input() {
        inputs.insert("data".to_owned(), hash_input(&file.data.path)?);
    }
    if let Some(relabel) = &file.relabel {
        let folder = model_folder(&relabel.from, quiet)?;
        inputs.insert("relabel".to_owned(), hash_input(folder)?);
    }
    for (kind, input) in opened.hashed()? {
        inputs.insert(kind.name().to_owned(), input);
    }
    let word_list = file.resources.word_list.as_deref();
    inputs.extend(hash_lists(word_list, &file.recipe.files())?);
    Ok(inputs)
}

/// All that decides the output; a part of another output is not gone on with.
fn made_by(file: &AugmentFile, provenance: &Provenance) -> String {
    let Provenance {
        version, inputs, ..
    } = provenance;
    serde_json::json!({ "version": version, "settings": file, "inputs": inputs }).to_string()
}

fn stopped(args: &AugmentArgs, rows: u64) -> anyhow::Error {
    let advice = if args.out.is_some() {
        "run the same command again to go on"
    } else {
        "with `--out` it can be gone on with"
    };
    Stopped(format!("stopped after {rows} rows; {advice}")).into()
}

fn unlabelled() -> TaskKind {
    TaskKind::Classification { labels: Vec::new() }
}

/// What is done to each chunk.
struct Work<'a> {
    file: &'a AugmentFile,
    augmenter: &'a dyn RowAugmenter,
    teacher: Option<&'a Teacher>,
    output: &'a Output,
    /// Rows that wait for a model at once; `None` where none is asked.
    in_flight: Option<usize>,
}

impl Work<'_> {
    /// The lines of a chunk of rows, and how many of them are new.
    fn rows(&self, chunk: &[Example]) -> anyhow::Result<(String, u64)> {
        let augmented: Result<Vec<Vec<Augmentation>>, BoxError> = match self.in_flight {
            Some(in_flight) => in_flight::map(chunk, in_flight, |row| self.augment(row)),
            None => chunk.par_iter().map(|row| self.augment(row)).collect(),
        };
        let augmented = augmented.map_err(anyhow::Error::from_boxed)?;
        let new: Vec<Text> = augmented
            .iter()
            .flatten()
            .map(|new| new.text.clone())
            .collect();
        let labels = match self.teacher {
            Some(teacher) => Some(teacher.label(&new).context("labelling new rows")?),
            None => None,
        };
        let mut labels = labels.into_iter().flatten();
        let mut text = String::new();
        for (row, made) in chunk.iter().zip(&augmented) {
            if !self.file.exclude_original {
                text += &self.output.line(&Row {
                    text: &row.text,
                    label: row.label,
                    source: row.id,
                    recipe: "original",
                    changes: &[],
                });
            }
            for new in made {
                text += &self.output.line(&Row {
                    text: &new.text,
                    label: labels.next().or(row.label),
                    source: row.id,
                    recipe: self.file.recipe.name(),
                    changes: &new.changes,
                });
            }
        }
        Ok((text, new.len() as u64))
    }

    fn augment(&self, row: &Example) -> Result<Vec<Augmentation>, BoxError> {
        let mut rng = row_generator(self.file.seed, row.id);
        let mut made = self.augmenter.augment(&row.text, &mut rng)?;
        if !self.file.keep_unchanged {
            made.retain(|new| new.text != row.text);
        }
        Ok(made)
    }
}

/// A model that labels new rows.
struct Teacher {
    predictor: Predictor,
    /// The class of the input for each of the model's.
    classes: Vec<u32>,
}

impl Teacher {
    fn open(
        file: &AugmentFile,
        input: &mut Input,
        device: &candle_core::Device,
        quiet: bool,
    ) -> anyhow::Result<Option<Self>> {
        let Some(relabel) = &file.relabel else {
            return Ok(None);
        };
        let folder = model_folder(&relabel.from, quiet)?;
        let predictor = Predictor::open(&folder, relabel.max_tokens, device)?;
        if let Target::Labels(names) = predictor.model.target() {
            input.adopt_labels(names);
        }
        let classes = match (predictor.model.target(), input.kind()) {
            (Target::Regression, TaskKind::Regression) => Vec::new(),
            (Target::Labels(names), TaskKind::Classification { labels }) => {
                let class = |name: &String| labels.iter().position(|label| label == name);
                let classes: Option<Vec<u32>> =
                    names.iter().map(|name| Some(class(name)? as u32)).collect();
                classes.ok_or_else(|| mismatch(&relabel.from, names, input))?
            }
            (Target::Labels(names), TaskKind::Regression) => {
                return Err(mismatch(&relabel.from, names, input));
            }
            (Target::Regression, TaskKind::Classification { .. }) => {
                return Err(mismatch(&relabel.from, &[], input));
            }
        };
        Ok(Some(Self { predictor, classes }))
    }

    fn label(&self, texts: &[Text]) -> Result<Vec<Label>, TrainError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let predictions = self.predictor.logits(texts)?;
        let labels = predictions.labels(self.predictor.model.target());
        Ok(labels
            .into_iter()
            .map(|label| match label {
                Label::Class(class) => Label::Class(self.classes[class as usize]),
                score @ Label::Score(_) => score,
            })
            .collect())
    }
}

fn mismatch(model: &str, names: &[String], input: &Input) -> anyhow::Error {
    let path = input.spec().path.display();
    let found = if input.format() == Format::Lines {
        "no labels".to_owned()
    } else {
        format!("labels {:?}", input.kind().labels())
    };
    BadSettings::new(format!(
        "`relabel`: `{model}` gives labels {names:?} (none: scores) but {path} has {found}; use a model for the same labels"
    ))
    .into()
}
