//! The file of a study: fragments of run files, and how they are put together.

use std::collections::BTreeSet;

use limbeck_report::slug;
use serde::Deserialize;
use toml::{Table, Value};

use crate::commands::run::check_distinct;
use crate::settings::{BadSettings, RunFile};

/// A study: every method on every student and task, with several seeds.
///
/// A run file is put together from the fragments `run` of study, task, student and method, later ones winning key
/// by key (lists are replaced whole). Strings may name places: `"{glue}/RTE/train.tsv"`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StudyFile {
    /// Heading of the table.
    pub(crate) title: String,
    /// A run of each combination for each seed.
    pub(crate) seeds: Vec<u64>,
    /// What `{name}` stands for in strings; `{teacher}` is the task's teacher.
    #[serde(default)]
    pub(crate) place: Table,
    /// What all runs share.
    #[serde(default)]
    pub(crate) run: Table,
    /// What is to be learnt.
    pub(crate) task: Vec<TaskPart>,
    /// Who learns.
    pub(crate) student: Vec<Part>,
    /// How.
    pub(crate) method: Vec<MethodPart>,
}

/// One of `[[task]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TaskPart {
    /// Name in the table.
    pub(crate) name: String,
    /// Part of a run file: `data` at least.
    pub(crate) run: Table,
    /// Fine-tunes the teacher, with the first seed.
    pub(crate) teacher: Table,
    /// The methods that are tried on it; all when empty.
    #[serde(default)]
    pub(crate) methods: Vec<String>,
}

/// One of `[[student]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Part {
    /// Name in the table.
    pub(crate) name: String,
    /// Part of a run file: `student` at least.
    pub(crate) run: Table,
}

/// One of `[[method]]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MethodPart {
    /// Name in the table.
    pub(crate) name: String,
    /// Part of a run file.
    #[serde(default)]
    pub(crate) run: Table,
    /// The method that it has to beat.
    #[serde(default)]
    pub(crate) control: Option<String>,
    /// Whether it learns from the task's teacher.
    #[serde(default = "yes")]
    pub(crate) distils: bool,
    /// The students that it can teach; all when empty.
    #[serde(default)]
    pub(crate) students: Vec<String>,
    /// The tasks that it can be used on; all when empty.
    #[serde(default)]
    pub(crate) tasks: Vec<String>,
}

fn yes() -> bool {
    true
}

/// One run of a study.
#[derive(Debug)]
pub(crate) struct PlannedRun {
    pub(crate) task: String,
    /// `None` for a task's teacher.
    pub(crate) lesson: Option<Lesson>,
    pub(crate) seed: u64,
    /// Below the study's folder.
    pub(crate) folder: String,
    /// The folder of the task's teacher, likewise.
    pub(crate) teacher: String,
    pub(crate) file: RunFile,
}

/// Who learns in a planned run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lesson {
    pub(crate) student: String,
    pub(crate) method: String,
    pub(crate) distils: bool,
}

impl StudyFile {
    /// Fails where names are given twice or mean nothing.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let names = |kind: &'static str, names: Vec<&str>| {
            for (index, name) in names.iter().enumerate() {
                if names[..index].iter().any(|other| slug(other) == slug(name)) {
                    return Err(bad(format!(
                        "`{kind}`: two are named `{name}`; give each a name of its own"
                    )));
                }
            }
            Ok(())
        };
        let methods: Vec<&str> = self.method.iter().map(|m| m.name.as_str()).collect();
        let students: Vec<&str> = self.student.iter().map(|s| s.name.as_str()).collect();
        let tasks: Vec<&str> = self.task.iter().map(|t| t.name.as_str()).collect();
        for method in &self.method {
            check_known("control", method.control.as_slice(), &methods)?;
            check_known("students", &method.students, &students)?;
            check_known("tasks", &method.tasks, &tasks)?;
        }
        for task in &self.task {
            check_known("methods", &task.methods, &methods)?;
        }
        names("method", methods)?;
        names("student", students)?;
        names("task", tasks)?;
        if self.seeds.is_empty() {
            return Err(bad("`seeds`: found none, expected such as `[1, 2, 3]`"));
        }
        check_distinct("seeds", &self.seeds)?;
        self.check_places()
    }

    /// Fails on a place that no string names, such as a misspelt one.
    fn check_places(&self) -> anyhow::Result<()> {
        let tasks = self.task.iter().flat_map(|task| [&task.run, &task.teacher]);
        let students = self.student.iter().map(|student| &student.run);
        let methods = self.method.iter().map(|method| &method.run);
        let mut tables: Vec<&Table> = vec![&self.run];
        tables.extend(tasks.chain(students).chain(methods));
        let named: BTreeSet<String> = tables
            .into_iter()
            .flat_map(|table| names_in(&Value::Table(table.clone())))
            .collect();
        match self.place.keys().find(|key| !named.contains(*key)) {
            Some(key) => Err(bad(format!(
                "`place`: found `{key}`, expected places that strings of this file name: {named:?}"
            ))),
            None => Ok(()),
        }
    }

    /// All runs in the order of running: the first seed of everything before the second, teachers first.
    pub(crate) fn plan(&self, out: &str) -> anyhow::Result<Vec<PlannedRun>> {
        let mut runs = Vec::new();
        for task in &self.task {
            let folder = format!("{}/teacher", slug(&task.name));
            let seed = self.seeds[0];
            runs.push(PlannedRun {
                task: task.name.clone(),
                lesson: None,
                seed,
                file: self.file(&[&self.run, &task.run, &task.teacher], seed, &folder, "")?,
                teacher: folder.clone(),
                folder,
            });
        }
        for &seed in &self.seeds {
            for task in &self.task {
                for student in &self.student {
                    for method in self.method.iter().filter(|m| m.is_for(task, student)) {
                        runs.push(self.lesson(task, student, method, seed, out)?);
                    }
                }
            }
        }
        Ok(runs)
    }

    fn lesson(
        &self,
        task: &TaskPart,
        student: &Part,
        method: &MethodPart,
        seed: u64,
        out: &str,
    ) -> anyhow::Result<PlannedRun> {
        let parts = [&task.name, &student.name, &method.name].map(|name| slug(name));
        let folder = format!("{}/seed-{seed}", parts.join("/"));
        let teacher = format!("{}/teacher", parts[0]);
        let mut own = Table::new();
        if method.distils {
            own.insert("teacher".into(), toml::toml! { from = "{teacher}" }.into());
        }
        let parts = [&self.run, &task.run, &own, &student.run, &method.run];
        Ok(PlannedRun {
            task: task.name.clone(),
            lesson: Some(Lesson {
                student: student.name.clone(),
                method: method.name.clone(),
                distils: method.distils,
            }),
            seed,
            file: self.file(&parts, seed, &folder, &format!("{out}/{teacher}"))?,
            teacher,
            folder,
        })
    }

    fn file(
        &self,
        parts: &[&Table],
        seed: u64,
        folder: &str,
        teacher: &str,
    ) -> anyhow::Result<RunFile> {
        let mut merged = Table::new();
        for part in parts {
            merge(&mut merged, part);
        }
        let mut places = self.place.clone();
        places.insert("teacher".into(), teacher.into());
        let mut merged = Value::Table(merged);
        fill(&mut merged, &places);
        if let Some(name) = names_in(&merged).pop() {
            let known: Vec<&String> = places.keys().collect();
            return Err(bad(format!(
                "run file of {folder}: found `{{{name}}}`, expected one of the places {known:?}"
            )));
        }
        let file: RunFile = merged
            .try_into()
            .map_err(|e: toml::de::Error| bad(format!("run file of {folder}: {}", e.message())))?;
        let file = RunFile { seed, ..file };
        file.phases()
            .map_err(|e| e.context(format!("run file of {folder}")))?;
        Ok(file)
    }
}

impl MethodPart {
    fn is_for(&self, task: &TaskPart, student: &Part) -> bool {
        let among = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        among(&self.students, &student.name)
            && among(&self.tasks, &task.name)
            && among(&task.methods, &self.name)
    }
}

pub(crate) fn check_known(key: &str, names: &[String], known: &[&str]) -> anyhow::Result<()> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(bad(format!(
            "`{key}`: found `{name}`, expected one of {known:?}"
        ))),
        None => Ok(()),
    }
}

/// Adds `part` to `table`, key by key; what is not a table is replaced.
fn merge(table: &mut Table, part: &Table) {
    for (key, value) in part {
        match (table.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(part)) => merge(inner, part),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Each `{name}` in all strings: lower-case letters, digits and `-`.
fn names_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => {
            let is_name = |name: &&str| {
                let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                !name.is_empty() && name.chars().all(allowed)
            };
            let ends = text
                .split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}'));
            let names = ends.map(|(name, _)| name).filter(is_name);
            names.map(str::to_owned).collect()
        }
        Value::Array(items) => items.iter().flat_map(names_in).collect(),
        Value::Table(table) => table.values().flat_map(names_in).collect(),
        _ => Vec::new(),
    }
}

/// Replaces `{name}` in all strings.
fn fill(value: &mut Value, places: &Table) {
    match value {
        Value::String(text) => {
            for (name, place) in places {
                if let Some(place) = place.as_str() {
                    *text = text.replace(&format!("{{{name}}}"), place);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, places)),
        Value::Table(table) => table.iter_mut().for_each(|(_, item)| fill(item, places)),
        _ => {}
    }
}

fn bad(text: impl Into<String>) -> anyhow::Error {
    BadSettings::new(text).into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn study(text: &str) -> anyhow::Result<Vec<PlannedRun>> {
        let file: StudyFile = toml::from_str(text)?;
        file.check()?;
        file.plan("out")
    }

    const FILE: &str = r#"
        title = "Two ways"
        seeds = [3, 4]
        place = { texts = "data" }
        run = { train = { epochs = 2.0, batch-size = 16 } }
        [[task]]
        name = "A task"
        run = { task = "a", data = { train = { path = "{texts}/train.tsv" } } }
        teacher = { model = { from = "base" }, train = { epochs = 1.0 } }
        [[student]]
        name = "small"
        run = { student = { layers = { bottom = 1 } } }
        [[method]]
        name = "labels"
        distils = false
        run = { model = { from = "{teacher}" } }
        [[method]]
        name = "soft"
        control = "labels"
        run = { objective = [{ soft-targets = {} }], train = { epochs = 5.0 } }
    "#;

    #[test]
    fn the_studies_of_the_examples_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/study");
        for (name, least) in [("distillation.toml", 400), ("ad2-or-augmentation.toml", 5)] {
            let text = fs_err::read_to_string(folder.join(name)).unwrap();
            let runs = study(&text).unwrap_or_else(|e| panic!("{name}: {e:#}"));
            assert!(runs.len() > least, "{name}: {}", runs.len());
        }
    }

    #[test]
    fn fragments_make_run_files() {
        let runs = study(FILE).unwrap();
        let folders: Vec<&str> = runs.iter().map(|run| run.folder.as_str()).collect();
        assert_eq!(
            folders,
            [
                "a-task/teacher",
                "a-task/small/labels/seed-3",
                "a-task/small/soft/seed-3",
                "a-task/small/labels/seed-4",
                "a-task/small/soft/seed-4",
            ]
        );
        let path = |run: &PlannedRun| run.file.data.train.as_ref().unwrap().path.clone();
        assert!(runs.iter().all(|run| path(run).ends_with("data/train.tsv")));
        let epochs: Vec<f64> = runs.iter().map(|run| run.file.train.epochs).collect();
        assert_eq!(epochs, [1.0, 2.0, 5.0, 2.0, 5.0]);
        assert!(runs.iter().all(|run| run.file.train.batch_size == 16));
        let from = |run: &PlannedRun| run.file.teacher.as_ref().map(|t| t.from.clone());
        assert_eq!(from(&runs[1]), None);
        assert_eq!(from(&runs[2]).as_deref(), Some("out/a-task/teacher"));
        assert_eq!(
            runs[1].file.model.as_ref().unwrap().from,
            "out/a-task/teacher"
        );
    }

    #[test]
    fn names_must_mean_something() {
        let error = study(&FILE.replace("control = \"labels\"", "control = \"label\""));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("`control`: found `label`")
        );
        let only = FILE.replace("[[student]]", "methods = [\"labels\"]\n[[student]]");
        let runs = study(&only).unwrap();
        assert!(runs.iter().all(|run| !run.folder.contains("/soft/")));
        let error = study(&only.replace("\"labels\"]", "\"label\"]"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`methods`: found `label`"), "{error}");
        let error = study(&FILE.replace("name = \"soft\"", "name = \"Labels\""));
        assert!(error.unwrap_err().to_string().contains("two are named"));
        let error = study(&FILE.replace("place = {", "place = { text = \"data\","));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("`place`: found `text`"), "{text}");
        let error = study(&FILE.replace("{texts}/", "{textss}/{texts}/"));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("a-task/teacher: found `{textss}`"), "{text}");
        let error = study(&FILE.replace("[3, 4]", "[3, 3]"));
        assert!(error.unwrap_err().to_string().contains("found 3 twice"));
        let error = study(&FILE.replace("epochs = 5.0", "epochs = -5.0"));
        assert!(format!("{:#}", error.unwrap_err()).contains("a-task/small/soft/seed-3"));
    }
}
