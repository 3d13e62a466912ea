//! The rows that a run learns from: in memory, or read again from their files whenever they are needed.

use limbeck_text::{
    DataSpec, Example, ExampleReader, Label, LabelSource, Text, TextError, stream_texts,
};
use limbeck_train::Survey;

use crate::settings::{BadSettings, DataSettings};

/// From this size of all training files together, rows are kept on disk unless the run file says otherwise.
const LARGE: u64 = 256 << 20;

/// Whether a run learns from gold labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// Every row of the training file has to have one.
    Needed,
    /// Rows may be without.
    Free,
}

/// The training file's rows, then those of the transfer sets.
pub(crate) enum TrainingSet {
    /// All of them.
    Memory(Vec<Example>),
    /// Where they are.
    Files {
        files: Box<TrainingFiles>,
        survey: Survey,
    },
}

/// A training file and transfer sets, read row by row.
pub(crate) struct TrainingFiles {
    train: DataSpec,
    labels: LabelSource,
    transfer: Vec<DataSpec>,
}

/// Rows in their order, one at a time.
pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<Example, TextError>> + 'a>;

impl TrainingSet {
    /// Whether rows stay on disk: as the run file says, or where the files are large.
    pub(crate) fn is_large(data: &DataSettings) -> anyhow::Result<bool> {
        let in_memory_only =
            data.split.is_some() || data.train_sample.is_some() || data.labelled.is_some();
        let store = data.store.unwrap_or_else(|| {
            let files = data.train.iter().chain(&data.transfer);
            let sizes = files.map(|spec| fs_err::metadata(&spec.path).map_or(0, |m| m.len()));
            !in_memory_only && sizes.sum::<u64>() >= LARGE
        });
        if store && data.split.is_some() {
            return Err(BadSettings::new("`data`: found both `store` and `split`, expected a dev set of its own for a training set on disk; give `dev`").into());
        }
        if store && data.labelled.is_some() {
            return Err(BadSettings::new("`data`: found both `store` and `labelled`, expected one of them; labels are left out of sets in memory").into());
        }
        if store && data.train_sample.is_some() {
            return Err(BadSettings::new("`data`: found both `store` and `train-sample`, expected one of them; a sample is kept in memory").into());
        }
        Ok(store)
    }

    /// Goes through the files once, and keeps no row.
    pub(crate) fn survey(files: TrainingFiles, need: Labels) -> anyhow::Result<Self> {
        let mut total = 0;
        let train = files.train_rows()?.inspect(|_| total += 1);
        let survey = Survey::of(numbered(train.chain(files.unlabelled_rows())))?;
        let path = files.train.path.clone();
        if survey.rows == 0 {
            return Err(TextError::EmptyData { path, skipped: 0 }.into());
        }
        if need == Labels::Needed {
            let missing = total - survey.labelled;
            if missing > 0 {
                return Err(TextError::Unlabelled {
                    path,
                    missing,
                    total,
                }
                .into());
            }
            if !survey.labels_differ {
                return Err(files.one_class(total)?.into());
            }
        }
        Ok(Self::Files {
            files: Box::new(files),
            survey,
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(examples) => examples.len(),
            Self::Files { survey, .. } => survey.rows,
        }
    }

    /// The texts, for a vocabulary. What cannot be read any more ends them, and is noted in `problem`.
    pub(crate) fn texts<'a>(
        &'a self,
        problem: &'a mut Option<TextError>,
    ) -> Result<Box<dyn Iterator<Item = Text> + 'a>, TextError> {
        Ok(match self {
            Self::Memory(examples) => Box::new(examples.iter().map(|e| e.text.clone())),
            Self::Files { files, .. } => Box::new(files.rows()?.map_while(|row| match row {
                Ok(example) => Some(example.text),
                Err(error) => {
                    *problem = Some(error);
                    None
                }
            })),
        })
    }
}

impl TrainingFiles {
    pub(crate) fn new(train: &DataSpec, labels: LabelSource, transfer: &[DataSpec]) -> Self {
        Self {
            train: train.clone(),
            labels,
            transfer: transfer.to_vec(),
        }
    }

    /// All rows from the first.
    pub(crate) fn rows(&self) -> Result<Rows<'_>, TextError> {
        let all = self.train_rows()?.chain(self.unlabelled_rows());
        Ok(Box::new(numbered(all)))
    }

    fn train_rows(&self) -> Result<ExampleReader, TextError> {
        ExampleReader::open(&self.train, &self.labels)
    }

    fn unlabelled_rows(&self) -> impl Iterator<Item = Result<Example, TextError>> {
        let texts = |spec| match transfer_texts(spec) {
            Ok(texts) => texts,
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        let texts = self.transfer.iter().flat_map(texts);
        texts.map(|text| Ok(unlabelled(text?)))
    }

    fn one_class(&self, count: usize) -> Result<TextError, TextError> {
        let mut reader = ExampleReader::open(&self.train, &self.labels)?;
        let names = reader.kind().labels().to_vec();
        let first = reader.next().transpose()?.and_then(|example| example.label);
        let label = match first {
            Some(Label::Class(class)) => names.get(class as usize).cloned(),
            Some(Label::Score(score)) => Some(score.to_string()),
            None => None,
        };
        Ok(TextError::OneClass {
            path: self.train.path.clone(),
            label: label.unwrap_or_default(),
            count,
        })
    }
}

/// The same rows with the ids 0, 1, ..
fn numbered(
    rows: impl Iterator<Item = Result<Example, TextError>>,
) -> impl Iterator<Item = Result<Example, TextError>> {
    let rows = (0..).zip(rows);
    rows.map(|(id, row)| Ok(Example { id, ..row? }))
}

/// Rows of all transfer sets, with ids from `first_id` on.
pub(crate) fn transfer_rows(
    transfer: &[DataSpec],
    first_id: u64,
) -> Result<Vec<Example>, TextError> {
    let mut examples = Vec::new();
    for spec in transfer {
        for text in transfer_texts(spec)? {
            let id = first_id + examples.len() as u64;
            let example = unlabelled(text?);
            examples.push(Example { id, ..example });
        }
    }
    Ok(examples)
}

type Texts = Box<dyn Iterator<Item = Result<Text, TextError>>>;

/// The texts of a transfer set; empty ones are left out.
fn transfer_texts(spec: &DataSpec) -> Result<Texts, TextError> {
    let is_empty = |text: &Text| text.first.is_empty() || text.second.as_deref() == Some("");
    let texts = stream_texts(spec)?;
    Ok(Box::new(
        texts.filter(move |text| !text.as_ref().is_ok_and(is_empty)),
    ))
}

fn unlabelled(text: Text) -> Example {
    Example {
        id: 0,
        text,
        label: None,
    }
}
