//! `limbeck attack` and `limbeck replay`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, table};

const ATTACK: &str = "attack runs/teacher --data finetune.toml --split test --recipe deep-word-bug";

/// All files of a run but those that hold times.
fn files(place: &Place, run: &str) -> BTreeMap<String, String> {
    let names = ["attack.jsonl", "attack.csv", "config.toml"];
    names
        .map(|name| (name.to_owned(), place.text(&format!("{run}/{name}"))))
        .into()
}

fn rows(place: &Place, run: &str) -> Vec<Value> {
    let text = place.text(&format!("{run}/attack.jsonl"));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_attack_leaves_a_folder_and_is_replayed() {
    let place = Place::with_teacher();
    place.succeeds(&format!("{ATTACK},pruthi --out runs/a"));
    for recipe in ["deep-word-bug", "pruthi"] {
        let run = format!("runs/a/{recipe}");
        let rows = rows(&place, &run);
        assert_eq!(rows.len(), 40);
        assert!(rows.is_sorted_by_key(|row| row["id"].as_u64().unwrap()));
        let metrics = place.json(&format!("{run}/metrics.json"));
        assert_eq!(metrics["attack"], recipe);
        let count =
            |outcome: &str| rows.iter().filter(|row| row["outcome"] == outcome).count() as u64;
        for outcome in ["succeeded", "failed", "skipped"] {
            assert_eq!(
                metrics["summary"][outcome].as_u64().unwrap(),
                count(outcome)
            );
        }
        assert!(place.text(&format!("{run}/index.html")).contains("<h1>"));
        assert_eq!(place.text(&format!("{run}/attack.csv")).lines().count(), 41);
    }
    // The victim errs on all of its own failures, and on nothing that withstood.
    let out = place.succeeds("replay runs/teacher runs/a --json");
    let replays: Value = serde_json::from_str(&out).unwrap();
    for replay in replays.as_array().unwrap() {
        let (recorded, accuracy) = (&replay["recorded"], &replay["perturbed-accuracy"]["value"]);
        assert_eq!(accuracy, &recorded["accuracy-under-attack"]["value"]);
        if replay["recorded-successes"].as_u64().unwrap() > 0 {
            assert_eq!(replay["transfer-rate"]["value"], 1.0);
        }
    }
    assert_eq!(replays.as_array().unwrap().len(), 3);
    // From the CSV the same numbers come.
    let csv = place.succeeds("replay runs/teacher runs/a/pruthi/attack.csv --json");
    let csv: Value = serde_json::from_str(&csv).unwrap();
    assert_eq!(csv[0]["recorded"], replays[1]["recorded"]);
}

#[test]
fn an_attack_that_was_killed_ends_as_if_nothing_had_happened() {
    let place = Place::with_teacher();
    place.succeeds(&format!("{ATTACK} --out runs/whole"));
    // Slow, so that kills hit the middle.
    let killed = format!("{ATTACK} --in-flight 1 --out runs/killed");
    let path = place.path("runs/killed/attack.jsonl");
    let mut interrupted = 0;
    for wanted in [3, 11, 24] {
        let mut child = place
            .command(&killed)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            let lines = fs::read_to_string(&path).map_or(0, |text| text.lines().count());
            if lines >= wanted || begun.elapsed() > Duration::from_mins(1) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += usize::from(!place.path("runs/killed/metrics.json").exists());
    }
    // A torn line, as a power cut leaves it.
    if interrupted == 3 {
        let mut text = fs::read(&path).unwrap();
        text.extend(b"{\"id\": 39, \"outco");
        fs::write(&path, text).unwrap();
    }
    place.succeeds(&killed);
    assert!(interrupted > 0, "no kill hit the attack");
    assert_eq!(files(&place, "runs/killed"), files(&place, "runs/whole"));
    // Asked again there is nothing to do; with other settings the folder is another's.
    place.write("runs/killed/.lock", "17");
    place.succeeds(&killed);
    assert!(!place.path("runs/killed/.lock").exists());
    let other = place.fails(&format!("{ATTACK} --query-budget 5 --out runs/killed"));
    assert!(other.contains("other settings"), "{other}");
    place.write("test.tsv", table(5, 40));
    let other = place.fails(&killed);
    assert!(other.contains("input `test` is SHA-256"), "{other}");
}

#[test]
fn threads_and_batches_change_no_result() {
    let place = Place::with_teacher();
    place.succeeds(&format!(
        "{ATTACK} --out runs/one --threads 1 --in-flight 1 --batch 1"
    ));
    place.succeeds(&format!(
        "{ATTACK} --out runs/many --threads 2 --in-flight 40"
    ));
    assert_eq!(files(&place, "runs/one"), files(&place, "runs/many"));
}

#[test]
fn what_is_missing_is_said_before_anything_begins() {
    let place = Place::with_teacher();
    let check = |arguments: &str, expected: &str| {
        let error = place.fails(arguments);
        assert!(error.contains(expected), "{error}");
    };
    let attack =
        |rest: &str| format!("attack runs/teacher --data finetune.toml {rest} --out runs/x");
    check(&attack("--recipe text-fooler"), "resource `counter-fitted`");
    check(&attack("--recipe bae"), "resource `masked-lm`");
    check(
        &attack("--recipe fooler"),
        "found `fooler`, expected one of `text-fooler`",
    );
    check(&attack("--recipe pruthi,pruthi"), "stands there twice");
    check(
        &attack("--recipe pruthi --split train"),
        "found `train`, expected one of [\"dev\", \"test\"]",
    );
    place.write(
        "own.toml",
        "search = { beam = { width = 0 } }\ntransformation = { qwerty = {} }\n",
    );
    check(&attack("--recipe own.toml"), "`search.beam.width`: found 0");
    place.write(
        "own.toml",
        "search = { beam = {} }\ntransformation = { querty = {} }\n",
    );
    check(&attack("--recipe own.toml"), "querty");
    place.write(
        "own.toml",
        "search = { beam = {} }\ntransformation = { qwerty = {} }\n",
    );
    check(
        &attack("--recipe own.toml"),
        "for ever without the constraint `no-repeat`",
    );
    check(
        "attack --endpoint http://127.0.0.1:1 --data finetune.toml --recipe pruthi --out runs/x",
        "`data.labels`",
    );
    assert!(!place.path("runs/x").exists());
}

#[test]
fn importance_by_gradient_asks_no_question_and_needs_one_model() {
    let place = Place::with_teacher();
    let attack = |importance: &str| {
        format!(
            "search = {{ greedy-word-swap-wir = {{ importance = \"{importance}\" }} }}\n\
             transformation = {{ qwerty = {{ variants = \"all\" }} }}\n\
             constraint = [{{ no-repeat = {{}} }}]\n"
        )
    };
    place.write("gradient.toml", attack("gradient"));
    place.write("delete.toml", attack("delete"));
    let attack = "attack runs/teacher --data finetune.toml --split test --recipe";
    place.succeeds(&format!("{attack} gradient.toml,delete.toml --out runs/a"));
    let of = |name: &str| rows(&place, &format!("runs/a/{name}"));
    let mut compared = 0;
    for (by_gradient, by_deletion) in of("gradient").iter().zip(of("delete")) {
        let number = |row: &Value, key: &str| row[key].as_u64().unwrap();
        assert_eq!(by_gradient["id"], by_deletion["id"]);
        // All words were tried in vain: the ranking alone sets the two apart.
        if by_gradient["outcome"] == "failed" && by_deletion["outcome"] == "failed" {
            let saved = number(&by_deletion, "queries") - number(by_gradient, "queries");
            assert_eq!(saved, number(by_gradient, "words"));
            compared += 1;
        }
    }
    assert!(compared > 0, "no attack failed");
    place.succeeds(&format!(
        "{attack} gradient.toml --threads 1 --in-flight 1 --batch 1 --out runs/one"
    ));
    assert_eq!(
        files(&place, "runs/a/gradient")["attack.jsonl"],
        files(&place, "runs/one")["attack.jsonl"]
    );

    let other = "--data finetune.toml --recipe gradient.toml --out runs/x";
    let ensemble = place.fails(&format!("attack runs/teacher --ensemble tiny-bert {other}"));
    assert!(
        ensemble.contains("found an ensemble, which has no loss of its own"),
        "{ensemble}"
    );
    let endpoint = place.fails(&format!("attack --endpoint http://127.0.0.1:1 {other}"));
    assert!(
        endpoint.contains("found an endpoint, which gives probabilities only"),
        "{endpoint}"
    );
    assert!(!place.path("runs/x").exists());
}

#[test]
fn word_vectors_are_named_and_hashed() {
    let place = Place::with_teacher();
    let vectors = "good 1 0\ngreat 1 0.1\nbad 0 1\ndull 0.1 1\nfilm -1 0\nmovie -1 0.1\n";
    place.write("vectors.txt", vectors);
    place.write(
        "own.toml",
        "search = { beam = {} }\ntransformation = { word-vectors = {} }\nconstraint = [{ no-repeat = {} }]\n",
    );
    let attack = "attack runs/teacher --data finetune.toml --recipe own.toml,pruthi --word-vectors vectors.txt --out runs/a";
    place.succeeds(attack);
    let metrics = place.json("runs/a/own/metrics.json");
    let inputs = place.json("runs/a/own/provenance.json")["inputs"].clone();
    let digest = inputs["word-vectors"]["sha256"].as_str().unwrap();
    assert_eq!(inputs["word-vectors"]["path"], "vectors.txt");
    assert_eq!(
        metrics["resources"]["word-vectors"],
        format!("vectors.txt, SHA-256 {}", &digest[..12])
    );
    // An attack names what it needs itself.
    let inputs = place.json("runs/a/pruthi/provenance.json")["inputs"].clone();
    assert!(inputs.get("word-vectors").is_none(), "{inputs}");
    // With other vectors the attack is another.
    place.write("vectors.txt", vectors.replace("0.1", "0.2"));
    fs::remove_file(place.path("runs/a/own/metrics.json")).unwrap();
    let changed = place.fails(attack);
    assert!(
        changed.contains("input `word-vectors` is SHA-256"),
        "{changed}"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_before_the_first_question() {
    let place = Place::with_teacher();
    let own = |goal: &str| {
        let rest = "search = { beam = {} }\ntransformation = { neighbour-swap = {} }\n";
        let stop = "constraint = [{ no-repeat = {} }, { stop-words = { file = \"stop.txt\" } }]\n";
        place.write("own.toml", format!("{goal}\n{rest}{stop}"));
    };
    place.write("stop.txt", "the\nis\n");
    let attack = "attack runs/teacher --data finetune.toml --recipe own.toml --out runs/a";
    own("goal = { targeted = { label = 9 } }");
    assert_snapshot!(place.fails(attack), @r#"
    error: `own`: `goal.targeted.label`: found 9, expected the number of one of the labels ["negative", "neutral", "positive"], counted from 0
    exit code 2
    "#);
    own("goal = { untargeted = { target-max-score = 1.5 } }");
    let refused = place.fails(attack);
    assert!(
        refused.contains("found 1.5, expected a number in (0, 1]"),
        "{refused}"
    );
    own("");
    assert_snapshot!(place.fails(&format!("{attack} --offset 500")), @"
    error: `--offset`: found 500, but `dev` has 40 examples
    exit code 2
    ");
    let refused = place.fails(&format!("{attack} --limit 0"));
    assert!(refused.contains("0 is not in 1.."), "{refused}");
    assert!(!place.path("runs/a").exists());
    // What decides the results is noted, the list of stop words too.
    place.succeeds(&format!("{attack} --limit 3"));
    let inputs = place.json("runs/a/provenance.json")["inputs"].clone();
    assert_eq!(inputs["stop-words-1"]["path"], "stop.txt");
}

#[test]
fn files_that_init_writes_run() {
    let place = Place::with_teacher();
    place.succeeds("init attack mine.toml");
    place.succeeds(
        "attack runs/teacher --data finetune.toml --recipe mine.toml,deep-word-bug --out runs/a",
    );
    assert_eq!(
        files(&place, "runs/a/mine")["attack.jsonl"],
        files(&place, "runs/a/deep-word-bug")["attack.jsonl"]
    );
    place.succeeds("init augment more.toml");
    place.succeeds(
        "augment more.toml --recipe char-swap --set data={path=\"train.tsv\"} --out more.tsv",
    );
    assert_eq!(place.text("more.tsv").lines().count(), 1 + 2 * 160);
}

/// A classifier on the network that takes every text without `good` for negative; fails once at first.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" || line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let question: Value = serde_json::from_slice(&body).unwrap_or_default();
            let row = |text: &Value| {
                if text[0].as_str().unwrap().contains("good") {
                    "[0.1, 0.1, 0.8]"
                } else {
                    "[0.8, 0.1, 0.1]"
                }
            };
            let texts = question["texts"].as_array().cloned().unwrap_or_default();
            let rows: Vec<&str> = texts.iter().map(row).collect();
            let body = format!("{{\"probabilities\": [{}]}}", rows.join(", "));
            let status = if number == 0 { 503 } else { 200 };
            let answer = format!(
                "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

#[test]
fn an_endpoint_is_attacked_like_a_model() {
    let place = Place::new();
    place.write("data.toml", "task = \"remote\"\n[data]\nlabels = [\"negative\", \"neutral\", \"positive\"]\ndev = { path = \"dev.tsv\" }\n");
    place.write("dev.tsv", "sentence\tlabel\na good film\tpositive\nso good , it is good\tpositive\na dull film\tnegative\na story\tpositive\n");
    let url = serve();
    place.succeeds(&format!(
        "attack --endpoint {url} --data data.toml --recipe pruthi --out runs/e"
    ));
    let rows = rows(&place, "runs/e");
    let outcomes: Vec<&str> = rows
        .iter()
        .map(|row| row["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["succeeded", "failed", "failed", "skipped"]);
}
