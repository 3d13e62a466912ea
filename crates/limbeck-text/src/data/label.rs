use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::row::{Row, Source};
use super::{DataSpec, LabelRule, SkipReason};
use crate::{Label, TaskKind, TextError};

/// Makes labels of what stands in a file.
pub(super) struct LabelReader {
    path: PathBuf,
    rule: Option<LabelRule>,
    map: BTreeMap<String, String>,
    /// The file's own translation, tried where a label is unknown as it stands.
    names: HashMap<String, String>,
    is_sts: bool,
    target: Target,
}

enum Target {
    Classes {
        labels: Vec<String>,
        index_of: HashMap<String, u32>,
    },
    Scores,
}

pub(super) enum Outcome {
    Label(Option<Label>),
    Skip(SkipReason),
}

impl LabelReader {
    pub(super) fn new(spec: &DataSpec, source: &Source, kind: &TaskKind) -> Self {
        let target = match kind {
            TaskKind::Regression => Target::Scores,
            TaskKind::Classification { labels } => Target::Classes {
                labels: labels.clone(),
                index_of: labels.iter().cloned().zip(0..).collect(),
            },
        };
        Self {
            path: source.path.clone(),
            rule: spec.label_rule.clone(),
            map: spec.label_map.clone(),
            names: source.names.clone(),
            is_sts: source.is_sts,
            target,
        }
    }

    /// The label of a row; `Label(None)` if it has none.
    pub(super) fn read(&self, row: &Row) -> Result<Outcome, TextError> {
        let Some(raw) = &row.label else {
            return Ok(Outcome::Label(None));
        };
        let name = match self.name(row.line, raw)? {
            Ok(name) => name,
            Err(reason) => return Ok(Outcome::Skip(reason)),
        };
        let label = match &self.target {
            Target::Scores => Some(Label::Score(self.score(row.line, &name)?)),
            Target::Classes { labels, index_of } => {
                let declared = || {
                    self.names
                        .get(name.as_ref())
                        .and_then(|name| index_of.get(name))
                };
                match index_of.get(name.as_ref()).or_else(declared) {
                    Some(&class) => Some(Label::Class(class)),
                    None if name == UNLABELLED => None,
                    None => return Err(self.unknown(row.line, raw, labels)),
                }
            }
        };
        Ok(Outcome::Label(label))
    }

    /// The label's name by rule or map, or why its row is dropped.
    pub(super) fn name<'a>(
        &'a self,
        line: u64,
        raw: &'a str,
    ) -> Result<Result<Cow<'a, str>, SkipReason>, TextError> {
        let Some(LabelRule::Threshold {
            above,
            below,
            positive,
            negative,
        }) = &self.rule
        else {
            return Ok(Ok(Cow::Borrowed(
                self.map.get(raw).map_or(raw, String::as_str),
            )));
        };
        let rating = self.number(line, raw)?;
        if rating > *above {
            return Ok(Ok(Cow::Borrowed(positive)));
        }
        if rating < below.unwrap_or(-above) {
            return Ok(Ok(Cow::Borrowed(negative)));
        }
        Ok(Err(SkipReason::BetweenThresholds))
    }

    fn score(&self, line: u64, raw: &str) -> Result<f32, TextError> {
        let score = self.number(line, raw)? as f32;
        if !score.is_finite() || (self.is_sts && !(0.0..=5.0).contains(&score)) {
            let expected = if self.is_sts {
                "between 0 and 5"
            } else {
                "a finite number"
            };
            return Err(self.out_of_range(line, raw, expected));
        }
        Ok(score)
    }

    fn number(&self, line: u64, raw: &str) -> Result<f64, TextError> {
        let number: f64 = raw.parse().map_err(|_| TextError::LabelNotANumber {
            path: self.path.clone(),
            line,
            found: raw.to_owned(),
        })?;
        if !number.is_finite() {
            return Err(self.out_of_range(line, raw, "a finite number"));
        }
        Ok(number)
    }

    /// Names the labels as the file should write them.
    fn unknown(&self, line: u64, found: &str, labels: &[String]) -> TextError {
        let in_file = |label: &String| {
            let translated = self.names.iter().find(|(_, name)| *name == label);
            translated.map_or(label, |(raw, _)| raw).clone()
        };
        TextError::UnknownLabel {
            path: self.path.clone(),
            line,
            found: found.to_owned(),
            known: labels.iter().map(in_file).collect(),
        }
    }

    fn out_of_range(&self, line: u64, raw: &str, expected: &'static str) -> TextError {
        TextError::ScoreOutOfRange {
            path: self.path.clone(),
            line,
            found: raw.to_owned(),
            expected,
        }
    }
}

/// What Hugging Face's data sets write where a test row's label is kept back.
pub(super) const UNLABELLED: &str = "-1";
