use super::{Lesson, Step, scalar, values};
use crate::TrainError;
use crate::train::StepLoss;

/// One forward pass, the objectives, one backward pass.
pub struct Plain;

impl Step for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn accumulate(&self, lesson: &Lesson<'_>) -> Result<StepLoss, TrainError> {
        let pass = lesson.pass();
        let output = lesson
            .student
            .forward(&lesson.batch, lesson.needs(), &pass)?;
        let signal = lesson.signal()?;
        let (loss, terms) = lesson.objectives(&output, signal.as_ref(), &pass)?;
        lesson.backward(&loss, &lesson.parameters())?;
        Ok(StepLoss {
            loss: scalar(&loss)?,
            terms: values(terms)?.into_iter().collect(),
            tokens: lesson.batch.ids.len(),
        })
    }
}
