//! Which of the student's layers learns from which of the teacher's.

use limbeck_model::TransformerConfig;
use serde::{Deserialize, Serialize};

use super::Pair;
use crate::TrainError;

/// A map from the student's layers to the teacher's; layer 0 is the embedding output, 1 the first layer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerMap {
    /// Layer `m` of `M` learns from layer `m · N / M` of `N` (`TinyBERT`'s uniform map); `M` has to divide `N`.
    #[default]
    Uniform,
    /// The last layer learns from the last.
    Final,
    /// These pairs of a student's and a teacher's layer.
    Pairs(Vec<[usize; 2]>),
}

impl LayerMap {
    /// Pairs of layers, of the student's from `first` on where the map leaves it open.
    pub(crate) fn pairs(
        &self,
        depths: &Depths,
        first: usize,
    ) -> Result<Vec<[usize; 2]>, TrainError> {
        let Depths { student, teacher } = *depths;
        match self {
            Self::Uniform if !teacher.is_multiple_of(student) => Err(depths.unfit(
                "uniform",
                "a student's depth that divides the teacher's, or `{ pairs = [[1, 2], ..] }`",
            )),
            Self::Uniform => Ok((first..=student)
                .map(|layer| [layer, layer * teacher / student])
                .collect()),
            Self::Final => Ok(vec![[student, teacher]]),
            Self::Pairs(pairs) => {
                let fits = |&[s, t]: &[usize; 2]| {
                    (first.min(1)..=student).contains(&s) && (first.min(1)..=teacher).contains(&t)
                };
                if pairs.is_empty() || !pairs.iter().all(fits) {
                    let first = first.min(1);
                    return Err(depths.unfit(
                        &format!("{pairs:?}"),
                        &format!("pairs of layers {first}..{student} and {first}..{teacher}"),
                    ));
                }
                Ok(pairs.clone())
            }
        }
    }
}

/// Whom the student's first layers learn from in patient distillation; the last layer of both is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PatientLayers {
    /// Layer `m` of `M` from layer `m · N / M` of `N`, rounded down: 2, 4, 6, 8, 10 for 6 of 12; 4, 8, .., 20 for 6 of 24.
    #[default]
    Skip,
    /// From the last layers before the last: 7 to 11 for 6 of 12.
    Last,
    /// What the released command line gives: as `skip` for 6 of 12, as `last` for 3 of 12, and 1 to 5 for 6 of 24.
    AsReleased,
    /// The teacher's layers for the student's layers 1, 2, ..
    List(Vec<usize>),
}

impl PatientLayers {
    /// Pairs of layers.
    pub(crate) fn pairs(&self, depths: &Depths) -> Result<Vec<[usize; 2]>, TrainError> {
        let Depths { student, teacher } = *depths;
        let from = |layer: &dyn Fn(usize) -> usize| -> Vec<[usize; 2]> {
            (1..student).map(|m| [m, layer(m)]).collect()
        };
        if student < 2 || student > teacher {
            return Err(depths.unfit(
                &format!("{self:?}").to_lowercase(),
                "a student of two layers or more, no deeper than its teacher: the last layer learns from logits",
            ));
        }
        match self {
            Self::Skip => Ok(from(&|m| m * teacher / student)),
            Self::Last => Ok(from(&|m| teacher - student + m)),
            Self::AsReleased => match (student, teacher) {
                (6, 12) => Ok(from(&|m| 2 * m)),
                (3, 12) => Ok(from(&|m| 9 + m)),
                (6, 24) => Ok(from(&|m| m)),
                _ => Err(depths.unfit(
                    "as-released",
                    "6 or 3 of 12 layers, or 6 of 24; choose `skip`, `last` or `{ list = [..] }`",
                )),
            },
            Self::List(list) => {
                let fits = (1..student).contains(&list.len())
                    && list.iter().all(|layer| (1..teacher).contains(layer));
                if !fits {
                    return Err(depths.unfit(
                        &format!("{list:?}"),
                        &format!(
                            "1 to {} of the teacher's layers 1 to {}",
                            student - 1,
                            teacher - 1
                        ),
                    ));
                }
                Ok((1..).zip(list).map(|(m, &layer)| [m, layer]).collect())
            }
        }
    }
}

/// Number of layers of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depths {
    pub(crate) student: usize,
    pub(crate) teacher: usize,
}

impl Depths {
    fn unfit(&self, found: &str, expected: &str) -> TrainError {
        TrainError::Setting {
            setting: "layers",
            found: format!(
                "{found} for a student of {} and a teacher of {} layers",
                self.student, self.teacher
            ),
            expected: expected.into(),
        }
    }
}

/// Student and teacher where layers are compared: both have to be transformers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transformers<'a> {
    pub(crate) student: &'a TransformerConfig,
    pub(crate) teacher: &'a TransformerConfig,
}

impl<'a> Transformers<'a> {
    pub(crate) fn of(pair: &Pair<'a>, objective: &'static str) -> Result<Self, TrainError> {
        let Some(teacher) = pair.teacher else {
            return Err(TrainError::NoTeacher { objective });
        };
        let config = |role: &str, model: &'a limbeck_model::SentenceClassifier| {
            let encoder = model.encoder().ok_or_else(|| TrainError::Setting {
                setting: objective,
                found: format!("{} as {role}", model.kind_name()),
                expected: "a transformer, whose layers can be compared".into(),
            })?;
            Ok::<_, TrainError>(encoder.config())
        };
        Ok(Self {
            student: config("student", pair.student)?,
            teacher: config("teacher", teacher)?,
        })
    }

    pub(crate) fn depths(&self) -> Depths {
        Depths {
            student: self.student.layer_count,
            teacher: self.teacher.layer_count,
        }
    }

    /// Width of student and teacher.
    pub(crate) fn widths(&self) -> [usize; 2] {
        [self.student.hidden_size, self.teacher.hidden_size]
    }

    /// Fails where heads cannot be compared one by one.
    pub(crate) fn check_heads(&self, objective: &'static str) -> Result<(), TrainError> {
        let heads = |config: &TransformerConfig| config.head_count;
        if heads(self.student) == heads(self.teacher) {
            return Ok(());
        }
        Err(TrainError::Setting {
            setting: objective,
            found: format!(
                "{} heads of the student and {} of the teacher",
                heads(self.student),
                heads(self.teacher)
            ),
            expected:
                "as many; give the student the teacher's number of heads, or leave attention out"
                    .into(),
        })
    }
}
