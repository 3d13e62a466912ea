//! `limbeck search`: the smallest student that keeps enough of its teacher.

use std::path::Path;

use limbeck_model::StudentConfig;
use limbeck_report::{Cell, Column, FinishedRun, Role, Score, Summary, Table, atomic_write};
use serde_json::json;

use crate::cli::{SearchArgs, TrainArgs};
use crate::commands::train::{Goal, Job, Outset, complete_distillation, run_seeds};
use crate::environment::device;
use crate::settings::{BadSettings, RunFile, SearchSettings};

/// A student to try.
struct Candidate {
    folder: String,
    file: RunFile,
    outset: Outset,
    /// The runs, once they are finished.
    tried: Option<Tried>,
}

/// What a student came to.
struct Tried {
    /// On the dev set, of all seeds.
    scores: Summary,
    share: f64,
    sentences_per_s: f64,
}

/// Runs the command.
pub(crate) fn run(args: &SearchArgs, quiet: bool) -> anyhow::Result<()> {
    let distill = &args.distill;
    let mut file = RunFile::read(&distill.train.file, &distill.train.overrides)?;
    let Some(mut search) = file.search.take() else {
        return Err(BadSettings::new(
            "`search`: found nothing, expected `[search] students = [{ bi-lstm = {} }, ..]`",
        )
        .into());
    };
    search.share = args.share.unwrap_or(search.share);
    check(&file, &search)?;
    file.student = search.students.first().cloned();
    complete_distillation(&mut file, distill)?;
    file.role.get_or_insert(Role::Student);
    file.seed = distill.train.seed.unwrap_or(file.seed);
    let (goal, mut candidates) = candidates(args, &file, &search, quiet)?;
    let mut smallest = None;
    for (place, candidate) in candidates.iter_mut().enumerate() {
        let tried = candidate.run(&goal, args, quiet)?;
        if tried.share >= search.share {
            smallest.get_or_insert(place);
            if !args.all {
                break;
            }
        }
    }
    let result = SearchResult {
        candidates: &candidates,
        goal: &goal,
        smallest,
        share: search.share,
    };
    result.show(&distill.train.out)
}

fn check(file: &RunFile, search: &SearchSettings) -> anyhow::Result<()> {
    let refuse = |problem: &str| Err(BadSettings::new(problem).into());
    if search.students.is_empty() {
        return refuse("`search.students`: found none, expected at least one");
    }
    if file.student.is_some() {
        return refuse(
            "`student`: found beside `search`, expected all students in `search.students`; move it there",
        );
    }
    if !(search.share > 0.0 && search.share.is_finite()) {
        return refuse(
            "`search.share`: expected a share of the teacher's score above 0, such as 0.9",
        );
    }
    Ok(())
}

/// All students in order of size; each is built once, untrained, so that whatever is wrong shows before the first run.
fn candidates(
    args: &SearchArgs,
    file: &RunFile,
    search: &SearchSettings,
    quiet: bool,
) -> anyhow::Result<(Goal, Vec<Candidate>)> {
    let train = &args.distill.train;
    let mut goal = None;
    let mut candidates: Vec<Candidate> = Vec::new();
    for student in &search.students {
        let folder = folder_name(student)?;
        if candidates.iter().any(|known| known.folder == folder) {
            let problem =
                format!("`search.students`: found `{folder}` twice, expected each student once");
            return Err(BadSettings::new(problem).into());
        }
        let file = RunFile {
            student: Some(student.clone()),
            ..file.clone()
        };
        let out = train.out.join(&folder);
        let mut job = Job::new(file.clone(), out, device(train.device)?, quiet)?;
        job.force_teacher = args.distill.force_teacher;
        if goal.is_none() {
            goal = Some(job.goal()?);
        }
        candidates.push(Candidate {
            outset: job.outset()?,
            folder,
            file,
            tried: None,
        });
    }
    // Of equally large students the one that is named first is tried first.
    candidates.sort_by_key(|candidate| candidate.outset.parameters);
    let goal = goal.expect("there is a student, as was checked");
    Ok((goal, candidates))
}

impl Candidate {
    /// Distils the student, or takes the runs that are finished.
    fn run(&mut self, goal: &Goal, args: &SearchArgs, quiet: bool) -> anyhow::Result<&Tried> {
        let distill = &args.distill;
        let train = TrainArgs {
            out: distill.train.out.join(&self.folder),
            ..distill.train.clone()
        };
        let force = distill.force_teacher;
        let runs = run_seeds(&train, self.file.clone(), Role::Student, force, quiet)?;
        let on_dev = |run: &FinishedRun| run.metrics().score("dev", goal.metric);
        let scores: Vec<f64> = runs.iter().filter_map(on_dev).map(|s| s.value).collect();
        let speeds: Vec<f64> = runs
            .iter()
            .filter_map(|r| r.metrics().sentences_per_s)
            .collect();
        let median = |values: &[f64]| Summary::of(values).map_or(0.0, |summary| summary.median);
        let scores = Summary::of(&scores).unwrap_or(Summary {
            median: 0.0,
            min: 0.0,
            max: 0.0,
            count: 0,
        });
        Ok(self.tried.insert(Tried {
            share: share_kept(scores.median, goal.teacher),
            sentences_per_s: median(&speeds),
            scores,
        }))
    }
}

/// A share of nothing, or of a negative score, is none.
fn share_kept(student: f64, teacher: f64) -> f64 {
    if teacher > 0.0 {
        student / teacher
    } else {
        0.0
    }
}

/// A folder's name that says what the student is: its kind, and what differs from the defaults.
fn folder_name(student: &StudentConfig) -> anyhow::Result<String> {
    let toml::Value::Table(table) = toml::Value::try_from(student)? else {
        unreachable!("a student is a table with one key")
    };
    let defaults = match student {
        StudentConfig::Layers(_) => toml::Table::new(),
        StudentConfig::Bert(_) => toml::Table::try_from(limbeck_model::BertStudent::default())?,
        StudentConfig::SmallBert(_) => {
            toml::Table::try_from(limbeck_model::SmallBertStudent::default())?
        }
        StudentConfig::BiLstm(_) => toml::Table::try_from(limbeck_model::BiLstmStudent::default())?,
    };
    let mut parts = Vec::new();
    for (kind, settings) in &table {
        parts.push(kind.clone());
        differing(
            settings,
            Some(&toml::Value::Table(defaults.clone())),
            &mut parts,
        );
    }
    let name: String = parts.join("-");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words: Vec<&str> = name
        .split(|c| !is_plain(c))
        .filter(|w| !w.is_empty())
        .collect();
    Ok(words.join("-"))
}

/// `key-value` of all that is not as by default.
fn differing(value: &toml::Value, default: Option<&toml::Value>, parts: &mut Vec<String>) {
    if default == Some(value) {
        return;
    }
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let default = default.and_then(|default| default.get(key));
                if default != Some(value) {
                    parts.push(key.clone());
                    differing(value, default, parts);
                }
            }
        }
        toml::Value::String(text) => parts.push(text.clone()),
        other => parts.push(other.to_string()),
    }
}

/// All that was tried, and what came of it.
struct SearchResult<'a> {
    candidates: &'a [Candidate],
    goal: &'a Goal,
    smallest: Option<usize>,
    share: f64,
}

impl SearchResult<'_> {
    /// The table on standard output, and `search.json` in the folder.
    #[expect(clippy::print_stdout, reason = "results go to standard output")]
    fn show(&self, folder: &Path) -> anyhow::Result<()> {
        let table = self.table();
        let json = json!({
            "smallest": self.smallest.map(|place| &self.candidates[place].folder),
            "share": self.share,
            "metric": self.goal.metric,
            "teacher": self.goal.teacher,
            "students": table.to_json(),
        });
        atomic_write(folder.join("search.json"), format!("{json:#}\n").as_bytes())?;
        print!("\n{}", table.to_text());
        Ok(())
    }

    fn table(&self) -> Table {
        let (candidates, share) = (self.candidates, self.share);
        let Goal { metric, teacher } = *self.goal;
        let columns = vec![
            Column::words("student"),
            Column::words("folder"),
            Column::numbers("parameters"),
            Column::numbers("without embeddings"),
            Column::numbers(format!("{metric} on dev")),
            Column::numbers("teacher kept"),
            Column::numbers("sentences/s"),
        ];
        let row = |candidate: &Candidate| {
            let (all, without) = candidate.outset.parameters;
            let mut row = vec![
                Cell::Text(candidate.outset.name.clone()),
                Cell::Text(candidate.folder.clone()),
                Cell::Count(all as u64),
                Cell::Count(without as u64),
            ];
            match &candidate.tried {
                None => row.extend([Cell::Missing, Cell::Missing, Cell::Missing]),
                Some(tried) => row.extend([
                    match tried.scores {
                        Summary {
                            count: 1, median, ..
                        } => Cell::Score(Score {
                            value: median,
                            interval: None,
                        }),
                        several => Cell::Seeds(several),
                    },
                    Cell::Share(tried.share),
                    Cell::Rate(tried.sentences_per_s),
                ]),
            }
            row
        };
        let verdict = match self.smallest {
            Some(place) => format!(
                "Smallest student with at least {:.1} % of the teacher's {metric} on dev ({:.1}): {} ({}).",
                100.0 * share,
                100.0 * teacher,
                candidates[place].outset.name,
                candidates[place].folder
            ),
            None => format!(
                "No student has {:.1} % of the teacher's {metric} on dev ({:.1}).",
                100.0 * share,
                100.0 * teacher
            ),
        };
        let mut notes = vec![verdict];
        if candidates.iter().any(|candidate| candidate.tried.is_none()) {
            notes.push("–: not tried; `--all` tries these too.".to_owned());
        }
        Table {
            columns,
            rows: candidates.iter().map(row).collect(),
            notes,
        }
    }
}
