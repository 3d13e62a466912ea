//! A run that was killed, stopped, or computed on another number of threads ends like any other, bit for bit.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use insta::assert_snapshot;

use crate::place::{Place, shown, table};

/// A checkpoint after every step, so that a kill may hit each of its writes.
const CHECKPOINTS: &str = "--set train.checkpoint-every-s=0";
const KILLS: usize = 5;
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Pseudo-random numbers in `[0, 1)`, the same in every run of the test.
fn random(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    })
}

fn spawn(place: &Place, arguments: &str) -> Child {
    let mut command = place.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until `ready`, or until the process has ended.
fn wait_until(child: &mut Child, mut ready: impl FnMut() -> bool) {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() && !ready() {
        assert!(begun.elapsed() < TIME_LIMIT, "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the command at random moments, lets it finish, and compares with a run that nobody disturbed.
fn survives_kills(place: &Place, command: &str, seed: u64) {
    let begun = Instant::now();
    place.succeeds(&format!("{command} --out runs/whole"));
    let whole = begun.elapsed();
    let killed = format!("{command} --out runs/killed");
    let state = place.path("runs/killed/checkpoint/state.json");
    // The first kill comes as soon as there is something to go on from, the others at any moment.
    let mut child = spawn(place, &killed);
    wait_until(&mut child, || state.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let is_resumed = state.exists();
    for moment in random(seed).take(KILLS) {
        let mut child = spawn(place, &killed);
        let delay = whole.mul_f64(0.6 * moment);
        let begun = Instant::now();
        wait_until(&mut child, || begun.elapsed() > delay);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.succeeds(&killed);
    assert!(is_resumed, "the first kill came after the training");
    place.assert_same("runs/whole", "runs/killed");
    assert_eq!(left_behind(place, "runs/killed"), Vec::<String>::new());
}

/// What a finished run has no use for.
fn left_behind(place: &Place, run: &str) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "model", "last"] {
        for entry in fs::read_dir(place.path(run).join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with('.') || name == "checkpoint" {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found
}

#[test]
fn a_fine_tuning_that_was_killed_ends_as_if_nothing_had_happened() {
    let place = Place::new();
    // Dropout, so that its masks have to be the same too.
    place.edit(
        "tiny-bert/config.json",
        "\"hidden_dropout_prob\": 0.0",
        "\"hidden_dropout_prob\": 0.1",
    );
    survives_kills(&place, &format!("finetune finetune.toml {CHECKPOINTS}"), 1);
}

#[test]
fn a_distillation_that_was_killed_ends_as_if_nothing_had_happened() {
    let place = Place::with_teacher();
    survives_kills(
        &place,
        &format!("distill distill.toml {CHECKPOINTS} --set train.epochs=6.0"),
        2,
    );
}

#[test]
fn teacher_outputs_that_were_being_made_when_killed_are_completed() {
    const EXAMPLES: usize = 12_000;
    let place = Place::with_teacher();
    place.write("train.tsv", table(0, EXAMPLES));
    let command = "distill distill.toml --set train.max-steps=20";
    place.succeeds(&format!("{command} --out undisturbed/student"));
    // The folder of the training set's; that of the dev set is beside it.
    let file = || {
        let mut folders = fs::read_dir(place.path("runs/teacher-outputs")).ok()?;
        let folder = folders.find_map(|entry| {
            let folder = entry.unwrap().path();
            let header = fs::read_to_string(folder.join("header.json")).ok()?;
            let header: serde_json::Value = serde_json::from_str(&header).unwrap();
            (header["examples"] == EXAMPLES).then_some(folder)
        });
        Some(folder?.join("logits.f32"))
    };
    let logits = || Some(fs::metadata(file()?).ok()?.len());
    let whole = (EXAMPLES * 3 * 4) as u64;
    let mut cut = 0;
    for share in [0.0, 0.2, 0.5, 0.8] {
        let mut child = spawn(&place, &format!("{command} --out runs/student"));
        wait_until(&mut child, || {
            logits().is_some_and(|bytes| bytes as f64 > share * whole as f64)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        cut += usize::from(logits().is_some_and(|bytes| bytes < whole));
    }
    assert!(cut > 0, "no kill hit the making");
    // A kill may also cut a write short.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(file().unwrap())
        .unwrap();
    file.set_len(whole / 2 + 1).unwrap();
    place.succeeds(&format!("{command} --out runs/student"));
    place.assert_same("undisturbed/student", "runs/student");
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let place = Place::new();
    let command = format!("finetune finetune.toml {CHECKPOINTS} --quiet");
    place.succeeds(&format!("{command} --out runs/whole"));
    let mut child = spawn(&place, &format!("{command} --out runs/stopped"));
    wait_until(&mut child, || {
        fs::read(place.path("runs/stopped/log.jsonl")).is_ok_and(|log| !log.is_empty())
    });
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    insta::with_settings!({filters => vec![(r"step \d+", "step [..]")]}, {
        assert_snapshot!(shown(&output), @"
        stopped at step [..]; run the same command again to go on
        exit code 130
        ");
    });
    assert!(place.path("runs/stopped/checkpoint/state.json").exists());
    place.succeeds(&format!("{command} --out runs/stopped"));
    place.assert_same("runs/whole", "runs/stopped");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let place = Place::with_teacher();
    // Wide enough that the work is shared between threads.
    let student = "--set student={bert={layers=2,hidden-size=192,heads=4,intermediate-size=384}}";
    let command = format!("distill distill.toml {student} --set train.batch-size=64");
    place.succeeds(&format!("{command} --threads 1 --out runs/one"));
    place.succeeds(&format!("{command} --threads 2 --out runs/two"));
    place.assert_same("runs/one", "runs/two");
}

#[test]
fn a_stored_teacher_teaches_the_same_as_a_live_one() {
    let place = Place::with_teacher();
    place.succeeds("distill distill.toml --out runs/stored");
    place.succeeds("distill distill.toml --set teacher.store=false --out runs/live");
    place.assert_same("runs/stored", "runs/live");
}

#[test]
fn two_students_may_learn_from_one_teacher_at_the_same_time() {
    let place = Place::with_teacher();
    place.write("train.tsv", table(0, 12_000));
    let command = "distill distill.toml --set train.max-steps=10";
    place.succeeds(&format!("{command} --out alone/student"));
    let children =
        ["a", "b", "c"].map(|name| (name, spawn(&place, &format!("{command} --out runs/{name}"))));
    for (name, child) in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        place.assert_same("alone/student", &format!("runs/{name}"));
    }
}
