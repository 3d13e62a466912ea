//! More rows from those there are, in every format, the same after a kill.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::place::{Place, lines, shown, table};

#[test]
fn rows_come_out_in_the_format_they_went_in() {
    let place = Place::new();
    place.write(
        "a.tsv",
        "label\ttext\nneg\tthe film is dull\npos\ta great film\n",
    );
    let made = place.succeeds("augment --recipe deletion --input a.tsv --seed 1 --quiet");
    assert_snapshot!(made, @r#"
    text	label	source	recipe	changes
    the film is dull	neg	0	original	[]
    the film dull	neg	0	deletion	[[2,"is",""]]
    a great film	pos	1	original	[]
    a great 	pos	1	deletion	[[2,"film",""]]
    "#);
    place.write(
        "a.csv",
        "text,label\n\"so, \"\"dull\"\"\",neg\n\"a\nfilm\",pos\n",
    );
    let made = place.succeeds("augment --recipe deletion --input a.csv --quiet --no-provenance");
    assert_snapshot!(made, @r#"
    text,label
    "so, ""dull""",neg
    "so, """"",neg
    "a
    film",pos
    "a
    ",pos
    "#);
    place.write(
        "SST-2/train.tsv",
        "sentence\tlabel\nthe film is dull\t0\na great film\t1\n",
    );
    let made =
        place.succeeds("augment --recipe swap --input SST-2/train.tsv --quiet --exclude-original");
    assert_snapshot!(made, @r#"
    sentence	label	source	recipe	changes
    the film dull is	0	0	swap	[[2,"is","dull"],[3,"dull","is"]]
    film great a	1	1	swap	[[0,"a","film"],[2,"film","a"]]
    "#);
    place.write("a.jsonl", "{\"text\": \"the film is dull\", \"label\": \"neg\"}\n{\"text\": \"a great film\", \"label\": \"pos\"}\n");
    let made = lines(&place.succeeds("augment --recipe deletion --input a.jsonl --quiet"));
    assert_eq!(made.len(), 4);
    assert_eq!(
        made[0],
        json!({"text": "the film is dull", "label": "neg", "source": 0, "recipe": "original", "changes": []})
    );
    assert!(made[1]["changes"][0][2] == json!("") && made[1]["source"] == json!(0));
}

#[test]
fn what_came_out_can_go_in_again() {
    let place = Place::new();
    place.write(
        "a.csv",
        "text,text_pair,label\n\"so, \"\"dull\"\"\",x,neg\n\"a\nfilm\",\"y, z\",pos\n",
    );
    place.succeeds("augment --recipe char-swap --input a.csv --out b.csv --count 2");
    place.succeeds("augment --recipe char-swap --input b.csv --out c.jsonl --count 1");
    let rows = place.text("c.jsonl");
    // A file of another name keeps the input's format.
    assert!(rows.starts_with("text,text_pair,label,source,recipe,changes\n"));
    assert!(
        rows.contains("\"a\nfilm\",\"y, z\",pos,3,original,[]\n"),
        "{rows}"
    );
}

#[test]
fn standard_input_is_a_text_per_line() {
    let place = Place::new();
    let mut command = place.command("augment --recipe deletion --input - --quiet");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one two\nthree\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let made = String::from_utf8(output.stdout).unwrap();
    let made: Vec<&str> = made.lines().collect();
    assert!(
        matches!(made[..], ["one two", "one" | "two" | "one ", "three"]),
        "{made:?}"
    );
}

#[test]
fn a_text_and_a_pair_may_stand_in_one_file_of_lines() {
    let place = Place::new();
    place.write("mixed.txt", "one two\nfirst text\tsecond text\n");
    let run = "augment --recipe swap --input mixed.txt --set data.format=lines --quiet --exclude-original";
    let made = place.succeeds(run);
    let made: Vec<&str> = made.lines().collect();
    assert_eq!(made[0], "two one");
    assert_eq!(made[1].matches('\t').count(), 1, "{made:?}");
}

#[test]
fn standard_input_is_gone_on_with_where_it_begins_the_same() {
    let place = Place::new();
    let run = "augment --recipe char-swap --input - --out new.txt --quiet";
    let rows = |word: &str, count: usize| {
        let rows: Vec<String> = (0..count).map(|n| format!("{word} number {n}\n")).collect();
        rows.concat()
    };
    let begin = || {
        let mut command = place.command(run);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut child = begin();
    let mut input = child.stdin.take().unwrap();
    input.write_all(rows("alpha", 2048).as_bytes()).unwrap();
    let begun = Instant::now();
    while !state_has_rows(&place, ".new.txt.state") {
        assert!(begun.elapsed() < Duration::from_mins(1), "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    let goes_on_with = |text: &str| {
        let mut child = begin();
        let mut input = child.stdin.take().unwrap();
        // A process that refuses the rows does not read them all.
        let _ = input.write_all(text.as_bytes());
        drop(input);
        shown(&child.wait_with_output().unwrap())
    };
    assert_snapshot!(goes_on_with(&rows("beta", 2050)), @"
    error: .new.txt.part: its first 2048 rows were other ones than those read now; choose another `--out`, or remove it and .new.txt.state
    exit code 2
    ");
    goes_on_with(&rows("alpha", 2050));
    place.write("alpha.txt", rows("alpha", 2050));
    place.succeeds("augment --recipe char-swap --input alpha.txt --set data.format=lines --out whole.txt --quiet");
    assert!(place.read("new.txt") == place.read("whole.txt"));
}

fn state_has_rows(place: &Place, file: &str) -> bool {
    let state = fs_err::read(place.path(file)).unwrap_or_default();
    let state: Option<Value> = serde_json::from_slice(&state).ok();
    state.is_some_and(|state| state["rows"].as_u64() > Some(0))
}

#[test]
fn what_could_not_be_read_again_is_refused() {
    let place = Place::new();
    place.write("a.tsv", "id\ttext\tlabel\n1\ta film\tpos\n");
    let numbered =
        "augment --recipe swap --input a.tsv --set data.columns={text=2,label=3} --out b.tsv";
    assert_snapshot!(place.fails(numbered), @"
    error: `data.columns`: found a number in a file with a header, expected names, under which the new rows are written
    exit code 2
    ");
}

#[test]
fn new_rows_are_labelled_by_a_teacher_where_asked() {
    let place = Place::with_teacher();
    let run = "augment --recipe swap --input dev.tsv --relabel runs/teacher --quiet";
    let rows = place.succeeds(run);
    let kept = place.succeeds("augment --recipe swap --input dev.tsv --quiet");
    assert_eq!(rows.lines().count(), kept.lines().count());
    let texts = |rows: &str| -> Vec<String> {
        let rows = rows.lines().skip(1).filter(|row| row.contains("\tswap\t"));
        rows.map(|row| row.split('\t').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(texts(&rows), texts(&kept));
    place.write("new.txt", texts(&rows).join("\n"));
    let predicted = lines(&place.succeeds("predict runs/teacher new.txt"));
    let labels = rows.lines().skip(1).filter(|row| row.contains("\tswap\t"));
    for (row, predicted) in labels.zip(&predicted) {
        assert_eq!(row.split('\t').nth(1), predicted["label"].as_str());
    }
    place.write(
        "other.tsv",
        "label\ttext\nyes\tthe film is dull\nno\ta great film\n",
    );
    assert_snapshot!(place.fails("augment --recipe swap --input other.tsv --relabel runs/teacher"), @r#"
    error: `relabel`: `runs/teacher` gives labels ["negative", "neutral", "positive"] (none: scores) but other.tsv has labels ["no", "yes"]; use a model for the same labels
    exit code 2
    "#);
}

#[test]
fn what_cannot_be_meant_is_refused_before_the_first_row() {
    let place = Place::new();
    assert_snapshot!(place.fails("augment --recipe wordnet --input dev.tsv"), @r#"
    error: resource `wordnet`: missing from .limbeck/lexicon/wordnet; run `limbeck resources get wordnet`
    exit code 1
    "#);
    assert_snapshot!(place.fails("augment --recipe tinybert --input dev.tsv"), @r#"
    error: resource `glove-50d`: missing from .limbeck/vectors/glove-50d; run `limbeck resources get glove-50d`
    resource `masked-lm`: missing from .limbeck/models/masked-lm; run `limbeck resources get minilm && limbeck init pretrain-mlm mlm.toml && limbeck pretrain mlm mlm.toml --model .limbeck/models/all-MiniLM-L6-v2 --set 'data.train=[{lines="TEXT"}]' --set 'data.dev=[{lines="HELD-OUT"}]' --out .limbeck/models/masked-lm`
    exit code 1
    "#);
    assert_snapshot!(place.fails("augment --recipe char-swap"), @r#"
    error: no run file; give one, or `--recipe` and `--input`
    exit code 2
    "#);
    assert_snapshot!(place.fails("augment --recipe char-swap --input dev.tsv --sample 50"), @r#"
    error: `sample`: found 50, but dev.tsv has 40 rows; ask for fewer
    exit code 2
    "#);
    assert_snapshot!(place.fails("augment --recipe char-swap --input dev.tsv --word-fraction 1.5"), @r#"
    error: `word-fraction`: found 1.5, expected a number in [0, 1]
    exit code 2
    "#);
    assert_snapshot!(place.fails("augment --recipe cahr-swap --input dev.tsv"), @r#"
    error: `--recipe`: found `cahr-swap`, expected one of ["wordnet", "embedding", "synonym-insertion", "char-swap", "deletion", "swap", "eda", "clare", "masked-replace", "masked-insert", "tinybert", "tang"], or a run file with a recipe of your own
    exit code 2
    "#);
    place.succeeds("augment --recipe char-swap --input dev.tsv --out new.tsv");
    assert_snapshot!(place.fails("augment --recipe char-swap --input dev.tsv --out new.tsv"), @r#"
    error: new.tsv: there already; choose another `--out`, or remove it
    exit code 2
    "#);
}

#[test]
fn a_sample_takes_each_row_once() {
    let place = Place::new();
    let sampled = |seed: u32| -> Vec<Value> {
        let run = format!(
            "augment --recipe char-swap --input train.tsv --sample 60 --seed {seed} --quiet"
        );
        let rows = place.succeeds(&run);
        let originals = rows.lines().filter(|row| row.contains("\toriginal\t"));
        originals.map(|row| json!(row.split('\t').nth(2))).collect()
    };
    let rows = sampled(1);
    let mut distinct = rows.clone();
    distinct.dedup();
    assert_eq!((rows.len(), distinct.len()), (60, 60));
    assert_eq!(rows, sampled(1));
    assert_ne!(rows, sampled(2));
}

#[test]
fn threads_and_kills_change_nothing() {
    let place = Place::new();
    place.write("many.tsv", table(0, 60_000));
    let run = "augment --recipe char-swap --input many.tsv --count 2 --quiet";
    place.succeeds(&format!("{run} --threads 1 --out whole.tsv"));
    let killed = format!("{run} --threads 2 --out killed.tsv");
    let mut resumed = 0;
    for _ in 0..8 {
        let mut child = place
            .command(&killed)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let rows_of = || {
            let state = fs_err::read(place.path(".killed.tsv.state")).ok()?;
            serde_json::from_slice::<Value>(&state).ok()?["rows"].as_u64()
        };
        let before = rows_of().unwrap_or(0);
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() && rows_of().unwrap_or(0) <= before {
            assert!(begun.elapsed() < Duration::from_mins(1), "nothing happens");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        resumed += usize::from(rows_of().is_some_and(|rows| rows > 0 && rows < 60_000));
    }
    assert!(resumed > 0, "no kill hit the work");
    assert_snapshot!(place.fails(&format!("{killed} --seed 5")), @r#"
    error: .killed.tsv.part: begun with other settings or inputs; choose another `--out`, or remove it and .killed.tsv.state
    exit code 2
    "#);
    let output = place.run(&killed);
    assert!(output.status.success(), "{}", shown(&output));
    assert!(
        place.read("whole.tsv") == place.read("killed.tsv"),
        "the rows differ"
    );
    assert!(place.is_untouched(".killed.tsv.state") && place.is_untouched(".killed.tsv.part"));
}

#[test]
fn rows_that_wait_for_a_model_are_the_same_however_many_wait_at_once() {
    let place = Place::new();
    place.write("many.tsv", table(0, 5_000));
    let run = "augment --recipe masked-replace --input many.tsv --word-fraction 0.4 --count 2 --quiet \
               --set resources.masked-lm=\"tiny-bert-mlm\"";
    place.succeeds(&format!("{run} --in-flight 1 --threads 1 --out alone.tsv"));
    place.succeeds(&format!("{run} --in-flight 7 --threads 2 --out few.tsv"));
    let pooled = format!("{run} --out pooled.tsv");
    kill_at_work(&place, &pooled, ".pooled.tsv.state");
    place.succeeds(&pooled);
    for other in ["few.tsv", "pooled.tsv"] {
        assert!(place.read("alone.tsv") == place.read(other), "{other}");
    }
}

#[test]
fn every_file_that_decides_the_rows_is_hashed() {
    let place = Place::with_teacher();
    let run = "augment --recipe masked-replace --input dev.tsv --relabel runs/teacher --quiet \
               --set resources.masked-lm=\"tiny-bert-mlm\" --out new.tsv";
    place.succeeds(run);
    let inputs = &place.json("new.tsv.provenance.json")["inputs"];
    for (part, path) in [
        ("data", "dev.tsv"),
        ("masked-lm", "tiny-bert-mlm"),
        ("relabel", "runs/teacher/model"),
    ] {
        assert_eq!(inputs[part]["path"], path);
        assert_eq!(inputs[part]["sha256"].as_str().map(str::len), Some(64));
    }
    // A part begun with another model is not gone on with.
    place.write("many.tsv", table(0, 6_000));
    let run = run
        .replace("dev.tsv", "many.tsv")
        .replace("new.tsv", "more.tsv");
    kill_at_work(&place, &run, ".more.tsv.state");
    let config = place.text("tiny-bert-mlm/config.json");
    place.write("tiny-bert-mlm/config.json", config + "\n");
    assert_snapshot!(place.fails(&run), @r#"
    error: .more.tsv.part: begun with other settings or inputs; choose another `--out`, or remove it and .more.tsv.state
    exit code 2
    "#);
}

/// Kills a command once its first rows are written.
fn kill_at_work(place: &Place, run: &str, state: &str) {
    let mut child = place.command(run).spawn().unwrap();
    let begun = Instant::now();
    let has_rows = || {
        let state = fs_err::read(place.path(state)).ok()?;
        let rows = serde_json::from_slice::<Value>(&state).ok()?["rows"].as_u64()?;
        Some(rows > 0)
    };
    while child.try_wait().unwrap().is_none() && has_rows() != Some(true) {
        assert!(begun.elapsed() < Duration::from_mins(2), "nothing happens");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
