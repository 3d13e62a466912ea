//! Readers: one file per format, each of which turns lines into rows; `dataset` turns rows into examples.

mod columns;
mod csv;
mod dataset;
mod format;
mod glue;
mod jsonl;
mod label;
mod line;
mod parquet;
mod row;
mod spec;
mod tsv;

pub use dataset::{
    Dataset, ExampleReader, LabelSource, SkipReason, SkippedRow, read_examples, read_texts,
    stream_texts, text_lines,
};
pub use spec::{Column, Columns, DataSpec, Format, LabelRule};
