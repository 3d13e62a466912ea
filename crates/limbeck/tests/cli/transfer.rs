//! Learning from teachers alone: transfer sets, training sets on disk, several teachers, students of several sizes, and
//! sets with other labels.

use std::fmt::Write as _;

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::place::{Place, sentence};

/// `distill.toml` with soft targets alone.
fn soft(place: &Place) {
    place.edit(
        "distill.toml",
        "[student]\n",
        "[[objective]]\nsoft-targets = {}\n[student]\n",
    );
}

/// Sentences without labels, one per line.
fn texts(from: usize, count: usize) -> String {
    let mut text = String::new();
    for (_, sentence) in (from..from + count).map(sentence) {
        writeln!(text, "{sentence}").unwrap();
    }
    text
}

const TRANSFER: &str = "--set data.transfer=[{path=\"extra.txt\"},{path=\"more.csv\",format=\"csv\",columns={text=\"text\"}}]";

fn with_transfer(place: &Place) {
    soft(place);
    place.write("extra.txt", texts(5000, 90));
    // The column `label` is not read: what stands there need not be a label.
    let rows = texts(7000, 30);
    let rows: Vec<String> = rows.lines().map(|row| format!("nonsense,{row}")).collect();
    place.write("more.csv", format!("label,text\n{}\n", rows.join("\n")));
}

#[test]
fn a_training_set_on_disk_gives_the_same_run_as_one_in_memory() {
    let place = Place::with_teacher();
    with_transfer(&place);
    place.succeeds(&format!("distill distill.toml --out memory/run {TRANSFER}"));
    place.succeeds(&format!(
        "distill distill.toml --out disk/run {TRANSFER} --set data.store=true"
    ));
    place.assert_same("memory/run", "disk/run");
    let metrics = place.json("disk/run/metrics.json");
    // 160 + 90 + 30 rows in batches of 16, four times.
    assert_eq!(metrics["training"]["last"]["step"], 4 * 18);
    let inputs = place.json("disk/run/provenance.json")["inputs"].clone();
    for name in ["train", "transfer-1", "transfer-2", "teacher"] {
        assert!(inputs[name].is_object(), "{name}");
    }
    assert!(place.is_untouched("memory/training-sets"));
    assert!(place.path("disk/training-sets").is_dir());
    // A second run finds both sets and outputs there.
    let made = |folder: &str| {
        let entries = fs::read_dir(place.path(folder)).unwrap();
        let mut times: Vec<_> = entries
            .map(|entry| {
                let file = entry.unwrap().path().join("header.json");
                fs::metadata(file).unwrap().modified().unwrap()
            })
            .collect();
        times.sort_unstable();
        times
    };
    let before = ["disk/training-sets", "disk/teacher-outputs"].map(made);
    place.succeeds(&format!(
        "distill distill.toml --out disk/other {TRANSFER} --set data.store=true --seed 9"
    ));
    assert_eq!(
        ["disk/training-sets", "disk/teacher-outputs"].map(made),
        before
    );
    // A vocabulary of words is that of all texts, wherever they are.
    let words = "--set student={bi-lstm={hidden-size=12,head-size=12,vocabulary=\"words\",embeddings={source=\"random\",size=8}}}";
    for (folder, store) in [("memory", "false"), ("disk", "true")] {
        place.succeeds(&format!(
            "distill distill.toml --out {folder}/words {TRANSFER} --set data.store={store} {words}"
        ));
    }
    place.assert_same("memory/words", "disk/words");
}

#[test]
fn rows_need_labels_only_where_they_are_learnt_from() {
    let place = Place::with_teacher();
    place.write("train.tsv", format!("text\n{}", texts(0, 160)));
    for store in ["false", "true"] {
        let command =
            format!("distill distill.toml --out runs/student-{store} --set data.store={store}");
        let refused = place.fails(&command);
        assert_eq!(
            refused,
            "error: train.tsv: 160 of 160 examples have no label; use a labelled file, or name its column with `columns.label`\nexit code 1"
        );
        assert!(place.is_untouched(&format!("runs/student-{store}")));
    }
    soft(&place);
    for store in ["false", "true"] {
        place.succeeds(&format!(
            "distill distill.toml --out runs/student-{store} --set data.store={store}"
        ));
    }
    place.assert_same("runs/student-false", "runs/student-true");
    place.edit(
        "distill.toml",
        "soft-targets = {}",
        "hard-teacher-labels = {}",
    );
    place.succeeds("distill distill.toml --out runs/hard");
    assert!(place.log("runs/hard")[0]["terms"]["hard-teacher-labels"].is_f64());
}

#[test]
fn gold_labels_are_learnt_from_beside_rows_that_have_none() {
    let place = Place::with_teacher();
    with_transfer(&place);
    let both = "--set objective=[{soft-targets={weight=0.5}},{hard-labels={weight=0.5}}]";
    for store in ["false", "true"] {
        place.succeeds(&format!(
            "distill distill.toml --out {store}/run {TRANSFER} {both} --set data.store={store}"
        ));
    }
    place.assert_same("false/run", "true/run");
    let metrics = place.json("true/run/metrics.json");
    assert_eq!(metrics["training"]["last"]["step"], 4 * 18);
    let first = place.log("true/run")[0]["terms"].clone();
    assert!(first["hard-labels"].is_f64() && first["soft-targets"].is_f64());
    // Every row of the training file still has to have one.
    let rows = place.text("train.tsv");
    place.write("train.tsv", format!("{}\n\tNo label.\n", rows.trim_end()));
    for store in ["false", "true"] {
        let refused = place.fails(&format!(
            "distill distill.toml --out other/run {TRANSFER} {both} --set data.store={store}"
        ));
        assert!(refused.contains("no label"), "{refused}");
    }
}

#[test]
fn a_transfer_set_that_cannot_be_is_refused_before_the_first_step() {
    let place = Place::with_teacher();
    place.write("extra.txt", texts(5000, 9));
    let check = |arguments: &str| {
        let refused = place.fails(&format!(
            "distill distill.toml --out runs/student {arguments}"
        ));
        assert!(place.is_untouched("runs/student"));
        refused
    };
    let transfer = "--set data.transfer=[{path=\"extra.txt\"}]";
    assert_snapshot!(check(&format!("{transfer} --set objective=[{{hard-labels={{}}}}]")), @r#"
error: `data.transfer`: found sets without labels, and nothing in phase 1 that learns from them; add an objective that learns from a teacher, such as `soft-targets`
exit code 2
"#);
    assert_snapshot!(check(&format!("{transfer} --set phase=[{{objective=[{{soft-targets={{}}}}]}},{{objective=[{{hard-labels={{}}}}]}}]")), @r#"
error: `data.transfer`: found sets without labels, and nothing in phase 2 that learns from them; add an objective that learns from a teacher, such as `soft-targets`
exit code 2
"#);
    soft(&place);
    assert_snapshot!(check("--set data.transfer=[{path=\"absent.txt\"}]"), @r#"
error: absent.txt: no such file; check `path`
exit code 1
"#);
    assert_snapshot!(check("--set data.store=true --set data.split={dev-fraction=0.2}"), @r#"
error: `data`: found both `store` and `split`, expected a dev set of its own for a training set on disk; give `dev`
exit code 2
"#);
}

#[test]
fn several_teachers_are_averaged_and_named() {
    let place = Place::with_teacher();
    soft(&place);
    place.succeeds("finetune finetune.toml --out runs/second --seed 5");
    let ensemble = "--set teacher.ensemble=[\"runs/second\"]";
    place.succeeds(&format!(
        "distill distill.toml --out one/student {ensemble}"
    ));
    let metrics = place.json("one/student/metrics.json");
    assert_eq!(metrics["teacher"], "runs/teacher");
    assert_eq!(metrics["ensemble"], json!(["runs/second"]));
    assert!(metrics["splits"][0]["divergence"].as_f64().unwrap() > 0.0);
    let inputs = place.json("one/student/provenance.json")["inputs"].clone();
    let model =
        |run: &str| place.json(&format!("{run}/provenance.json"))["inputs"]["model"].clone();
    assert!(inputs["teacher"].is_object() && inputs["teacher-2"].is_object());
    assert_ne!(inputs["teacher"], inputs["teacher-2"]);
    assert!(model("runs/teacher").is_object());
    // Each one's outputs are stored apart, on the training set and on the dev set.
    let stored = fs::read_dir(place.path("one/teacher-outputs"))
        .unwrap()
        .count();
    assert_eq!(stored, 2 * 2);
    // Asked at every step they answer the same.
    place.succeeds(&format!(
        "distill distill.toml --out two/student {ensemble} --set teacher.store=false"
    ));
    place.assert_same("one/student", "two/student");
    // Logits have another mean, and one teacher twice is the one.
    place.succeeds(&format!(
        "distill distill.toml --out one/logits {ensemble} --set teacher.average=logits"
    ));
    let weights = |run: &str| place.read(&format!("{run}/last/model.safetensors"));
    assert_ne!(weights("one/student"), weights("one/logits"));
    place.succeeds("distill distill.toml --out one/twice --set teacher.average=logits --set teacher.ensemble=[\"runs/teacher\"]");
    place.succeeds("distill distill.toml --out one/alone");
    assert_eq!(weights("one/twice"), weights("one/alone"));
    place.succeeds("report one/student runs/teacher runs/second --page report.html");
    assert!(
        place
            .text("report.html")
            .contains("runs/teacher + runs/second")
    );
    // Other labels, or the same in another order.
    place.succeeds("finetune finetune.toml --model tiny-bert-mlm --out runs/other --set data.labels=[\"positive\",\"neutral\",\"negative\"]");
    assert_snapshot!(place.fails("distill distill.toml --out one/refused --set teacher.ensemble=[\"runs/other\"]"), @r#"
error: `teacher.ensemble`: `runs/other` predicts the labels ["positive", "neutral", "negative"], `runs/teacher` the labels ["negative", "neutral", "positive"]; give teachers with the same labels in the same order
exit code 2
"#);
    assert_snapshot!(place.fails(&format!("distill distill.toml --out one/refused {ensemble} --set objective=[{{pkd={{}}}}]")), @"
error: `teacher.ensemble`: found beside `pkd`, which needs the inside of one teacher; only answers are averaged: give one teacher, or leave `pkd` out
exit code 2
");
    assert!(place.is_untouched("one/refused"));
}

#[test]
fn a_search_finds_the_smallest_student_that_is_good_enough() {
    let place = Place::with_teacher();
    place.edit(
        "distill.toml",
        "[student]\nlayers = { bottom = 1 }\n",
        "[search]\nstudents = [{ layers = { bottom = 2 } }, { bi-lstm = { hidden-size = 4, head-size = 4 } }, { layers = { bottom = 1 } }]\n",
    );
    assert_snapshot!(place.fails("distill distill.toml --out runs/student"), @r#"
error: `search`: is for `limbeck search`; run that, or remove the table
exit code 2
"#);
    // Nothing is learnt in one step with a tiny rate but for what layers bring from the teacher.
    let search = "search distill.toml --out search --share 0.8 --set train.max-steps=30";
    let shown = place.succeeds(search);
    let result = place.json("search/search.json");
    let students = result["students"].as_array().unwrap();
    let folders: Vec<&str> = students
        .iter()
        .map(|s| s["folder"].as_str().unwrap())
        .collect();
    // From the smallest, whatever the order in the file.
    let parameters: Vec<u64> = students
        .iter()
        .map(|s| s["parameters"].as_u64().unwrap())
        .collect();
    assert!(parameters.is_sorted(), "{parameters:?}");
    assert_eq!(folders.len(), 3);
    let smallest = result["smallest"].as_str().unwrap();
    let place_of = folders
        .iter()
        .position(|folder| *folder == smallest)
        .unwrap();
    let kept = |student: &Value| student["teacher kept"].as_f64();
    for (index, student) in students.iter().enumerate() {
        match index.cmp(&place_of) {
            std::cmp::Ordering::Less => assert!(kept(student).unwrap() < 0.8),
            std::cmp::Ordering::Equal => assert!(kept(student).unwrap() >= 0.8),
            std::cmp::Ordering::Greater => assert!(kept(student).is_none(), "not tried"),
        }
        let run = format!(
            "search/{}/metrics.json",
            student["folder"].as_str().unwrap()
        );
        assert_eq!(place.path(&run).exists(), index <= place_of);
    }
    assert!(
        shown.contains("Smallest student with at least 80.0 %"),
        "{shown}"
    );
    // The score is the run's own, as a share of the teacher's own.
    let score = |run: &str| {
        let metrics = place.json(&format!("{run}/metrics.json"));
        metrics["splits"][0]["metrics"]["accuracy"]["value"]
            .as_f64()
            .unwrap()
    };
    let share = score(&format!("search/{smallest}")) / score("runs/teacher");
    assert!((share - kept(&students[place_of]).unwrap()).abs() < 1e-12);
    // Again: finished runs are taken as they are. With `--all` the others are tried too.
    let model = place.read(&format!("search/{smallest}/model/model.safetensors"));
    let changed = |run: &str| {
        fs::metadata(place.path(&format!("search/{run}/metrics.json")))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = changed(smallest);
    place.succeeds(&format!("{search} --all"));
    assert_eq!(changed(smallest), before);
    assert_eq!(
        place.read(&format!("search/{smallest}/model/model.safetensors")),
        model
    );
    let result = place.json("search/search.json");
    assert_eq!(result["smallest"], smallest);
    assert!(
        result["students"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| kept(s).is_some())
    );
    // None is that good.
    let shown =
        place.succeeds("search distill.toml --out search --share 1.5 --set train.max-steps=30");
    assert!(
        shown.contains("No student has 150.0 % of the teacher's accuracy"),
        "{shown}"
    );
    assert!(place.json("search/search.json")["smallest"].is_null());
}

#[test]
fn a_search_that_cannot_be_meant_is_refused() {
    let place = Place::with_teacher();
    let check = |arguments: &str| {
        let refused = place.fails(&format!("search distill.toml --out search -q {arguments}"));
        assert!(place.is_untouched("search"));
        refused
    };
    assert_snapshot!(check(""), @r#"
error: `search`: found nothing, expected `[search] students = [{ bi-lstm = {} }, ..]`
exit code 2
"#);
    assert_snapshot!(check("--set search.students=[{layers={bottom=1}}]"), @r#"
error: `student`: found beside `search`, expected all students in `search.students`; move it there
exit code 2
"#);
    place.edit("distill.toml", "[student]\nlayers = { bottom = 1 }\n", "");
    assert_snapshot!(check("--set search.students=[]"), @r#"
error: `search.students`: found none, expected at least one
exit code 2
"#);
    assert_snapshot!(check("--set search.students=[{layers={bottom=1}},{layers={bottom=1}}]"), @r#"
error: `search.students`: found `layers-bottom-1` twice, expected each student once
exit code 2
"#);
    assert_snapshot!(check("--set search.students=[{layers={bottom=9}}]"), @r#"
error: layer selection: `bottom = 9` does not fit a teacher with 2 layers; choose layers 0 to 1
exit code 2
"#);
    assert_snapshot!(check("--share 0 --set search.students=[{layers={bottom=1}}]"), @r#"
error: `search.share`: expected a share of the teacher's score above 0, such as 0.9
exit code 2
"#);
}

/// A set with two labels, `good` for positive and `other` for the rest.
fn two_labels(place: &Place) {
    let mut text = "label\ttext\n".to_owned();
    for (label, sentence) in (3000..3060).map(sentence) {
        let label = if label == "positive" { "good" } else { "other" };
        writeln!(text, "{label}\t{sentence}").unwrap();
    }
    place.write("two.tsv", text);
    place.write(
        "map.toml",
        "positive = \"good\"\nneutral = \"other\"\nnegative = \"other\"\n",
    );
    place.write(
        "map.json",
        r#"{"positive": "good", "neutral": "other", "negative": "other"}"#,
    );
    place.write(
        "two.toml",
        "task = \"two\"\n[data]\ndev = { path = \"two.tsv\" }\n",
    );
}

#[test]
fn a_model_is_scored_on_a_set_with_other_labels_by_a_map() {
    let place = Place::with_teacher();
    two_labels(&place);
    let scores = |arguments: &str| -> Value {
        let shown = place.succeeds(&format!(
            "evaluate runs/teacher --data two.toml --json --out out {arguments}"
        ));
        serde_json::from_str::<Value>(&shown).unwrap()["sets"][0].clone()
    };
    let found = scores("--label-map map.toml");
    assert_eq!(found, scores("--label-map map.json"));
    assert_eq!(found["labels"], json!(["other", "good"]));
    // Recounted from the predictions.
    let rows = place.text("out/dev.tsv");
    let rows: Vec<Vec<&str>> = rows
        .lines()
        .skip(1)
        .map(|row| row.split('\t').collect())
        .collect();
    let hits = rows.iter().filter(|row| row[1] == row[2]).count();
    assert_eq!(found["metrics"]["accuracy"]["value"], hits as f64 / 60.0);
    assert!(rows.iter().all(|row| row[2] == "good" || row[2] == "other"));
    assert!(hits > 45, "{hits} of 60: the teacher tells these apart");
    // As an extra set of a run, which shows in its results beside its own.
    let map = "label-map={positive=\"good\",neutral=\"other\",negative=\"other\"}";
    place.succeeds(&format!(
        "distill distill.toml --out runs/student --set data.extra=[{{name=\"two\",{map},set={{path=\"two.tsv\"}}}}]"
    ));
    let metrics = place.json("runs/student/metrics.json");
    assert_eq!(metrics["splits"][2]["labels"], json!(["other", "good"]));
    assert_eq!(
        metrics["splits"][2]["confusion"].as_array().unwrap().len(),
        2
    );

    let check = |map: &str| {
        place.write("bad.toml", map);
        place.fails("evaluate runs/teacher --data two.toml --label-map bad.toml")
    };
    assert_snapshot!(check("positive = \"good\"\n"), @r#"
error: the set `dev`: `label-map`: no entry for ["negative", "neutral"]; give each of the model's labels ["negative", "neutral", "positive"] a name, its own too
exit code 2
"#);
    assert_snapshot!(check("positive = \"good\"\nneutral = \"other\"\nnegative = \"other\"\nmixed = \"other\"\n"), @r#"
error: the set `dev`: `label-map`: found `mixed`, which is not one of the model's labels ["negative", "neutral", "positive"]; rename or remove it
exit code 2
"#);
    assert_snapshot!(check("positive = \"good\"\nneutral = \"bad\"\nnegative = \"bad\"\n"), @r#"
error: two.tsv:3: label `other` is not one of ["bad", "good"]; list it under `labels`, translate it with `label-map` or fix the row
exit code 1
"#);
    assert_snapshot!(check("positive = 1\n"), @r#"
error: bad.toml: invalid type: integer `1`, expected a string; expected a name for each of the model's labels, such as `neutral = "non-entailment"`
exit code 2
"#);
    assert_snapshot!(place.fails("attack runs/teacher --data two.toml --recipe pruthi --out a --set data.extra=[{name=\"two\",label-map={positive=\"good\",neutral=\"other\",negative=\"other\"},set={path=\"two.tsv\"}}] --split two --set data.dev={path=\"dev.tsv\"}"), @r#"
error: `label-map` of `two`: attacks need a set with the model's own labels; choose another with `--split`
exit code 2
"#);
}

#[test]
fn divergence_is_measured_against_the_teacher() {
    let place = Place::with_teacher();
    soft(&place);
    place.succeeds("distill distill.toml --out runs/student");
    let in_run = place.json("runs/student/metrics.json")["splits"][0]["divergence"]
        .as_f64()
        .unwrap();
    assert!(in_run > 0.0);
    let evaluate = |model: &str, against: &str| -> f64 {
        let shown = place.succeeds(&format!(
            "evaluate {model} --data distill.toml --against {against} --json"
        ));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["sets"][0]["divergence"].as_f64().unwrap()
    };
    assert_eq!(evaluate("runs/student", "runs/teacher"), in_run);
    assert_eq!(evaluate("runs/teacher", "runs/teacher"), 0.0);
    let shown = place.succeeds("report runs/teacher runs/student");
    assert!(shown.contains("divergence"), "{shown}");
    assert!(
        shown.contains("Divergence: mean KL(teacher || student) on dev"),
        "{shown}"
    );
    place.succeeds("finetune finetune.toml --model tiny-bert-mlm --out runs/other --set data.labels=[\"positive\",\"neutral\",\"negative\"]");
    assert_snapshot!(place.fails("evaluate runs/student --data distill.toml --against runs/other"), @r#"
error: `--against`: predicts the labels ["positive", "neutral", "negative"], the model the labels ["negative", "neutral", "positive"]; give a model with the same labels in the same order
exit code 2
"#);
}
