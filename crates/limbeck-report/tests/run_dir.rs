//! A run from its first line to its last, interrupted or not.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[expect(dead_code, reason = "the other test file uses the rest")]
mod support;

use std::io;
use std::path::Path;

use fs_err as fs;
use limbeck_report::{
    FinishedRun, Input, LogRecord, Prediction, ReportError, Role, RunDir, RunState, hash_input,
    read_log,
};
use proptest::prelude::*;
use support::{Config, config, eval, metrics, provenance, step};
use tempfile::{TempDir, tempdir};

fn create(folder: &TempDir) -> RunDir {
    RunDir::create(folder.path().join("s"), &config(7, 3), &provenance(7)).unwrap()
}

fn message(folder: &TempDir, error: &ReportError) -> String {
    error
        .to_string()
        .replace(&folder.path().display().to_string(), "runs")
}

fn create_error(folder: &TempDir) -> String {
    message(
        folder,
        &RunDir::create(folder.path().join("s"), &config(7, 3), &provenance(7)).unwrap_err(),
    )
}

fn resume_error(folder: &TempDir, config: &Config) -> String {
    message(
        folder,
        &RunDir::open_unfinished(folder.path().join("s"), config, &provenance(7)).unwrap_err(),
    )
}

#[test]
fn a_finished_run_reads_back() {
    let folder = tempdir().unwrap();
    let mut run = create(&folder);
    run.append(&step(1)).unwrap();
    run.append(&eval(1, 0.5)).unwrap();
    fs::create_dir_all(run.checkpoint_path()).unwrap();
    let row = Prediction {
        id: "3".to_owned(),
        gold: None,
        predicted: "positive".to_owned(),
        probabilities: vec![0.1, 0.9],
    };
    let metrics = metrics("small", Role::Student, 1000, 0.9);
    let mut writer = run.predictions(&metrics.labels).unwrap();
    writer.write(&row).unwrap();
    writer.finish().unwrap();
    let path = run.path().to_owned();
    run.finish(&metrics).unwrap();

    let run = FinishedRun::open(&path).unwrap();
    assert_eq!(run.config::<Config>().unwrap(), config(7, 3));
    assert_eq!(*run.provenance(), provenance(7));
    assert_eq!(*run.metrics(), metrics);
    assert_eq!(run.log().unwrap(), [step(1), eval(1, 0.5)]);
    assert_eq!(run.predictions().unwrap().rows, [row]);
    let kept = [
        "config.toml",
        "log.jsonl",
        "metrics.json",
        "predictions.tsv",
        "provenance.json",
    ];
    assert_eq!(names(&path), kept);

    // As a process killed before it removed them leaves them.
    fs::create_dir(path.join("checkpoint")).unwrap();
    fs::write(path.join("checkpoint/state.json"), "").unwrap();
    fs::write(path.join(".lock"), "17").unwrap();
    run.tidy();
    assert_eq!(names(&path), kept);
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_run_begins_only_in_a_new_or_empty_folder() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("s")).unwrap();
    let run = create(&folder);
    let process = format!("process {}", std::process::id());
    insta::assert_snapshot!(create_error(&folder), @"runs/s: holds an interrupted run, expected a new or empty folder; continue that run, choose another folder, or delete this one");
    let busy = resume_error(&folder, &config(7, 3)).replace(&process, "process 17");
    insta::assert_snapshot!(busy, @"runs/s: process 17 is writing this run; wait until it ends or choose another folder");
    run.finish(&metrics("small", Role::Student, 1000, 0.9))
        .unwrap();
    insta::assert_snapshot!(create_error(&folder), @"runs/s: holds a finished run, expected a new or empty folder; choose another folder, or delete this one to repeat the run");
    insta::assert_snapshot!(resume_error(&folder, &config(7, 3)), @"runs/s: holds a finished run, expected a new or empty folder; choose another folder, or delete this one to repeat the run");

    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("s")).unwrap();
    fs::write(folder.path().join("s/thesis.tex"), "").unwrap();
    insta::assert_snapshot!(create_error(&folder), @"runs/s: holds `thesis.tex`, expected a new or empty folder; choose another folder");

    let folder = tempdir().unwrap();
    fs::write(folder.path().join("s"), "").unwrap();
    insta::assert_snapshot!(create_error(&folder), @"runs/s: is a file, expected a folder; choose another path");
}

#[test]
fn a_run_killed_at_its_start_begins_again() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("s");
    fs::create_dir(&path).unwrap();
    for name in [".lock", "provenance.json", ".config.toml.17.partial"] {
        fs::write(path.join(name), "17").unwrap();
    }
    assert_eq!(RunState::of(&path).unwrap(), RunState::New);
    drop(create(&folder));
    assert_eq!(RunState::of(&path).unwrap(), RunState::Unfinished);
    assert!(!path.join(".config.toml.17.partial").exists());
}

#[test]
fn an_interrupted_run_continues_with_the_same_settings_only() {
    let folder = tempdir().unwrap();
    insta::assert_snapshot!(resume_error(&folder, &config(7, 3)), @"runs/s: `config.toml` is missing, expected the folder of a run; give a folder that a command of ours wrote with `--out`");
    drop(create(&folder));
    insta::assert_snapshot!(resume_error(&folder, &config(7, 4)), @"runs/s/config.toml: `train.epochs` is `3`, expected `4` as in the present settings; restore the setting to continue the run, or choose another folder");
    let mut longer = config(7, 3);
    longer.train.time_limit_s = Some(60);
    insta::assert_snapshot!(resume_error(&folder, &longer), @"runs/s/config.toml: `train.time_limit_s` is not set, expected `60` as in the present settings; restore the setting to continue the run, or choose another folder");

    let run =
        RunDir::open_unfinished(folder.path().join("s"), &config(7, 3), &provenance(7)).unwrap();
    let run = run
        .finish(&metrics("small", Role::Student, 1000, 0.9))
        .unwrap();
    assert_eq!(run.provenance().resumed.len(), 1);
    assert_eq!(run.provenance().started, provenance(7).started);
}

#[test]
fn an_interrupted_run_continues_with_the_same_inputs_only() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("dev.tsv");
    let with_input = |text: &str| {
        fs::write(&data, text).unwrap();
        let mut provenance = provenance(7);
        provenance
            .inputs
            .insert("dev".to_owned(), hash_input(&data).unwrap());
        provenance
    };
    let path = folder.path().join("s");
    drop(RunDir::create(&path, &config(7, 3), &with_input("a")).unwrap());
    let error = RunDir::open_unfinished(&path, &config(7, 3), &with_input("b")).unwrap_err();
    insta::assert_snapshot!(message(&folder, &error), @"runs/s/provenance.json: input `dev` is SHA-256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, expected SHA-256 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d as at present; restore the input to continue the run, or choose another folder");
    let error = RunDir::open_unfinished(&path, &config(7, 3), &provenance(7)).unwrap_err();
    insta::assert_snapshot!(message(&folder, &error), @"runs/s/provenance.json: input `dev` is SHA-256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, expected absent as at present; restore the input to continue the run, or choose another folder");
    // The same contents at another place are the same input.
    let mut moved = with_input("a");
    moved.inputs.insert(
        "dev".to_owned(),
        Input {
            path: "elsewhere.tsv".into(),
            ..moved.inputs["dev"].clone()
        },
    );
    RunDir::open_unfinished(&path, &config(7, 3), &moved).unwrap();
}

#[test]
fn what_is_no_finished_run_is_refused() {
    let folder = tempdir().unwrap();
    let open = |name: &str| {
        message(
            &folder,
            &FinishedRun::open(folder.path().join(name)).unwrap_err(),
        )
    };
    insta::assert_snapshot!(open("s"), @"runs/s: `config.toml` is missing, expected the folder of a run; give a folder that a command of ours wrote with `--out`");
    let run = create(&folder);
    insta::assert_snapshot!(open("s"), @"runs/s: the run is not finished, `metrics.json` is missing; give its command again to continue it");
    let path = run
        .finish(&metrics("small", Role::Student, 1000, 0.9))
        .unwrap()
        .path()
        .to_owned();
    fs::write(path.join("metrics.json"), "{\n\"task\": 3}").unwrap();
    insta::assert_snapshot!(open("s"), @"runs/s/metrics.json:2: not a metrics record; it was changed after the run or stems from another version: repeat the run");
    fs::write(path.join("config.toml"), "task = \"a\"\nseed 7\n").unwrap();
    insta::assert_snapshot!(open("s"), @"runs/s/config.toml:2: not a settings file; it was changed after the run or stems from another version: repeat the run");
}

#[test]
fn the_log_is_cut_after_the_step_resumed() {
    let folder = tempdir().unwrap();
    let mut run = create(&folder);
    let records = [step(1), step(2), eval(2, 0.5), step(3), eval(3, 0.6)];
    for record in &records {
        run.append(record).unwrap();
    }
    run.truncate_log_after(2).unwrap();
    run.append(&step(4)).unwrap();
    assert_eq!(
        run.log().unwrap(),
        [step(1), step(2), eval(2, 0.5), step(4)]
    );
    run.truncate_log_after(0).unwrap();
    assert_eq!(run.log().unwrap(), []);
}

/// Writes `text` as the log of an interrupted run, continues it with `step(9)` and reads the log.
fn continued(text: &[u8]) -> Result<Vec<LogRecord>, ReportError> {
    let folder = tempdir().unwrap();
    drop(create(&folder));
    let path = folder.path().join("s");
    fs::write(path.join("log.jsonl"), text).unwrap();
    let mut run = RunDir::open_unfinished(&path, &config(7, 3), &provenance(7))?;
    run.append(&step(9)).unwrap();
    read_log(path.join("log.jsonl"))
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_record_keeps_the_others() {
    let records = [step(1), eval(1, 0.5), step(2)];
    let lines: Vec<String> = records
        .iter()
        .map(|record| serde_json::to_string(record).unwrap() + "\n")
        .collect();
    let text = lines.concat();
    for length in lines[..2].concat().len() - 2..=text.len() {
        // A record whose line feed alone is missing is whole.
        let whole = (0..=3)
            .rev()
            .find(|&count| lines[..count].concat().trim_end().len() <= length)
            .unwrap();
        let expected: Vec<_> = records[..whole].iter().cloned().chain([step(9)]).collect();
        assert_eq!(
            continued(&text.as_bytes()[..length]).unwrap(),
            expected,
            "cut at byte {length}"
        );
    }
}

#[test]
fn a_log_broken_in_its_middle_is_refused() {
    let error = continued(b"{\"kind\":\"step\"\n{}\n")
        .unwrap_err()
        .to_string();
    insta::assert_snapshot!(&error[error.find("log.jsonl").unwrap()..], @"log.jsonl:1: not a log record; it was changed after the run or stems from another version: repeat the run");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error =
        RunDir::create(folder.path().join("file/s"), &config(7, 3), &provenance(7)).unwrap_err();
    insta::assert_snapshot!(message(&folder, &error), @"runs/file/s: cannot be written; check that its folder exists and that the disk is sound");
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_written_is_named() {
    // `/proc` takes files from nobody, the superuser included.
    let error = RunDir::create(Path::new("/proc/s"), &config(7, 3), &provenance(7)).unwrap_err();
    insta::assert_snapshot!(error, @"/proc/s: cannot be written; check that its folder exists and that the disk is sound");
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("NaN differs from itself", |value| !value.is_nan()),
        Just(f64::INFINITY)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_read_back(steps in prop::collection::vec((number(), "\\PC{0,5}", number(), any::<u64>()), 0..6)) {
        let folder = tempdir().unwrap();
        let mut run = create(&folder);
        let mut records = Vec::new();
        for (loss, name, value, number) in steps {
            let LogRecord::Step(mut step) = step(number % 1000) else { unreachable!() };
            step.loss = loss;
            step.terms.insert(name.clone(), value);
            let LogRecord::Eval(mut eval) = eval(number, value) else { unreachable!() };
            eval.split = name;
            records.extend([LogRecord::Step(step), LogRecord::Eval(eval)]);
        }
        for record in &records {
run.append(record).unwrap();
}
        prop_assert_eq!(run.log().unwrap(), records);
    }

    #[test]
    fn metrics_read_back(accuracy in number(), parameters in 0_u64..1 << 40, name in "\\PC{0,8}") {
        let folder = tempdir().unwrap();
        let metrics = metrics(&name, Role::Control, parameters, accuracy);
        let run = create(&folder).finish(&metrics).unwrap();
        prop_assert_eq!(run.metrics(), &metrics);
    }

    #[test]
    fn any_log_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = continued(&text);
    }
}

#[test]
fn a_loss_that_is_no_number_reads_back() {
    let folder = tempdir().unwrap();
    let mut run = create(&folder);
    let LogRecord::Step(mut record) = step(1) else {
        unreachable!()
    };
    record.loss = f64::NAN;
    run.append(&LogRecord::Step(record)).unwrap();
    let LogRecord::Step(record) = run.log().unwrap().remove(0) else {
        unreachable!()
    };
    assert!(record.loss.is_nan());
}
