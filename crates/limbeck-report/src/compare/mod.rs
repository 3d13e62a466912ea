use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::{
    Cell, Column, FinishedAttack, FinishedRun, Page, ReportError, Result, Role, RunState, Score,
    Summary, Table,
};

mod attacks;
mod page;

/// Finished runs side by side.
#[derive(Debug, Clone)]
pub struct Comparison {
    models: Vec<Model>,
    attacks: Vec<FinishedAttack>,
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(ReportError::read(folder))
}

/// The folder itself, or the runs of all seeds right below it, in order of the seeds.
fn seeds(path: &Path) -> Result<Vec<PathBuf>> {
    if !matches!(RunState::of(path)?, RunState::Foreign { .. }) {
        return Ok(vec![path.to_owned()]);
    }
    let seed = |folder: &Path| {
        let name = folder.file_name()?.to_str()?;
        name.strip_prefix("seed-")?.parse::<u64>().ok()
    };
    let mut runs: Vec<(u64, PathBuf)> = entries(path)?
        .into_iter()
        .filter_map(|folder| Some((seed(&folder)?, folder)))
        .collect();
    runs.sort();
    if runs.is_empty() {
        return Ok(vec![path.to_owned()]);
    }
    Ok(runs.into_iter().map(|(_, folder)| folder).collect())
}

/// One row of a [`Comparison`]: a run, or several that differ only in their seed.
#[derive(Debug, Clone)]
pub struct Model {
    runs: Vec<FinishedRun>,
}

impl Comparison {
    /// Reads the runs in `paths`, and the attacks. Teachers come first, otherwise the order stays.
    ///
    /// A path may also be the folder of several attacks, as `limbeck attack` leaves it for several recipes, or that of the runs
    /// of several seeds.
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let (mut runs, mut attacks) = (Vec::new(), Vec::new());
        for path in paths {
            let folders = attacks::folders(path.as_ref())?;
            if folders.is_empty() {
                for folder in seeds(path.as_ref())? {
                    runs.push(FinishedRun::open(folder)?);
                }
            }
            for folder in folders {
                attacks.push(FinishedAttack::open(folder)?);
            }
        }
        if runs.is_empty() && !attacks.is_empty() {
            return Ok(Self {
                models: Vec::new(),
                attacks,
            });
        }
        Ok(Self {
            attacks,
            ..Self::of(runs)?
        })
    }

    /// Puts `runs` in rows; fails if there are none.
    pub fn of(runs: Vec<FinishedRun>) -> Result<Self> {
        if runs.is_empty() {
            return Err(ReportError::NoRuns);
        }
        let mut models: Vec<Model> = Vec::new();
        for run in runs {
            match models
                .iter_mut()
                .find(|model| differ_only_in_seed(model.first(), &run))
            {
                Some(model) => model.runs.push(run),
                None => models.push(Model { runs: vec![run] }),
            }
        }
        models.sort_by_key(|model| model.role() != Role::Teacher);
        Ok(Self {
            models,
            attacks: Vec::new(),
        })
    }

    /// The rows, in order.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Models with their size, their scores on every set, the share of the teacher's score they keep, and their speed.
    pub fn table(&self) -> Table {
        let sets = self.sets();
        let words = ["model", "role"].map(Column::words);
        let sizes = ["parameters", "size on disk"].map(Column::numbers);
        let scores = sets
            .iter()
            .map(|(split, metric)| Column::numbers(format!("{metric} on {split}")));
        let divergence = self.shows_divergence().then_some("divergence");
        let last = (divergence.into_iter())
            .chain(["teacher kept", "sentences/s"])
            .map(Column::numbers);
        let columns = words
            .into_iter()
            .chain(sizes)
            .chain(scores)
            .chain(last)
            .collect();
        let rows: Vec<_> = self
            .models
            .iter()
            .map(|model| self.row(model, &sets))
            .collect();
        let notes = self.notes(&rows);
        Table {
            columns,
            rows,
            notes,
        }
    }

    /// How the models stood up to the attacks, attack by attack; `None` where there is none.
    pub fn attack_table(&self) -> Option<Table> {
        attacks::table(self)
    }

    /// The table with charts, confusion matrices, settings and provenance.
    pub fn page(&self, title: &str) -> Result<Page> {
        page::page(self, title)
    }

    /// Every evaluation set with its metric, in order of first appearance.
    fn sets(&self) -> Vec<(&str, &str)> {
        let mut sets = Vec::new();
        for metrics in self.models.iter().map(|model| model.first().metrics()) {
            for split in &metrics.splits {
                let set = (split.split.as_str(), metrics.headline.metric.as_str());
                if !sets.contains(&set) {
                    sets.push(set);
                }
            }
        }
        sets
    }

    fn row(&self, model: &Model, sets: &[(&str, &str)]) -> Vec<Cell> {
        let summary = &model.first().metrics().model;
        let mut row = vec![
            Cell::Text(model.name()),
            Cell::Text(model.role().name().to_owned()),
            Cell::Count(summary.parameters),
            Cell::Bytes(summary.size_bytes),
        ];
        row.extend(
            sets.iter()
                .map(|(split, metric)| model.score_cell(split, metric)),
        );
        if self.shows_divergence() {
            row.push(model.divergence().map_or(Cell::Missing, Cell::Number));
        }
        row.push(self.share_kept(model).map_or(Cell::Missing, Cell::Share));
        row.push(model.sentences_per_s().map_or(Cell::Missing, Cell::Rate));
        row
    }

    /// The model's headline score divided by its teacher's; a share of nothing or of a negative score means nothing.
    fn share_kept(&self, model: &Model) -> Option<f64> {
        // Of several teachers none alone is the measure.
        if model.role() == Role::Teacher || !model.first().metrics().ensemble.is_empty() {
            return None;
        }
        let headline = &model.first().metrics().headline;
        let teacher = self
            .teacher_of(model)?
            .median(&headline.split, &headline.metric)?;
        let own = model.median(&headline.split, &headline.metric)?;
        (teacher > 0.0).then_some(own / teacher)
    }

    /// The teacher that the run names, or the only one of the same task (so that a control is measured too).
    fn teacher_of(&self, model: &Model) -> Option<&Model> {
        let metrics = model.first().metrics();
        let same_task = |teacher: &&Model| {
            teacher.role() == Role::Teacher && teacher.first().metrics().task == metrics.task
        };
        let named = metrics
            .teacher
            .as_deref()
            .and_then(|path| Path::new(path).canonicalize().ok());
        let is_named =
            |run: &FinishedRun| named.is_some() && run.path().canonicalize().ok() == named;
        let mut teachers = self.models.iter().filter(same_task);
        let found = teachers
            .clone()
            .find(|teacher| teacher.runs.iter().any(is_named));
        found.or_else(|| teachers.next().filter(|_| teachers.next().is_none()))
    }

    /// Whether any model was compared with its teacher.
    fn shows_divergence(&self) -> bool {
        self.models.iter().any(|model| model.divergence().is_some())
    }

    fn notes(&self, rows: &[Vec<Cell>]) -> Vec<String> {
        let any = |wanted: fn(&Cell) -> bool| rows.iter().flatten().any(wanted);
        let mut notes = vec!["Scores are times 100.".to_owned()];
        if any(|cell| {
            matches!(
                cell,
                Cell::Score(Score {
                    interval: Some(_),
                    ..
                })
            )
        }) {
            notes.push("± is half of the 95 % confidence interval.".to_owned());
        }
        if any(|cell| matches!(cell, Cell::Seeds(_))) {
            notes.push("Several seeds: median (lowest..highest).".to_owned());
        }
        if any(|cell| matches!(cell, Cell::Share(_))) {
            let headline = &self.models[0].first().metrics().headline;
            notes.push(format!(
                "Teacher kept: share of the teacher's {} on {}.",
                headline.metric, headline.split
            ));
        }
        if self.shows_divergence() {
            let note = "Divergence: mean KL(teacher || student) on dev, in nats; of several seeds the median.";
            notes.push(note.to_owned());
        }
        notes
    }
}

impl Model {
    /// The runs, at least one.
    pub fn runs(&self) -> &[FinishedRun] {
        &self.runs
    }

    /// The model's name, with the count of its seeds if there are several.
    pub fn name(&self) -> String {
        let name = &self.first().metrics().model.name;
        match self.runs.len() {
            1 => name.clone(),
            count => format!("{name} ({count} seeds)"),
        }
    }

    /// The part the model plays.
    pub fn role(&self) -> Role {
        self.first().metrics().role
    }

    fn first(&self) -> &FinishedRun {
        &self.runs[0]
    }

    fn scores(&self, split: &str, metric: &str) -> Vec<Score> {
        self.runs
            .iter()
            .filter_map(|run| run.metrics().score(split, metric))
            .collect()
    }

    fn seeds(&self, split: &str, metric: &str) -> Option<Summary> {
        let values: Vec<f64> = self
            .scores(split, metric)
            .iter()
            .map(|score| score.value)
            .collect();
        Summary::of(&values)
    }

    fn median(&self, split: &str, metric: &str) -> Option<f64> {
        Some(self.seeds(split, metric)?.median)
    }

    fn score_cell(&self, split: &str, metric: &str) -> Cell {
        match self.scores(split, metric)[..] {
            [score] => Cell::Score(score),
            _ => self.seeds(split, metric).map_or(Cell::Missing, Cell::Seeds),
        }
    }

    /// From its teacher, on the dev set.
    fn divergence(&self) -> Option<f64> {
        let splits = self.runs.iter().flat_map(|run| &run.metrics().splits);
        let on_dev = splits.filter(|split| split.split == "dev");
        let values: Vec<f64> = on_dev.filter_map(|split| split.divergence).collect();
        Some(Summary::of(&values)?.median)
    }

    fn sentences_per_s(&self) -> Option<f64> {
        let rates: Vec<f64> = self
            .runs
            .iter()
            .filter_map(|run| run.metrics().sentences_per_s)
            .collect();
        Some(Summary::of(&rates)?.median)
    }
}

fn differ_only_in_seed(a: &FinishedRun, b: &FinishedRun) -> bool {
    let without_seed = |run: &FinishedRun| {
        let mut table = run.config_table().clone();
        table.remove("seed");
        table
    };
    let parts = |run: &FinishedRun| {
        let metrics = run.metrics().clone();
        (metrics.role, metrics.task, metrics.model.name)
    };
    a.provenance().seed != b.provenance().seed
        && parts(a) == parts(b)
        && without_seed(a) == without_seed(b)
}
