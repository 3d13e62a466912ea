//! Whole studies on tiny data: what each command leaves on the disk and prints.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, lines, sentence};

const STUDENTS: [(&str, &str); 3] = [
    ("layers", "student={layers={bottom=1}}"),
    ("bi-lstm", "student={bi-lstm={hidden-size=12,head-size=12}}"),
    (
        "small-bert",
        "student={small-bert={layers=1,hidden-size=12,heads=2,intermediate-size=24,max-tokens=40}}",
    ),
];

/// The rows of a predictions file without its header.
fn predictions(place: &Place, run: &str) -> Vec<Vec<String>> {
    let text = place.text(&format!("{run}/predictions.tsv"));
    let rows = text.lines().skip(1);
    rows.map(|row| row.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Checks everything that a finished run has to hold.
fn check_run(place: &Place, run: &str) {
    for folder in ["model", "last"] {
        for file in ["config.json", "tokenizer.json"] {
            place.json(&format!("{run}/{folder}/{file}"));
        }
        assert!(
            !place
                .read(&format!("{run}/{folder}/model.safetensors"))
                .is_empty()
        );
    }
    let provenance = place.json(&format!("{run}/provenance.json"));
    for key in [
        "version",
        "command_line",
        "seed",
        "device",
        "threads",
        "inputs",
        "started",
    ] {
        assert!(!provenance[key].is_null(), "{key}");
    }
    for (name, input) in provenance["inputs"].as_object().unwrap() {
        assert_eq!(input["sha256"].as_str().unwrap().len(), 64, "{name}");
    }
    let log = place.log(run);
    assert!(
        log.iter()
            .any(|record| record["kind"] == "step" && record["loss"].is_f64())
    );
    assert!(
        log.iter()
            .any(|record| record["kind"] == "eval" && record["split"] == "dev")
    );
    let metrics = place.json(&format!("{run}/metrics.json"));
    for key in [
        "model",
        "headline",
        "splits",
        "training",
        "sentences_per_s",
        "wall_time_s",
    ] {
        assert!(!metrics[key].is_null(), "{key}");
    }
    assert_eq!(metrics["headline"]["split"], "test");
    assert!(metrics["training"]["samples_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(predictions(place, run).len(), 40);
    assert!(
        fs::read_dir(place.path(&format!("{run}/tensorboard")))
            .unwrap()
            .count()
            > 0
    );
}

fn accuracy(metrics: &Value, split: &str) -> f64 {
    let splits = metrics.as_array().unwrap();
    let split = splits
        .iter()
        .find(|scored| scored["split"] == split)
        .unwrap();
    split["metrics"]["accuracy"]["value"].as_f64().unwrap()
}

/// What `predict` answers to these texts, a line each.
fn predict_lines(place: &Place, arguments: &str, texts: &str) -> Vec<Value> {
    let mut command = place.command(&format!("predict {arguments}"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(texts.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    lines(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_teacher_and_three_students_go_from_text_to_a_table() {
    let place = Place::with_teacher();
    check_run(&place, "runs/teacher");
    for (name, student) in STUDENTS {
        let run = format!("runs/{name}");
        place.succeeds(&format!("distill distill.toml --set {student} --out {run}"));
        check_run(&place, &run);

        let metrics = place.json(&format!("{run}/metrics.json"));
        assert_eq!(metrics["role"], "student");
        assert_eq!(metrics["teacher"], "runs/teacher");
        let scored = place.succeeds(&format!(
            "evaluate {run} --data finetune.toml --json --out scored"
        ));
        let scored: Value = serde_json::from_str(&scored).unwrap();
        for split in ["dev", "test"] {
            assert_eq!(
                accuracy(&scored["sets"], split),
                accuracy(&metrics["splits"], split)
            );
        }

        let expected = predictions(&place, &run);
        let from_file = lines(&place.succeeds(&format!("predict {run} test.tsv --text text")));
        assert_eq!(from_file.len(), expected.len());
        for (answer, row) in from_file.iter().zip(&expected) {
            assert_eq!(answer["label"], row[2]);
        }
        let texts: Vec<&str> = from_file
            .iter()
            .map(|answer| answer["text"].as_str().unwrap())
            .collect();
        assert_eq!(predict_lines(&place, &run, &texts.join("\n")), from_file);
        let rows = place.text("scored/test.tsv");
        for (row, expected) in rows.lines().skip(1).zip(&expected) {
            assert_eq!(row, expected[..3].join("\t"));
        }
    }

    let runs = "runs/teacher runs/layers runs/bi-lstm runs/small-bert";
    let table = place.succeeds(&format!(
        "report {runs} --page page.html --csv table.csv --markdown table.md"
    ));
    for text in [
        table,
        place.text("table.csv"),
        place.text("table.md"),
        place.text("page.html"),
    ] {
        for model in [
            "BERT, 2 layers",
            "BERT, 1 layer",
            "BiLSTM, 1 layer",
            "BERT_S, 1 layer",
        ] {
            assert!(text.contains(model), "{model} in {text}");
        }
    }
    assert_eq!(place.text("table.csv").lines().count(), 5);
    let table: Value =
        serde_json::from_str(&place.succeeds(&format!("report {runs} --json"))).unwrap();
    assert!(table.is_object() || table.is_array());
}

#[test]
fn the_settings_of_a_run_repeat_it() {
    let place = Place::with_teacher();
    place.succeeds("finetune runs/teacher/config.toml --out runs/again");
    place.assert_same("runs/teacher", "runs/again");
    place.succeeds("distill distill.toml --out runs/student");
    place.succeeds("distill runs/student/config.toml --out runs/student-again");
    place.assert_same("runs/student", "runs/student-again");
    assert_eq!(
        place.text("runs/student/config.toml"),
        place.text("runs/student-again/config.toml")
    );
}

#[test]
fn a_finished_run_has_nothing_to_do() {
    let place = Place::new();
    let command = "finetune finetune.toml --out runs/teacher";
    let first = place.succeeds(command);
    let results = place.results("runs/teacher");
    // As a process killed before it removed it leaves it.
    place.write("runs/teacher/.lock", "17");
    let second = place.run(command);
    assert_eq!(String::from_utf8(second.stdout).unwrap(), first);
    assert_snapshot!(String::from_utf8(second.stderr).unwrap(), @" INFO runs/teacher: already finished; nothing to do");
    assert_eq!(second.status.code(), Some(0));
    assert!(place.results("runs/teacher") == results);
    assert!(!place.path("runs/teacher/.lock").exists());
}

#[test]
fn several_seeds_end_in_a_median_and_a_range() {
    let place = Place::new();
    let output =
        place.succeeds("finetune finetune.toml --out runs/t --seeds 1,2,3 --set train.epochs=2.0");
    insta::with_settings!({filters => vec![(r"[01]\.\d{4}", "[..]")]}, {
        assert_snapshot!(output, @"
        runs/t/seed-1: BERT, 2 layers, width 16: accuracy dev [..], test [..]
        runs/t/seed-2: BERT, 2 layers, width 16: accuracy dev [..], test [..]
        runs/t/seed-3: BERT, 2 layers, width 16: accuracy dev [..], test [..]
        3 seeds: median [..], from [..] to [..]
        ");
    });
    for seed in 1..=3 {
        let run = format!("runs/t/seed-{seed}");
        check_run(&place, &run);
        assert_eq!(place.json(&format!("{run}/provenance.json"))["seed"], seed);
    }
    assert!(
        place.read("runs/t/seed-1/model/model.safetensors")
            != place.read("runs/t/seed-2/model/model.safetensors")
    );
}

#[test]
fn a_run_file_to_begin_with_runs() {
    let place = Place::new();
    let sets = "--set data.train={path=\"train.tsv\"} --set data.dev={path=\"dev.tsv\"} --set train.max-steps=2";
    place.succeeds("init finetune begin.toml");
    assert_eq!(place.text("begin.toml"), place.succeeds("init finetune"));
    place.succeeds(&format!(
        "finetune begin.toml --model tiny-bert {sets} --out runs/teacher"
    ));
    place.succeeds("init distill student.toml");
    let student = "--force-teacher --set student.layers.bottom=1";
    place.succeeds(&format!(
        "distill student.toml {student} {sets} --out runs/student"
    ));
}

#[test]
fn predictions_come_with_vectors_on_request() {
    let place = Place::new();
    let texts = "a good film .\nthe movie is bad\tthe film is good\n";
    let answers = predict_lines(&place, "tiny-bert --logits --embeddings --hidden 1", texts);
    assert_eq!(answers.len(), 2);
    // [CLS] a good film . [SEP]; a pair has three special tokens.
    for (answer, tokens) in answers.iter().zip([6, 4 + 4 + 3]) {
        let logits: Vec<f64> = answer["logits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|z| z.as_f64().unwrap())
            .collect();
        let best = (0..3)
            .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
            .unwrap();
        assert_eq!(answer["label"], ["negative", "neutral", "positive"][best]);
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        for (label, z) in ["negative", "neutral", "positive"].into_iter().zip(&logits) {
            let probability = answer["probabilities"][label].as_f64().unwrap();
            assert!((probability - z.exp() / sum).abs() < 1e-5);
        }
        assert_eq!(answer["embedding"].as_array().unwrap().len(), 16);
        let hidden = answer["hidden"].as_array().unwrap();
        assert_eq!(hidden.len(), tokens);
        assert!(
            hidden
                .iter()
                .all(|state| state.as_array().unwrap().len() == 16)
        );
    }
    assert_eq!(answers[1]["text-pair"], "the film is good");
    // The embedding is the mean of the last layer.
    let last = predict_lines(&place, "tiny-bert --hidden 2", texts);
    let states = last[0]["hidden"].as_array().unwrap();
    let mean = states
        .iter()
        .map(|state| state[0].as_f64().unwrap())
        .sum::<f64>()
        / states.len() as f64;
    assert!((mean - answers[0]["embedding"][0].as_f64().unwrap()).abs() < 1e-5);
    assert_snapshot!(place.fails("predict tiny-bert train.tsv --hidden 3"), @"
    error: `--hidden`: found 3, expected 0 (embeddings) to 2
    exit code 2
    ");
}

/// Pairs of sentences with a score: 5 for the same label, else 0 to 2.
fn scored_pairs(from: usize, count: usize) -> String {
    let mut text =
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
            .to_owned();
    for number in from..from + count {
        let ((left, first), (right, second)) = (sentence(number), sentence(number + 1));
        let score = if left == right {
            5.0
        } else {
            (number % 5) as f64 / 2.0
        };
        writeln!(
            text,
            "{number}\tnews\tf\t2012\t{number}\ts\ts\t{first}\t{second}\t{score:.3}"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_regression_on_pairs_is_learnt_and_passed_on() {
    let place = Place::new();
    for (file, from, count) in [("train", 0, 160), ("dev", 500, 40), ("test", 700, 40)] {
        place.write(&format!("STS-B/{file}.tsv"), scored_pairs(from, count));
        for run_file in ["finetune.toml", "distill.toml"] {
            place.edit(
                run_file,
                &format!("\"{file}.tsv\""),
                &format!("\"STS-B/{file}.tsv\""),
            );
        }
    }
    place.succeeds("finetune finetune.toml --model tiny-bert-mlm --out runs/teacher");
    check_run(&place, "runs/teacher");
    place.succeeds("distill distill.toml --set student={bi-lstm={hidden-size=12,head-size=12}} --out runs/student");
    check_run(&place, "runs/student");
    for run in ["runs/teacher", "runs/student"] {
        let metrics = place.json(&format!("{run}/metrics.json"));
        for metric in ["pearson", "spearman"] {
            assert!(
                metrics["splits"][0]["metrics"][metric]["value"].is_f64(),
                "{metric}"
            );
        }
        let row = &predictions(&place, run)[0];
        assert_eq!(row.len(), 3);
        let answers = predict_lines(
            &place,
            run,
            &format!("{}\t{}", sentence(700).1, sentence(701).1),
        );
        assert_eq!(
            answers[0]["score"].as_f64().unwrap() as f32,
            row[2].parse::<f32>().unwrap()
        );
    }
}

#[test]
fn an_unlabelled_glue_test_gives_a_leaderboard_file() {
    const ROWS: usize = 146;
    let place = Place::new();
    let pairs = |from: usize, count: usize, header: &str, labelled: bool| {
        let mut text = format!("{header}\n");
        for number in from..from + count {
            let ((left, first), (right, second)) = (sentence(number), sentence(number + 1));
            write!(text, "{number}\t{first}\t{second}").unwrap();
            let label = if labelled {
                format!("\t{}", u8::from(left == right))
            } else {
                String::new()
            };
            writeln!(text, "{label}").unwrap();
        }
        text
    };
    let header = "index\tsentence1\tsentence2";
    for (file, from, count, labelled) in [
        ("train", 0, 100, true),
        ("dev", 500, 40, true),
        ("test", 700, ROWS, false),
    ] {
        let header = if labelled {
            format!("{header}\tlabel")
        } else {
            header.to_owned()
        };
        place.write(
            &format!("glue/WNLI/{file}.tsv"),
            pairs(from, count, &header, labelled),
        );
        place.edit(
            "finetune.toml",
            &format!("\"{file}.tsv\""),
            &format!("\"glue/WNLI/{file}.tsv\""),
        );
    }
    place.succeeds("finetune finetune.toml --model tiny-bert-mlm --out runs/wnli");
    let metrics = place.json("runs/wnli/metrics.json");
    assert_eq!(
        metrics["labels"],
        serde_json::json!(["not_entailment", "entailment"])
    );
    assert_eq!(metrics["headline"]["split"], "dev");
    let submission = place.text("runs/wnli/WNLI.tsv");
    assert_eq!(submission.lines().next(), Some("index\tprediction"));
    assert_eq!(submission.lines().count(), ROWS + 1);
    for (row, predicted) in submission
        .lines()
        .skip(1)
        .zip(predictions(&place, "runs/wnli"))
    {
        let label = if predicted[2] == "entailment" {
            "1"
        } else {
            "0"
        };
        assert_eq!(row, format!("{}\t{label}", predicted[0]));
    }
    place.succeeds("evaluate runs/wnli --data finetune.toml --out scored");
    assert_eq!(place.text("scored/WNLI.tsv"), submission);
}

#[test]
fn pairs_and_other_domains_come_from_jsonl_and_csv() {
    let place = Place::new();
    let mut jsonl = String::new();
    let mut csv = "text,text_pair,label\n".to_owned();
    for number in 0..60 {
        let ((label, first), (_, second)) = (sentence(number), sentence(number + 1));
        let row = serde_json::json!({"text": first, "text_pair": second, "label": label});
        writeln!(jsonl, "{row}").unwrap();
        writeln!(csv, "\"{first}\",\"{second}\",{label}").unwrap();
    }
    place.write("pairs.jsonl", jsonl);
    place.write("pairs.csv", csv);
    place.edit(
        "finetune.toml",
        "train = { path = \"train.tsv\" }",
        "train = { path = \"pairs.jsonl\" }",
    );
    place.edit(
        "finetune.toml",
        "dev = { path = \"dev.tsv\" }",
        "split = { dev-fraction = 0.2 }",
    );
    let domain = "[[data.extra]]\nname = \"domain\"\nset = { path = \"pairs.csv\" }\n";
    let text = place.text("finetune.toml");
    place.write("finetune.toml", text + domain);
    place.succeeds("finetune finetune.toml --out runs/a");
    let metrics = place.json("runs/a/metrics.json");
    let splits = metrics["splits"].as_array().unwrap().iter();
    let splits: Vec<_> = splits
        .map(|s| {
            (
                s["split"].as_str().unwrap(),
                s["examples"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(splits, [("dev", 12), ("test", 40), ("domain", 60)]);
}
