//! Tables of studies.

use limbeck_report::{Cell, Metrics, StudyEntry, StudyMethod, StudyResults, slug};
use serde_json::json;

fn metrics(score: f64, samples_per_s: f64) -> Metrics {
    let selected = json!({ "step": 1, "epoch": 1, "metrics": {} });
    let value = json!({
        "task": "t", "labels": ["a", "b"], "role": "student",
        "model": { "name": "m", "kind": "bert", "parameters": 1, "embedding_parameters": 0, "size_bytes": 1 },
        "headline": { "split": "dev", "metric": "accuracy" },
        "splits": [
            { "split": "dev", "examples": 10, "metrics": { "accuracy": { "value": score } }, "loss": 0.0, "divergence": 0.125 },
            { "split": "hans", "examples": 10, "metrics": { "accuracy": { "value": score / 2.0 } }, "loss": 0.0 },
        ],
        "training": { "best": selected, "last": selected, "samples_per_s": samples_per_s },
        "wall_time_s": 1.0,
    });
    serde_json::from_value(value).expect("metrics as runs have them")
}

fn study(scores: &[(&str, &[f64], f64)]) -> StudyResults {
    let method = |name: &str, control: Option<&str>| StudyMethod {
        name: name.into(),
        control: control.map(str::to_owned),
    };
    let methods = vec![method("labels", None), method("soft", Some("labels"))];
    let mut study = StudyResults::new("a study", methods);
    for (name, scores, speed) in scores {
        for (seed, &score) in (1..).zip(*scores) {
            study.add(StudyEntry {
                task: "T".into(),
                lesson: Some(("small".into(), (*name).to_owned())),
                seed,
                metrics: metrics(score, *speed),
            });
        }
    }
    study
}

/// The row of `soft`, from its scores to the end.
fn soft(study: &StudyResults) -> Vec<String> {
    let table = study.table();
    let row = table
        .rows
        .iter()
        .find(|row| row[1] == Cell::Text("soft".into()))
        .expect("a row for each method");
    row[2..].iter().map(Cell::text).collect()
}

#[test]
fn a_method_is_measured_against_its_control() {
    let study = study(&[
        ("labels", &[0.5, 0.6, 0.4], 100.0),
        ("soft", &[0.7, 0.8, 0.65], 50.0),
    ]);
    let expected = [
        "3",
        "70.0 (65.0..80.0)",
        "35.0 (32.5..40.0)",
        "70.0",
        "ahead of labels on 1 of 1, clearly on 1; clearly behind on 0",
        "2.00 x",
    ];
    assert_eq!(soft(&study), expected);
    assert_eq!(study.to_json()["runs"].as_array().map(Vec::len), Some(6));
}

#[test]
fn few_seeds_and_overlapping_scores_are_no_lead() {
    let overlapping = study(&[
        ("labels", &[0.5, 0.6, 0.4], 1.0),
        ("soft", &[0.7, 0.55, 0.65], 1.0),
    ]);
    assert_eq!(
        soft(&overlapping)[4],
        "ahead of labels on 1 of 1, clearly on 0; clearly behind on 0"
    );
    let few = study(&[("labels", &[0.5, 0.6], 1.0), ("soft", &[0.3, 0.2], 1.0)]);
    assert_eq!(soft(&few)[4], "ahead of labels on 0 of 1; too few seeds");
}

#[test]
fn every_number_of_a_run_is_listed() {
    let mut study = study(&[("soft", &[0.7], 1.0)]);
    study.add(StudyEntry {
        task: "T".into(),
        lesson: None,
        seed: 4,
        metrics: metrics(0.75, 1.0),
    });
    insta::assert_snapshot!(study.scores().to_csv(), @"
    task,student,method,seed,split,metric,value
    T,small,soft,1,dev,accuracy,0.7
    T,small,soft,1,dev,divergence,0.125
    T,small,soft,1,hans,accuracy,0.35
    T,teacher,fine-tuning,4,dev,accuracy,0.75
    T,teacher,fine-tuning,4,dev,divergence,0.125
    T,teacher,fine-tuning,4,hans,accuracy,0.375
    ");
}

#[test]
fn names_become_folders() {
    for (name, expected) in [
        ("SST-2 10 %", "sst-2-10"),
        ("AD² (unit)", "ad2-unit"),
        ("a + b", "a-p-b"),
    ] {
        assert_eq!(slug(name), expected);
    }
}
