//! `limbeck pretrain mlm`: a run like any other, which a kill does not change.

use std::process::Stdio;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, sentence};

const RUN_FILE: &str = r#"task = "tiny"
seed = 4
[model]
from = "tiny-bert"
[train]
epochs = 6
batch-size = 4
max-tokens = 32
learning-rate = 5e-3
log-every = 1
checkpoint-every-s = 0
[data]
train = [{ lines = "text.txt" }, { set = { path = "train.tsv" } }]
dev = [{ wikitext = "wiki.txt" }]
"#;

fn place() -> Place {
    let place = Place::new();
    place.edit(
        "tiny-bert/config.json",
        "\"hidden_dropout_prob\": 0.0",
        "\"hidden_dropout_prob\": 0.1",
    );
    let lines = |from: usize, count: usize| {
        let lines = (from..from + count).map(|number| sentence(number).1);
        lines.collect::<Vec<_>>().join("\n")
    };
    place.write("text.txt", lines(1000, 60));
    place.write("wiki.txt", format!(" = Title = \n \n{}\n", lines(2000, 25)));
    place.write("mlm.toml", RUN_FILE);
    place
}

/// What two runs with the same settings have in common.
fn results(place: &Place, run: &str) -> (Vec<u8>, Vec<u8>, Vec<Value>, Value) {
    let mut metrics = place.json(&format!("{run}/metrics.json"));
    for (table, key) in [
        ("", "wall_time_s"),
        ("", "peak_memory_bytes"),
        ("/training", "samples_per_s"),
    ] {
        let table = metrics.pointer_mut(table).unwrap().as_object_mut().unwrap();
        table.remove(key).unwrap();
    }
    (
        place.read(&format!("{run}/model/model.safetensors")),
        place.read(&format!("{run}/last/model.safetensors")),
        place.log(run),
        metrics,
    )
}

#[test]
fn a_pretraining_that_was_killed_ends_as_if_nothing_had_happened() {
    let place = place();
    let command = "pretrain mlm mlm.toml";
    let begun = Instant::now();
    place.succeeds(&format!("{command} --threads 1 --out runs/whole"));
    let whole = begun.elapsed();
    let mut resumed = 0;
    for moment in [0.1, 0.2, 0.2, 0.15] {
        let mut child = place
            .command(&format!("{command} --threads 2 --out runs/killed"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(moment).max(Duration::from_millis(5)));
        child.kill().unwrap();
        child.wait().unwrap();
        resumed += usize::from(place.path("runs/killed/checkpoint/state.json").exists());
    }
    place.succeeds(&format!("{command} --threads 2 --out runs/killed"));
    assert!(resumed > 0, "no kill hit the training");
    assert!(results(&place, "runs/whole") == results(&place, "runs/killed"));

    let log = place.log("runs/whole");
    assert_eq!(
        (&log[0]["kind"], &log[0]["step"]),
        (&"eval".into(), &0.into())
    );
    let config: Value = place.json("runs/whole/model/config.json");
    assert_eq!(config["architectures"][0], "BertForMaskedLM");
    // The run is a model to go on from, also for another head.
    place.succeeds("pretrain mlm mlm.toml --model runs/whole --set model.train-encoder=false --set train.max-steps=2 --out runs/further");
    place.succeeds(
        "finetune finetune.toml --model runs/whole --set train.max-steps=2 --out runs/classifier",
    );
}

#[test]
fn what_cannot_be_meant_is_said_before_anything_is_written() {
    let place = place();
    let fails = |set: &str| {
        let message = place.fails(&format!("pretrain mlm mlm.toml {set} --out runs/x"));
        assert!(place.is_untouched("runs/x"));
        message
    };
    assert_snapshot!(fails("--set masking.predicted-fraction=0"), @r"
error: `predicted-fraction`: found 0, expected a share in (0, 1]
exit code 2
");
    assert_snapshot!(fails("--set data.dev=[]"), @r"
error: `data.dev`: found nothing, expected texts to choose the best model by, or `split = { dev-fraction = 0.02 }`
exit code 2
");
    assert_snapshot!(fails("--set data.split.dev-fraction=0.1"), @r"
error: `data`: found both `dev` and `split`, expected one of them
exit code 2
");
    assert_snapshot!(fails("--set train.max-tokens=3 --model nowhere/at/all"), @r"
error: opening the model `nowhere/at/all`
  caused by: nowhere/at/all: no model; wanted a folder with `config.json`, a run with `model/config.json`, or a hub id like `organisation/name@revision`, found nothing
exit code 1
");
}
