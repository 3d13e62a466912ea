mod dataset;
mod spec;

pub use dataset::{
    Dataset, ExampleReader, LabelSource, SkipReason, SkippedRow, read_examples, read_texts,
    text_lines,
};
pub use spec::{Column, Columns, DataSpec, Format, LabelRule};
