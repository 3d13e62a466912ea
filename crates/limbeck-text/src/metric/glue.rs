use std::collections::BTreeMap;

use crate::GlueTask;

/// The one number GLUE's average uses for a task: the mean of its metrics, such as F1 and accuracy for MRPC.
///
/// `None` of no metric.
pub fn task_score(metrics: &[f64]) -> Option<f64> {
    mean(metrics.iter().copied())
}

/// GLUE's average: the mean of the tasks' [`task_score`]s, the two forms of MNLI counted as one task.
///
/// The diagnostic set is not part of it and is ignored, and so is a task given without a number. WNLI counts if given; most papers leave
/// it out. `None` if no task is left.
pub fn glue_average(scores: &[(GlueTask, Vec<f64>)]) -> Option<f64> {
    let mut tasks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (task, metrics) in scores {
        let name = match task {
            GlueTask::Ax => continue,
            GlueTask::MnliMismatched => GlueTask::Mnli.name(),
            other => other.name(),
        };
        tasks.entry(name).or_default().extend(task_score(metrics));
    }
    mean(tasks.values().filter_map(|forms| task_score(forms)))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
