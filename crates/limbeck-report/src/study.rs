//! Results of a study: methods on students and tasks with several seeds.

use serde_json::{Value, json};

use crate::{Cell, Column, Metrics, Score, Summary, Table};

/// A way of training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyMethod {
    /// Its name.
    pub name: String,
    /// The method that it has to beat.
    pub control: Option<String>,
}

/// A finished run of a study.
#[derive(Debug, Clone)]
pub struct StudyEntry {
    /// The task.
    pub task: String,
    /// Student and method; `None` for the task's teacher.
    pub lesson: Option<(String, String)>,
    /// The run's seed.
    pub seed: u64,
    /// What it reached.
    pub metrics: Metrics,
}

/// What stands in a teacher's row for student and method.
const TEACHER: (&str, &str) = ("teacher", "fine-tuning");

impl StudyEntry {
    fn lesson_names(&self) -> (&str, &str) {
        let lesson = self.lesson.as_ref();
        lesson.map_or(TEACHER, |(student, method)| (student, method))
    }
}

/// All finished runs of a study.
#[derive(Debug, Clone)]
pub struct StudyResults {
    title: String,
    methods: Vec<StudyMethod>,
    entries: Vec<StudyEntry>,
}

/// A set that a task's models are scored on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ScoredSet {
    task: String,
    split: String,
    metric: String,
    /// Whether the task is judged by it.
    is_headline: bool,
}

impl StudyResults {
    /// No runs yet.
    pub fn new(title: &str, methods: Vec<StudyMethod>) -> Self {
        Self {
            title: title.to_owned(),
            methods,
            entries: Vec::new(),
        }
    }

    /// Adds a finished run.
    pub fn add(&mut self, entry: StudyEntry) {
        self.entries.push(entry);
    }

    /// One row per student and method, teachers first: median and range of every set's score, what the row gained on
    /// its control, and the time of a training sentence relative to the control's.
    pub fn table(&self) -> Table {
        let sets = self.sets();
        let mut columns = vec![
            Column::words("student"),
            Column::words("method"),
            Column::numbers("seeds"),
        ];
        columns.extend(sets.iter().map(|set| {
            let split = if set.is_headline && set.split == "dev" {
                String::new()
            } else {
                format!(" on {}", set.split)
            };
            Column::numbers(format!("{} {}{split}", set.task, set.metric))
        }));
        columns.push(Column::numbers("mean of medians"));
        columns.push(Column::words("against its control"));
        columns.push(Column::numbers("time of a sentence"));
        let mut rows = vec![self.row(None, &sets)];
        for (student, method) in self.lessons() {
            rows.push(self.row(Some((&student, &method)), &sets));
        }
        Table {
            columns,
            rows,
            notes: NOTES.map(str::to_owned).to_vec(),
        }
    }

    /// One row per number of every run: each set's metrics and, of a distilled run, its divergence from the teacher.
    pub fn scores(&self) -> Table {
        let words = ["task", "student", "method"].map(Column::words);
        let mut columns = words.to_vec();
        columns.push(Column::numbers("seed"));
        columns.extend(["split", "metric"].map(Column::words));
        columns.push(Column::numbers("value"));
        let mut rows = Vec::new();
        for entry in &self.entries {
            let (student, method) = entry.lesson_names();
            for split in &entry.metrics.splits {
                let scores = split.metrics.iter();
                let scores = scores.map(|(name, score)| (name.as_str(), score.value));
                let divergence = split.divergence.map(|value| ("divergence", value));
                for (metric, value) in scores.chain(divergence) {
                    rows.push(vec![
                        Cell::Text(entry.task.clone()),
                        Cell::Text(student.to_owned()),
                        Cell::Text(method.to_owned()),
                        Cell::Count(entry.seed),
                        Cell::Text(split.split.clone()),
                        Cell::Text(metric.to_owned()),
                        Cell::Number(value),
                    ]);
                }
            }
        }
        Table {
            columns,
            rows,
            notes: Vec::new(),
        }
    }

    /// Every run's scores with its seed, sizes and times.
    pub fn to_json(&self) -> Value {
        let entries = self.entries.iter().map(|entry| {
            let (student, method) = match &entry.lesson {
                Some((student, method)) => (Some(student), Some(method)),
                None => (None, None),
            };
            let metrics = &entry.metrics;
            json!({
                "task": entry.task,
                "student": student,
                "method": method,
                "seed": entry.seed,
                "headline": metrics.headline,
                "splits": metrics.splits,
                "model": metrics.model,
                "training": metrics.training,
                "wall_time_s": metrics.wall_time_s,
            })
        });
        json!({ "title": self.title, "runs": entries.collect::<Vec<_>>() })
    }

    /// Students and methods that have a run, in the order of first appearance of the student and of the methods.
    fn lessons(&self) -> Vec<(String, String)> {
        let mut students: Vec<&String> = Vec::new();
        for (student, _) in self.entries.iter().filter_map(|e| e.lesson.as_ref()) {
            if !students.contains(&student) {
                students.push(student);
            }
        }
        let pairs = students.into_iter().flat_map(|student| {
            let methods = self.methods.iter();
            methods.map(move |method| (student.clone(), method.name.clone()))
        });
        pairs
            .filter(|pair| self.entries.iter().any(|e| e.lesson.as_ref() == Some(pair)))
            .collect()
    }

    fn sets(&self) -> Vec<ScoredSet> {
        let mut sets: Vec<ScoredSet> = Vec::new();
        for entry in &self.entries {
            let headline = &entry.metrics.headline;
            for split in &entry.metrics.splits {
                for metric in split.metrics.keys() {
                    let is_headline = split.split == headline.split && *metric == headline.metric;
                    let is_main = is_headline || split.split != "dev";
                    let set = ScoredSet {
                        task: entry.task.clone(),
                        split: split.split.clone(),
                        metric: metric.clone(),
                        is_headline,
                    };
                    if is_main && !sets.contains(&set) {
                        sets.push(set);
                    }
                }
            }
        }
        let mut tasks: Vec<String> = Vec::new();
        for set in &sets {
            if !tasks.contains(&set.task) {
                tasks.push(set.task.clone());
            }
        }
        // Headlines first, task by task; other sets behind.
        sets.sort_by_key(|set| {
            let task = tasks.iter().position(|task| *task == set.task);
            (!set.is_headline, task)
        });
        sets
    }

    fn runs<'a>(
        &'a self,
        task: &'a str,
        lesson: Option<(&'a str, &'a str)>,
    ) -> impl Iterator<Item = &'a Metrics> + 'a {
        let fits = move |entry: &&StudyEntry| {
            let own = entry.lesson.as_ref();
            entry.task == task && own.map(|(s, m)| (s.as_str(), m.as_str())) == lesson
        };
        self.entries.iter().filter(fits).map(|entry| &entry.metrics)
    }

    fn scores_on(&self, set: &ScoredSet, lesson: Option<(&str, &str)>) -> Vec<f64> {
        let scores = self.runs(&set.task, lesson);
        scores
            .filter_map(|run| run.score(&set.split, &set.metric))
            .map(|Score { value, .. }| value)
            .collect()
    }

    fn row(&self, lesson: Option<(&str, &str)>, sets: &[ScoredSet]) -> Vec<Cell> {
        let summaries: Vec<Option<Summary>> = sets
            .iter()
            .map(|set| Summary::of(&self.scores_on(set, lesson)))
            .collect();
        let seeds = summaries.iter().flatten().map(|s| s.count).max();
        let (student, method) = lesson.unwrap_or(TEACHER);
        let mut row = vec![
            Cell::Text(student.into()),
            Cell::Text(method.into()),
            seeds.map_or(Cell::Missing, |count| Cell::Count(count as u64)),
        ];
        row.extend(
            summaries
                .iter()
                .map(|s| s.map_or(Cell::Missing, Cell::Seeds)),
        );
        let headlines = sets
            .iter()
            .zip(&summaries)
            .filter(|(set, _)| set.is_headline);
        let medians: Option<Vec<f64>> = headlines.map(|(_, s)| Some(s.as_ref()?.median)).collect();
        row.push(match medians {
            Some(medians) if !medians.is_empty() => {
                let mean = medians.iter().sum::<f64>() / medians.len() as f64;
                Cell::Text(format!("{:.1}", 100.0 * mean))
            }
            _ => Cell::Missing,
        });
        let control = lesson.and_then(|(student, method)| {
            let own = self.methods.iter().find(|m| m.name == method)?;
            Some((student, own.control.as_deref()?))
        });
        row.push(match (lesson, control) {
            (Some(lesson), Some(control)) => self.verdict(sets, lesson, control),
            _ => Cell::Missing,
        });
        row.push(match (lesson, control) {
            (Some(lesson), Some(control)) => self.cost(sets, lesson, control),
            _ => Cell::Missing,
        });
        row
    }

    /// On how many tasks the median is higher than the control's, and (with at least 3 seeds) on how many every seed's
    /// score is higher, or lower, than all of the control's.
    fn verdict(&self, sets: &[ScoredSet], own: (&str, &str), control: (&str, &str)) -> Cell {
        let (mut ahead, mut clear, mut behind, mut all, mut fewest) = (0, 0, 0, 0, usize::MAX);
        for set in sets.iter().filter(|set| set.is_headline) {
            let of = |lesson| Summary::of(&self.scores_on(set, Some(lesson)));
            if let (Some(own), Some(control)) = (of(own), of(control)) {
                all += 1;
                fewest = fewest.min(own.count).min(control.count);
                ahead += usize::from(own.median > control.median);
                clear += usize::from(own.min > control.max);
                behind += usize::from(own.max < control.min);
            }
        }
        if all == 0 {
            return Cell::Missing;
        }
        let name = control.1;
        if fewest < FEW_SEEDS {
            return Cell::Text(format!(
                "ahead of {name} on {ahead} of {all}; too few seeds"
            ));
        }
        Cell::Text(format!(
            "ahead of {name} on {ahead} of {all}, clearly on {clear}; clearly behind on {behind}"
        ))
    }

    /// Training time of a sentence relative to the control's: the median over tasks of the ratio of medians.
    fn cost(&self, sets: &[ScoredSet], own: (&str, &str), control: (&str, &str)) -> Cell {
        let time = |task: &str, lesson| {
            let rates = self.runs(task, Some(lesson));
            let times: Vec<f64> = rates
                .filter_map(|run| Some(1.0 / run.training.as_ref()?.samples_per_s))
                .collect();
            Summary::of(&times).map(|summary| summary.median)
        };
        let mut tasks: Vec<&str> = sets.iter().map(|set| set.task.as_str()).collect();
        tasks.dedup();
        let ratios: Vec<f64> = tasks
            .into_iter()
            .filter_map(|task| Some(time(task, own)? / time(task, control)?))
            .collect();
        Summary::of(&ratios).map_or(Cell::Missing, |s| Cell::Text(format!("{:.2} x", s.median)))
    }
}

/// With fewer, being ahead or behind says nothing.
const FEW_SEEDS: usize = 3;

const NOTES: [&str; 3] = [
    "Scores times 100: median (range) over the seeds.",
    "Ahead: the median is higher; clearly: every seed's score is higher than each of the control's.",
    "Time of a training sentence, relative to the control's.",
];

/// A name as a folder is called: lower case, anything but letters and digits a hyphen.
pub fn slug(name: &str) -> String {
    let spelt: String = name
        .chars()
        .map(|c| match c {
            '²' => '2',
            c if c.is_alphanumeric() => c.to_ascii_lowercase(),
            '+' => 'p',
            _ => '-',
        })
        .collect();
    let words = spelt.split('-').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
