//! A folder with tiny models, data and run files, and the program at work in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fs_err as fs;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Words of the tiny models' vocabulary that decide a sentence's label.
pub(crate) const WORDS: [(&str, [&str; 3]); 3] = [
    ("negative", ["bad", "dull", "slow"]),
    ("neutral", ["snow", "ca", "story"]),
    ("positive", ["good", "great", "fun"]),
];
const SUBJECTS: [&str; 5] = ["film", "movie", "plot", "act", "review"];
const ENDS: [&str; 4] = [".", "!", "and it is a movie .", "in that review"];

const FINETUNE: &str = r#"task = "tiny"
[model]
from = "tiny-bert"
[train]
epochs = 6
batch-size = 16
learning-rate = 1e-2
log-every = 1
[data]
train = { path = "train.tsv" }
dev = { path = "dev.tsv" }
test = { path = "test.tsv" }
"#;

const DISTILL: &str = r#"task = "tiny"
[teacher]
from = "runs/teacher"
[student]
layers = { bottom = 1 }
[train]
epochs = 4
batch-size = 16
learning-rate = 1e-2
log-every = 1
[data]
train = { path = "train.tsv" }
dev = { path = "dev.tsv" }
test = { path = "test.tsv" }
"#;

/// A folder that is deleted in the end. All commands run inside, so messages hold no path of this machine.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    /// With `finetune.toml`, `distill.toml` and their data, and without a teacher.
    pub(crate) fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for model in ["tiny-bert", "tiny-bert-teacher", "tiny-bert-mlm"] {
            for file in [
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json",
            ] {
                place.write(&format!("{model}/{file}"), fixture(model, file));
            }
        }
        place.write("finetune.toml", FINETUNE);
        place.write("distill.toml", DISTILL);
        for (file, from, count) in [
            ("train.tsv", 0, 160),
            ("dev.tsv", 1000, 40),
            ("test.tsv", 2000, 40),
        ] {
            place.write(file, table(from, count));
        }
        place
    }

    /// The same with a finished fine-tuning in `runs/teacher`.
    pub(crate) fn with_teacher() -> Self {
        let place = Self::new();
        place.succeeds("finetune finetune.toml --out runs/teacher");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// Replaces `old`, which occurs once, in a file.
    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = self.text(name);
        assert_eq!(text.matches(old).count(), 1, "{old} in {name}");
        self.write(name, text.replace(old, new));
    }

    /// The program with these arguments, split at spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limbeck"));
        command.args(arguments.split_whitespace());
        self.at_home(&mut command);
        command
    }

    /// A command in this folder, that sees nothing of the user's settings.
    pub(crate) fn at_home(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env_remove("LIMBECK_LOG")
            .env("HF_HOME", self.path("hub"))
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null());
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that has to succeed.
    pub(crate) fn succeeds(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the user sees of a command that has to fail.
    pub(crate) fn fails(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments} succeeded");
        shown(&output)
    }

    /// Whether the folder of a run was not made.
    pub(crate) fn is_untouched(&self, name: &str) -> bool {
        !self.path(name).exists()
    }

    /// What two runs with the same settings have in common, by file.
    pub(crate) fn results(&self, run: &str) -> BTreeMap<&'static str, Vec<u8>> {
        let mut results: BTreeMap<_, _> = [
            "model/config.json",
            "model/model.safetensors",
            "model/tokenizer.json",
            "last/model.safetensors",
            "predictions.tsv",
        ]
        .into_iter()
        .map(|file| (file, self.read(&format!("{run}/{file}"))))
        .collect();
        let log = self
            .log(run)
            .into_iter()
            .fold(String::new(), |mut log, record| {
                let _ = writeln!(log, "{record}");
                log
            });
        results.insert("log.jsonl", log.into_bytes());
        let mut metrics = self.json(&format!("{run}/metrics.json"));
        for (table, key) in [
            ("", "wall_time_s"),
            ("", "sentences_per_s"),
            ("", "peak_memory_bytes"),
            ("/training", "samples_per_s"),
        ] {
            let table = metrics.pointer_mut(table).unwrap().as_object_mut().unwrap();
            assert!(table.remove(key).is_some(), "{key}");
        }
        results.insert("metrics.json", metrics.to_string().into_bytes());
        results
    }

    /// The records of a run's log, without speed.
    pub(crate) fn log(&self, run: &str) -> Vec<Value> {
        let mut records = lines(&self.text(&format!("{run}/log.jsonl")));
        for record in &mut records {
            if let Some(speed) = record.get_mut("samples_per_s") {
                assert!(speed.as_f64().unwrap() > 0.0);
                *speed = json!(0.0);
            }
        }
        records
    }

    /// Fails where the runs differ, and names the file.
    pub(crate) fn assert_same(&self, run: &str, other: &str) {
        let (left, right) = (self.results(run), self.results(other));
        for (file, contents) in left {
            assert!(
                contents == right[file],
                "{file} of {run} and {other} differ"
            );
        }
    }
}

/// Every line of a text as JSON.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A labelled sentence, decided by `number` alone.
pub(crate) fn sentence(number: usize) -> (&'static str, String) {
    // Knuth's multiplier spreads the digits.
    let digits = (number as u64 + 1).wrapping_mul(6_364_136_223_846_793_005);
    let mut digits = digits ^ (digits >> 29);
    let mut pick = |count: usize| {
        let picked = digits % count as u64;
        digits /= count as u64;
        picked as usize
    };
    let (label, words) = WORDS[pick(3)];
    let (word, subject, end) = (words[pick(3)], SUBJECTS[pick(5)], ENDS[pick(4)]);
    let very = ["", "very "][pick(2)];
    (label, format!("the {subject} is {very}{word} {end}"))
}

/// A tsv file with a header.
pub(crate) fn table(from: usize, count: usize) -> String {
    let mut text = "label\ttext\n".to_owned();
    for (label, sentence) in (from..from + count).map(sentence) {
        writeln!(text, "{label}\t{sentence}").unwrap();
    }
    text
}

/// Exit code and both streams, as on a terminal.
pub(crate) fn shown(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream));
    let code = output.status.code().map_or_else(
        || output.status.to_string(),
        |code| format!("exit code {code}"),
    );
    format!("{stdout}{stderr}{code}")
}

fn fixture(model: &str, file: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    fs::read(fixtures.join(model).join(file)).unwrap()
}
