//! Phases of training, and studies of many runs.

use std::process::Stdio;
use std::time::Duration;

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::json;

use crate::place::Place;

const PHASES: &str = r#"
[[phase]]
objective = [{ logit-mse = {} }]
train = { epochs = 2.0, schedule = "constant" }
hands-on = "last"
[[phase]]
objective = [{ soft-targets = { weight = 0.5 } }, { hard-labels = { weight = 0.5 } }]
train = { epochs = 3.0, learning-rate = 5e-3 }
"#;

const STUDY: &str = r#"title = "Two methods"
seeds = [1, 2]
run = { train = { epochs = 3.0, batch-size = 16, learning-rate = 1e-2 } }
[place]
texts = "."
[[task]]
name = "Tiny"
teacher = { model = { from = "tiny-bert" }, train = { epochs = 6.0 } }
[task.run]
task = "tiny"
data = { train = { path = "{texts}/train.tsv" }, dev = { path = "{texts}/dev.tsv" }, test = { path = "{texts}/test.tsv" } }
[[student]]
name = "1 layer"
run = { student = { layers = { bottom = 1 } } }
[[student]]
name = "BiLSTM"
run = { student = { bi-lstm = { hidden-size = 12, head-size = 12 } } }
[[method]]
name = "labels"
distils = false
run = { model = { from = "{teacher}" } }
[[method]]
name = "vanilla KD"
control = "labels"
"#;

fn with_phases() -> Place {
    let place = Place::with_teacher();
    let run = format!("{}{PHASES}", place.text("distill.toml"));
    place.write("phases.toml", run);
    place
}

#[test]
fn phases_follow_one_another_in_one_log() {
    let place = with_phases();
    place.succeeds("distill phases.toml --out runs/phases");
    let log = place.log("runs/phases");
    let steps: Vec<_> = log.iter().filter(|r| r["kind"] == "step").collect();
    let numbers: Vec<u64> = steps.iter().map(|r| r["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    let has = |step: usize, term: &str| steps[step]["terms"].get(term).is_some();
    assert!((0..20).all(|step| has(step, "logit-mse") && !has(step, "hard-labels")));
    assert!((20..50).all(|step| has(step, "hard-labels") && !has(step, "logit-mse")));
    let rate = |step: usize| steps[step]["learning_rate"].as_f64().unwrap();
    assert_eq!((rate(2), rate(19)), (1e-2, 1e-2));
    assert!(rate(20) < rate(22) && rate(49) < 5e-4);
    assert_eq!(
        place.json("runs/phases/metrics.json")["training"]["last"]["step"],
        50
    );
    assert!(!place.path("runs/phases/checkpoint").exists());
}

#[test]
fn killed_phases_end_as_if_nothing_had_happened() {
    let place = with_phases();
    // Long enough to be hit for certain.
    place.edit("phases.toml", "epochs = 2.0", "epochs = 12.0");
    place.edit("phases.toml", "epochs = 3.0", "epochs = 18.0");
    let command = "distill phases.toml --set train.checkpoint-every-s=0";
    place.succeeds(&format!("{command} --out runs/whole"));
    let killed = format!("{command} --out runs/killed");
    let checkpoint = place.path("runs/killed/checkpoint");
    // In the first phase, between them, and in the second.
    for state in [
        "phase-1/checkpoint/state.json",
        "phase-1/finished.json",
        "phase-2/checkpoint/state.json",
    ] {
        let mut child = place.command(&killed);
        let mut child = child
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() && !checkpoint.join(state).exists() {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(checkpoint.join(state).exists(), "killed before {state}");
    }
    place.succeeds(&killed);
    place.assert_same("runs/whole", "runs/killed");
    assert!(!checkpoint.exists());
}

#[test]
fn bad_phases_are_named() {
    let place = with_phases();
    let error = |edit: (&str, &str)| {
        let text = place.text("phases.toml");
        assert!(text.contains(edit.0), "{}", edit.0);
        place.write("bad.toml", text.replace(edit.0, edit.1));
        place.fails("distill bad.toml --out runs/bad")
    };
    assert_snapshot!(error(("epochs = 2.0", "epoch = 2.0")), @"
    error: `phase.train` of phase 1: unknown field `epoch`, expected one of `epochs`, `max-steps`, `batch-size`, `accumulation`, `token-budget`, `max-tokens`, `learning-rate`, `schedule`, `warmup-fraction`, `optimizer`, `weight-decay`, `beta2`, `epsilon`, `clip-norm`, `evaluate-every`, `patience`, `log-every`, `checkpoint-every-s`
    exit code 2
    ");
    assert_snapshot!(error(("epochs = 2.0", "epochs = 0.0")), @"
    error: phase 1: `epochs`: found 0, expected a number above 0
    exit code 2
    ");
    assert_snapshot!(error(("objective = [{ logit-mse = {} }]\n", "")), @"
    error: phase 1
      caused by: `objective`: found weights [], expected at least one objective, with weights of 0 or more that are not all 0
    exit code 2
    ");
    let beside = ("[student]", "[[objective]]\nhard-labels = {}\n[student]");
    assert_snapshot!(error(beside), @"
    error: `phase`: found beside `objective` or `step`, expected these in each phase; move them there
    exit code 2
    ");
    assert!(!place.path("runs/bad").exists());
}

#[test]
fn a_study_trains_everything_and_goes_on() {
    let place = Place::new();
    place.write("study.toml", STUDY);
    let part = place.succeeds("study study.toml --out studies/two --method labels");
    assert!(
        part.contains("BiLSTM") && !part.contains("vanilla"),
        "{part}"
    );
    let table = place.succeeds("study study.toml --out studies/two");
    let folder = place.path("studies/two/tiny");
    for run in [
        "teacher",
        "1-layer/labels/seed-1",
        "1-layer/vanilla-kd/seed-2",
        "bilstm/vanilla-kd/seed-2",
    ] {
        assert!(folder.join(run).join("metrics.json").exists(), "{run}");
    }
    // The teacher answered once, for all students: to the training set and to the dev set.
    assert_eq!(
        fs::read_dir(folder.join("teacher-outputs"))
            .unwrap()
            .count(),
        2
    );
    let runs = place.json("studies/two/study.json")["runs"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(runs, 1 + 2 * 2 * 2);
    let scores = place.text("studies/two/scores.csv");
    assert!(
        scores.contains("\nTiny,BiLSTM,vanilla KD,2,dev,divergence,"),
        "{scores}"
    );
    // The same again trains nothing, and shows the same table; so does looking at it only.
    let before = place.read("studies/two/tiny/teacher/provenance.json");
    assert_eq!(place.succeeds("study study.toml --out studies/two"), table);
    assert_eq!(
        place.succeeds("study study.toml --out studies/two --table-only"),
        table
    );
    assert_eq!(
        place.read("studies/two/tiny/teacher/provenance.json"),
        before
    );
    let without_time: Vec<&str> = table.lines().filter(|line| !line.contains(" x")).collect();
    assert!(without_time.len() < table.lines().count());
    assert!(
        table.contains("Tiny") && table.contains("too few seeds"),
        "{table}"
    );
}

#[test]
fn two_processes_share_a_study() {
    let place = Place::new();
    place.write("study.toml", STUDY);
    let part = place.succeeds("study study.toml --out studies/two --seed 2 --method labels");
    assert!(part.contains("labels"), "{part}");
    let has = |run: &str| place.path("studies/two/tiny").join(run).exists();
    assert!(has("bilstm/labels/seed-2") && !has("bilstm/labels/seed-1"));
    let both = [(); 2].map(|()| {
        let mut command = place.command("study study.toml --out studies/two");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    let both = both.map(|child| child.wait_with_output().unwrap());
    let [first, second] = both.map(|output| {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (table, log) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{log}");
        (table, log)
    });
    assert_eq!(first.0, second.0);
    let begun = |log: &str, run: &str| usize::from(log.contains(&format!(": tiny/{run}\n")));
    for run in [
        "1-layer/labels/seed-1",
        "1-layer/vanilla-kd/seed-1",
        "1-layer/vanilla-kd/seed-2",
        "bilstm/labels/seed-1",
        "bilstm/vanilla-kd/seed-1",
        "bilstm/vanilla-kd/seed-2",
    ] {
        assert!(has(&format!("{run}/metrics.json")), "{run}");
        assert_eq!(begun(&first.1, run) + begun(&second.1, run), 1, "{run}");
    }
}

#[test]
fn a_bad_study_is_refused_before_the_first_run() {
    let place = Place::new();
    let error = |edit: (&str, &str), arguments: &str| {
        assert!(STUDY.contains(edit.0), "{}", edit.0);
        place.write("bad.toml", STUDY.replace(edit.0, edit.1));
        place.fails(&format!("study bad.toml --out studies/bad {arguments}"))
    };
    assert_snapshot!(error(("control = \"labels\"", "control = \"label\""), ""), @r#"
    error: `control`: found `label`, expected one of ["labels", "vanilla KD"]
    exit code 2
    "#);
    assert_snapshot!(error(("layers = { bottom = 1 }", "layer = { bottom = 1 }"), ""), @"
    error: run file of tiny/1-layer/labels/seed-1: unknown variant `layer`, expected one of `layers`, `bert`, `small-bert`, `bi-lstm`
    exit code 2
    ");
    assert_snapshot!(error(("seeds = [1, 2]", "seeds = []"), ""), @"
    error: `seeds`: found none, expected such as `[1, 2, 3]`
    exit code 2
    ");
    assert_snapshot!(error(("title", "title"), "--method soft"), @r#"
    error: `--method`: found `soft`, expected one of ["labels", "vanilla KD"]
    exit code 2
    "#);
    assert_snapshot!(error(("title", "title"), "--seed 1,3"), @r#"
    error: `--seed`: found `3`, expected one of [1, 2]
    exit code 2
    "#);
    assert_snapshot!(error(("title", "title"), "--table-only"), @"
    error: studies/bad: found no finished run, expected some; leave `--table-only` out to make them
    exit code 2
    ");
    assert!(!place.path("studies/bad").exists());
}

#[test]
fn a_sample_of_the_training_set_depends_on_its_own_seed() {
    let place = Place::new();
    let rows = |arguments: &str, run: &str| {
        place.succeeds(&format!(
            "finetune finetune.toml {arguments} --set train.epochs=1.0 --out {run}"
        ));
        place.json(&format!("{run}/metrics.json"))["training"].clone()
    };
    let sample = "--set data.train-sample={rows=48}";
    assert_eq!(rows(sample, "runs/one")["last"]["step"], 3);
    rows(&format!("{sample} --seed 5"), "runs/two");
    assert_eq!(
        rows("--set data.train-sample={rows=5000}", "runs/all")["last"]["step"],
        10
    );
    let error =
        place.fails("finetune finetune.toml --set data.train-sample={rows=0} --out runs/none");
    assert!(
        error.contains("`data.train-sample.rows`: found 0"),
        "{error}"
    );

    // Of a further set, in a run and in an evaluation: the same rows each time, in their order.
    let extra = |rows: usize| {
        format!(
            "--set data.extra=[{{name=\"part\",sample={{rows={rows}}},set={{path=\"dev.tsv\"}}}}]"
        )
    };
    place.succeeds(&format!(
        "finetune finetune.toml {} --out runs/part",
        extra(17)
    ));
    let part = place.json("runs/part/metrics.json")["splits"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&part["split"], &part["examples"]),
        (&json!("part"), &json!(17))
    );
    place.succeeds(&format!(
        "evaluate runs/part --data finetune.toml {} --out out",
        extra(17)
    ));
    let all = place.text("out/dev.tsv");
    let mut all = all.lines();
    assert!(
        place
            .text("out/part.tsv")
            .lines()
            .all(|row| all.any(|other| other == row))
    );
    let error = place.fails(&format!(
        "finetune finetune.toml {} --out runs/none",
        extra(0)
    ));
    assert!(
        error.contains("`data.extra.sample.rows`: found 0"),
        "{error}"
    );
}
