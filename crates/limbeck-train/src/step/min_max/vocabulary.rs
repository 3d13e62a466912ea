//! Whether models read the same token under the same number.

use limbeck_model::{MaskedLanguageModel, SentenceClassifier, TextTokenizer};

use crate::TrainError;
use crate::objective::Pair;

/// What a step may be given beside student and teacher.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// A masked language model and its tokenizer.
    pub generator: Option<(&'a MaskedLanguageModel, &'a TextTokenizer)>,
    /// How the student reads texts.
    pub student_tokenizer: Option<&'a TextTokenizer>,
    /// How the teacher does.
    pub teacher_tokenizer: Option<&'a TextTokenizer>,
}

/// Fails unless student, teacher and generator have one vocabulary, token by token; returns its size.
///
/// What a generator writes for one is read by all as it stands.
pub(super) fn check_vocabularies(
    pair: &Pair<'_>,
    student: &TextTokenizer,
    teacher: (&SentenceClassifier, &TextTokenizer),
    generator: Option<(&MaskedLanguageModel, &TextTokenizer)>,
) -> Result<usize, TrainError> {
    let words = student.vocabulary();
    let others = [
        Some(("the teacher", teacher.1)),
        generator.map(|(_, tokenizer)| ("the generator", tokenizer)),
    ];
    for (whose, tokenizer) in others.into_iter().flatten() {
        if let Some(difference) = difference(&words, &tokenizer.vocabulary()) {
            return Err(mismatch(format!(
                "another vocabulary in {whose}: {difference}"
            )));
        }
    }
    let rows = |model: &SentenceClassifier| model.word_embeddings().shape().dims()[0];
    let tables = [
        Some(("the student", rows(pair.student))),
        Some(("the teacher", rows(teacher.0))),
        generator.map(|(model, _)| ("the generator", model.config().vocabulary_size)),
    ];
    match tables
        .into_iter()
        .flatten()
        .find(|(_, rows)| *rows < words.len())
    {
        Some((whose, rows)) => Err(mismatch(format!(
            "{rows} word embeddings in {whose} for a vocabulary of {} tokens",
            words.len()
        ))),
        None => Ok(words.len()),
    }
}

fn mismatch(found: String) -> TrainError {
    TrainError::Setting {
        setting: "step.generator",
        found,
        expected: "one vocabulary for student, teacher and generator; choose a generator of the teacher's family, or make one with `limbeck pretrain mlm` from the model that the teacher was fine-tuned from".into(),
    }
}

/// The first difference between the student's vocabulary and another.
fn difference(student: &[String], other: &[String]) -> Option<String> {
    let pairs = student.iter().zip(other);
    if let Some((id, (ours, theirs))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
        return Some(format!("token {id} is `{theirs}`, the student's `{ours}`"));
    }
    (student.len() != other.len())
        .then(|| format!("{} tokens, the student has {}", other.len(), student.len()))
}
