//! The rows to begin with, read a few at a time.

use std::io::{BufReader, stdin};
use std::path::Path;

use limbeck_text::augment::{TaggedWords, row_generator};
use limbeck_text::lexicon::Tagger;
use limbeck_text::{
    DataSpec, Example, ExampleReader, Format, LabelSource, TaskKind, Text, TextError, text_lines,
};
use rand::seq::index;
use rayon::prelude::*;

/// Rows in memory at a time.
pub(super) const CHUNK: usize = 2048;
/// The same where each has to wait for a model: what an interruption may lose.
pub(super) const CHUNK_OF_MODELS: usize = 256;
/// The stream of rows is far below this one, which draws the sample.
const SAMPLE_STREAM: u64 = u64::MAX;

/// A file of rows, or standard input.
pub(super) struct Input {
    spec: DataSpec,
    format: Format,
    kind: TaskKind,
}

pub(super) type Rows = Box<dyn Iterator<Item = Result<Example, TextError>>>;

impl Input {
    /// Finds out the format and the labels.
    pub(super) fn open(spec: &DataSpec) -> Result<Self, TextError> {
        let format = spec.found_format()?;
        let unlabelled = TaskKind::Classification { labels: Vec::new() };
        let kind = if format == Format::Lines {
            unlabelled
        } else {
            match ExampleReader::open(spec, &LabelSource::Infer) {
                Ok(reader) => reader.kind().clone(),
                Err(TextError::Unlabelled { .. }) => unlabelled,
                Err(error) => return Err(error),
            }
        };
        Ok(Self {
            spec: spec.clone(),
            format,
            kind,
        })
    }

    pub(super) fn spec(&self) -> &DataSpec {
        &self.spec
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn kind(&self) -> &TaskKind {
        &self.kind
    }

    /// Gives rows without labels these, where the format has a place for them.
    pub(super) fn adopt_labels(&mut self, names: &[String]) {
        if self.format != Format::Lines
            && self.kind.labels().is_empty()
            && self.kind != TaskKind::Regression
        {
            self.kind = TaskKind::Classification {
                labels: names.to_vec(),
            };
        }
    }

    /// The rows from the first, numbered from 0.
    pub(super) fn rows(&self) -> Result<Rows, TextError> {
        if self.format != Format::Lines {
            let labels = LabelSource::from(&self.kind);
            return Ok(Box::new(ExampleReader::open(&self.spec, &labels)?));
        }
        let path = &self.spec.path;
        let lines: Box<dyn Iterator<Item = Result<Text, TextError>>> = if path == Path::new("-") {
            let input = BufReader::new(stdin());
            Box::new(text_lines(input, Path::new("standard input")))
        } else {
            let file = fs_err::File::open(path)?;
            Box::new(text_lines(BufReader::new(file), path))
        };
        Ok(Box::new((0..).zip(lines).map(|(id, text)| {
            Ok(Example {
                id,
                text: text?,
                label: None,
            })
        })))
    }

    /// How many rows there are; reads them all, so that a bad one is found before work begins.
    pub(super) fn count(&self) -> Result<usize, TextError> {
        let mut count = 0;
        for row in self.rows()? {
            row?;
            count += 1;
        }
        if count == 0 {
            return Err(TextError::EmptyData {
                path: self.spec.path.clone(),
                skipped: 0,
            });
        }
        Ok(count)
    }

    /// The words of all rows.
    pub(super) fn words(&self, tagger: &dyn Tagger) -> Result<TaggedWords, TextError> {
        let mut rows = self.rows()?;
        let mut words = TaggedWords::default();
        loop {
            let chunk = rows.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                return Ok(words);
            }
            let counted = chunk
                .par_chunks(64)
                .map(|rows| TaggedWords::count(rows.iter().map(|row| &row.text), tagger))
                .reduce(TaggedWords::default, TaggedWords::joined);
            words = words.joined(counted);
        }
    }
}

/// `wanted` of `count` row numbers, ascending, each set as likely as the other.
pub(super) fn sample(count: usize, wanted: usize, seed: u64) -> Vec<u64> {
    let mut rng = row_generator(seed, SAMPLE_STREAM);
    let mut rows: Vec<u64> = index::sample(&mut rng, count, wanted)
        .into_iter()
        .map(|row| row as u64)
        .collect();
    rows.sort_unstable();
    rows
}
