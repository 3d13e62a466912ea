use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::{GlueTask, Label, TextError};

/// Writes a task's predictions into `folder` under the name the GLUE leaderboard expects; returns the path.
///
/// A submission is a zip of these files, one per task.
///
/// # Errors
/// Those of [`submission_tsv`]; [`TextError::Io`].
pub fn write_submission(
    folder: &Path,
    task: GlueTask,
    predictions: &[Label],
) -> Result<PathBuf, TextError> {
    let content = submission_tsv(task, predictions)?;
    let path = folder.join(task.submission_file());
    fs_err::create_dir_all(folder)?;
    fs_err::write(&path, content)?;
    Ok(path)
}

/// The leaderboard's form: `index<TAB>prediction`, with the labels as the task's own files write them.
///
/// Scores are cut to the scale of 0 to 5 and given with three decimals.
///
/// # Errors
/// [`TextError::Submission`] if there is not one prediction per row of the test file, or one is of the wrong kind.
pub fn submission_tsv(task: GlueTask, predictions: &[Label]) -> Result<String, TextError> {
    let file = task.submission_file();
    let expected = task.test_row_count();
    if predictions.len() != expected {
        let problem = format!(
            "{} predictions, expected {expected}; predict the whole test file in its order",
            predictions.len()
        );
        return Err(TextError::Submission { file, problem });
    }
    let labels = task.layout().file_labels;
    let mut content = String::from("index\tprediction\n");
    for (index, prediction) in predictions.iter().enumerate() {
        let known = match prediction {
            Label::Class(class) => labels.get(*class as usize).map(|&name| name.to_owned()),
            Label::Score(score) if labels.is_empty() && score.is_finite() => {
                Some(format!("{:.3}", score.clamp(0.0, 5.0)))
            }
            Label::Score(_) => None,
        };
        let Some(value) = known else {
            let problem = format!(
                "row {index}: {prediction:?} is not a label of {}",
                task.name()
            );
            return Err(TextError::Submission { file, problem });
        };
        writeln!(content, "{index}\t{value}").expect("a String takes every write");
    }
    Ok(content)
}
