//! Bad input of every kind, and what the user is told: where, what was found, what was expected, what to do.

use std::process::Command;

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, shown, table};

const FINETUNE: &str = "finetune finetune.toml --out runs/a";
const DISTILL: &str = "distill distill.toml --teacher tiny-bert-teacher --out runs/a";

/// What is said about a training file with these contents; nothing is begun.
fn with_training_file(name: &str, contents: &str) -> String {
    let place = Place::new();
    place.write(name, contents);
    place.edit("finetune.toml", "train.tsv", name);
    let message = place.fails(FINETUNE);
    assert!(place.is_untouched("runs"));
    message
}

/// What is said about a run file in which `old` is replaced by `new`; nothing is begun.
fn with_run_file(old: &str, new: &str) -> String {
    let place = Place::new();
    place.edit("finetune.toml", old, new);
    let message = place.fails(FINETUNE);
    assert!(place.is_untouched("runs"));
    message
}

/// What is said about a distillation with further arguments; nothing is begun.
fn distillation(arguments: &str) -> String {
    let place = Place::new();
    let message = place.fails(&format!("{DISTILL} {arguments}"));
    assert!(place.is_untouched("runs"));
    message
}

/// What is said about a model whose `config.json` is changed.
fn with_model_config(change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
    let place = Place::new();
    let mut config = place.json("tiny-bert/config.json");
    change(config.as_object_mut().unwrap());
    place.write("tiny-bert/config.json", config.to_string());
    let message = place.fails(FINETUNE);
    assert!(place.is_untouched("runs"));
    message
}

/// What is said about a model whose weights are changed.
fn with_weights(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let place = Place::new();
    let mut bytes = place.read("tiny-bert/model.safetensors");
    change(&mut bytes);
    place.write("tiny-bert/model.safetensors", bytes);
    let message = place.fails(FINETUNE);
    assert!(place.is_untouched("runs"));
    message
}

/// Replaces text in the header of a safetensors file by text of the same length.
fn replace(bytes: &mut [u8], old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let at = bytes
        .windows(old.len())
        .position(|window| window == old.as_bytes());
    bytes[at.unwrap()..][..new.len()].copy_from_slice(new.as_bytes());
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    assert_snapshot!(place.fails("finetune no.toml --out runs/a"), @"
    error: failed to open file `no.toml`: No such file or directory (os error 2); `limbeck init` writes a run file to begin with
    exit code 2
    ");
    assert_snapshot!(with_run_file("train.tsv", "no.tsv"), @"
    error: no.tsv: no such file; check `path`
    exit code 1
    ");
    assert_snapshot!(with_run_file("test.tsv", "no.tsv"), @"
    error: no.tsv: no such file; check `path`
    exit code 1
    ");
    assert_snapshot!(with_run_file("tiny-bert", "models/a/b"), @"
    error: opening the model `models/a/b`
      caused by: models/a/b: no model; wanted a folder with `config.json`, a run with `model/config.json`, or a hub id like `organisation/name@revision`, found nothing
    exit code 1
    ");
    insta::with_settings!({filters => vec![(r"cache \S+hub", "cache [..]")]}, {
        assert_snapshot!(with_run_file("tiny-bert", "runs/teacher"), @"
        error: opening the model `runs/teacher`
          caused by: runs/teacher@main: no such folder, not in the cache [..] either, and downloads are off; unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or give a folder that holds the model
        exit code 1
        ");
    });
    assert_snapshot!(place.fails("predict tiny-bert no.txt"), @"
    error: no.txt: no such file; check `path`
    exit code 1
    ");
    assert_snapshot!(place.fails("report runs/no"), @"
    error: runs/no: `config.toml` is missing, expected the folder of a run; give a folder that a command of ours wrote with `--out`
    exit code 1
    ");
}

#[test]
fn a_wrong_column_is_named() {
    let wanted = |columns: &str| {
        let new = format!("\"train.tsv\", columns = {{ {columns} }}");
        with_run_file("\"train.tsv\"", &new)
    };
    assert_snapshot!(wanted("text = \"sentence\""), @r#"
    error: train.tsv: no text column `sentence`; the columns are ["label", "text"]; set `columns.text`
    exit code 1
    "#);
    assert_snapshot!(wanted("text = 3, label = 1"), @r#"
    error: train.tsv: no text column `3`; the columns are ["label", "text"]; set `columns.text`
    exit code 1
    "#);
    assert_snapshot!(wanted("text = 2, label = \"gold\""), @r#"
    error: train.tsv: no label column `gold`; the columns are ["label", "text"]; set `columns.label`
    exit code 1
    "#);
    assert_snapshot!(with_training_file("train.csv", "gold,words\n0,good\n"), @r#"
    error: train.csv: no text column; the columns are ["gold", "words"]; set `columns.text`
    exit code 1
    "#);
}

#[test]
fn a_label_that_is_not_one_is_named() {
    assert_snapshot!(with_run_file("[data]", "[data]\nlabels = [\"negative\", \"positive\"]"), @r#"
    error: train.tsv:5: label `neutral` is not one of ["negative", "positive"]; list it under `labels`, translate it with `label-map` or fix the row
    exit code 1
    "#);
    let place = Place::new();
    place.write("dev.tsv", "label\ttext\npositive\tgood\nposltive\tgood\n");
    assert_snapshot!(place.fails(FINETUNE), @r#"
    error: dev.tsv:3: label `posltive` is not one of ["negative", "neutral", "positive"]; list it under `labels`, translate it with `label-map` or fix the row
    exit code 1
    "#);
    assert_snapshot!(with_run_file("[data]", "[data]\nregression = true"), @"
    error: train.tsv:2: label `negative` is not a number, as regression and label rules need; fix the row or make the task a classification
    exit code 1
    ");
}

#[test]
fn a_set_with_nothing_to_learn_is_refused() {
    assert_snapshot!(with_training_file("empty.tsv", ""), @"
    error: empty.tsv: no examples (0 rows skipped); give a file with at least one
    exit code 1
    ");
    assert_snapshot!(with_training_file("empty.tsv", "label\ttext\n\n"), @"
    error: empty.tsv: no examples (1 rows skipped); give a file with at least one
    exit code 1
    ");
    assert_snapshot!(with_training_file("one.tsv", "label\ttext\npositive\tgood\npositive\tfun\n"), @"
    error: one.tsv: all 2 examples have label `positive`; training needs at least two classes
    exit code 1
    ");
    assert_snapshot!(with_training_file("unlabelled.tsv", "text\ngood\nbad\n"), @"
    error: unlabelled.tsv: 2 of 2 examples have no label; use a labelled file, or name its column with `columns.label`
    exit code 1
    ");
    assert_snapshot!(with_run_file("dev = { path = \"dev.tsv\" }", "split = { dev-fraction = 0.001 }"), @"
    error: `data.split`: 0 examples for the dev set and 160 for training, expected at least one of each; change `dev-fraction`
    exit code 2
    ");
    assert_snapshot!(with_run_file("dev = { path = \"dev.tsv\" }", ""), @"
    error: `data.dev`: found nothing, expected a set to choose the best model by, or `split = { dev-fraction = 0.1 }`
    exit code 2
    ");
}

#[test]
fn an_unlabelled_set_is_not_scored() {
    let place = Place::new();
    place.write("test.tsv", "text\ngood\nbad\n");
    assert_snapshot!(place.fails("evaluate tiny-bert --data finetune.toml"), @"
    error: test.tsv: 2 of 2 examples have no label; use a labelled file, or name its column with `columns.label`
    exit code 1
    ");
    place.write("test.tsv", "label\ttext\npositive\tgood\n\tbad\n");
    assert_snapshot!(place.fails("evaluate tiny-bert --data finetune.toml"), @"
    error: test.tsv: 1 of 2 examples have no label; use a labelled file, or name its column with `columns.label`
    exit code 1
    ");
    place.write("dev.tsv", "label\ttext\npositive\tgood\n\tbad\n");
    assert_snapshot!(place.fails(FINETUNE), @"
    error: dev.tsv: 1 of 2 examples have no label; use a labelled file, or name its column with `columns.label`
    exit code 1
    ");
}

#[test]
fn a_malformed_line_is_named() {
    assert_snapshot!(with_training_file("train.tsv", "label\ttext\npositive\tgood\nnegative\tbad\ttoo\n"), @"
    error: train.tsv:3: 3 columns, expected 2; fix the row or set `delimiter` and `format`
    exit code 1
    ");
    assert_snapshot!(with_training_file("train.csv", "label,text\npositive,good\nnegative,\"bad\nneutral,snow\n"), @"
    error: train.csv:3: a quote is never closed; quote the whole field and double the quotes inside it
    exit code 1
    ");
    assert_snapshot!(with_training_file("train.csv", "label,text\npositive,good\nnegative,bad,too\n"), @"
    error: train.csv:3: 3 columns, expected 2; fix the row or set `delimiter` and `format`
    exit code 1
    ");
    assert_snapshot!(with_training_file("train.jsonl", "{\"label\":\"positive\",\"text\":\"good\"}\n{\"label\":\"negative\",\"text\":bad}\n"), @"
    error: train.jsonl:2: not a JSON object: expected value at column 28; write one object per line
    exit code 1
    ");
    assert_snapshot!(with_training_file("train.jsonl", "{\"label\":\"positive\",\"text\":\"good\"}\n{\"label\":\"negative\",\"text\":7}\n"), @"
    error: train.jsonl:2: column `text` holds a number, expected a string; fix the row or name another column
    exit code 1
    ");
    assert_snapshot!(with_training_file("train.parquet", "PAR1"), @"
    error: train.parquet: not a readable parquet file: EOF: Parquet file too small. Size is 4 but need 8; it may be truncated or use an unsupported compression
    exit code 1
    ");
    let place = Place::new();
    place.write("train.tsv", b"label\ttext\npositive\tgo\xffod\n");
    assert_snapshot!(place.fails(FINETUNE), @"
    error: train.tsv:2: not valid UTF-8 after byte 11 of the line; convert the file, e.g. with `iconv -t utf-8`
    exit code 1
    ");
}

#[test]
fn a_damaged_checkpoint_is_named() {
    assert_snapshot!(with_weights(|bytes| bytes.truncate(20_000)), @"
    error: tiny-bert/model.safetensors: damaged or truncated safetensors file of 20000 bytes: incomplete metadata, file not fully covered; fetch it again
    exit code 1
    ");
    assert_snapshot!(with_weights(Vec::clear), @"
    error: tiny-bert/model.safetensors: damaged or truncated safetensors file of 0 bytes: header too small; fetch it again
    exit code 1
    ");
    assert_snapshot!(with_weights(|bytes| bytes[..8].fill(0xff)), @"
    error: tiny-bert/model.safetensors: damaged or truncated safetensors file of 30036 bytes: header too large; fetch it again
    exit code 1
    ");
    assert_snapshot!(with_weights(|bytes| bytes[8] = b'x'), @"
    error: tiny-bert/model.safetensors: damaged or truncated safetensors file of 30036 bytes: invalid JSON in header: expected value at line 1 column 1; fetch it again
    exit code 1
    ");
    assert_snapshot!(with_weights(|bytes| replace(bytes, "pooler.dense.bias", "pooler.dense.bais")), @"
    error: tiny-bert/model.safetensors: tensor `bert.pooler.dense.bias` of shape [16] is missing; is this the checkpoint that config.json describes?
    exit code 1
    ");
}

#[test]
fn a_config_that_does_not_fit_is_named() {
    let set = |key: &'static str, value: Value| {
        with_model_config(|config| {
            config.insert(key.to_owned(), value);
        })
    };
    assert_snapshot!(with_model_config(|config| drop(config.remove("hidden_size"))), @"
    error: tiny-bert/config.json: key `hidden_size`: found nothing, expected a whole number above 0; correct the key
    exit code 1
    ");
    assert_snapshot!(with_model_config(|config| drop(config.remove("model_type"))), @"
    error: tiny-bert/config.json: key `model_type`: found nothing, expected a string; correct the key
    exit code 1
    ");
    assert_snapshot!(set("model_type", "gpt2".into()), @"
    error: tiny-bert/config.json: model type `gpt2` is not supported here; use one of `bert`, `roberta`, `distilbert`, `mpnet`, or a student that limbeck wrote
    exit code 1
    ");
    assert_snapshot!(set("num_attention_heads", 3.into()), @"
    error: tiny-bert/config.json: key `num_attention_heads`: found 3, expected a divisor of the hidden size 16; correct the key
    exit code 1
    ");
    assert_snapshot!(set("hidden_dropout_prob", "much".into()), @r#"
    error: tiny-bert/config.json: key `hidden_dropout_prob`: found "much", expected a number in [0, 1); correct the key
    exit code 1
    "#);
    assert_snapshot!(set("intermediate_size", 64.into()), @"
    error: tiny-bert/model.safetensors: tensor `bert.encoder.layer.0.intermediate.dense.weight` has shape [32, 16], expected [64, 16] from config.json; the two files do not belong together
    exit code 1
    ");
    assert_snapshot!(set("num_hidden_layers", 3.into()), @"
    error: tiny-bert/model.safetensors: tensor `bert.encoder.layer.2.attention.output.dense.weight` of shape [16, 16] is missing; is this the checkpoint that config.json describes?
    exit code 1
    ");
    let place = Place::new();
    place.write("tiny-bert/config.json", "{\n  \"model_type\": \"bert\",\n}");
    assert_snapshot!(place.fails(FINETUNE), @"
    error: tiny-bert/config.json: not valid JSON: trailing comma at line 3 column 1; fetch the file again or mend it at that line
    exit code 1
    ");
    fs::remove_file(place.path("tiny-bert-mlm/tokenizer.json")).unwrap();
    assert_snapshot!(place.fails("finetune finetune.toml --model tiny-bert-mlm --out runs/a"), @r#"
    error: tiny-bert-mlm: no tokenizer; wanted `tokenizer.json`, or `vocab.txt`, or `vocab.json` with `merges.txt`, found ["config.json", "model.safetensors", "tokenizer_config.json"]
    exit code 1
    "#);
    fs::remove_file(place.path("tiny-bert-teacher/model.safetensors")).unwrap();
    assert_snapshot!(place.fails("finetune finetune.toml --model tiny-bert-teacher --out runs/a"), @"
    error: tiny-bert-teacher: no weights; expected `model.safetensors` or `model.safetensors.index.json` (convert a `pytorch_model.bin` to safetensors first)
    exit code 1
    ");
}

#[test]
fn labels_of_model_and_data_have_to_agree() {
    let place = Place::new();
    for file in ["train.tsv", "dev.tsv", "test.tsv"] {
        place.write(file, "label\ttext\n0\tbad\n1\tgood\n");
    }
    assert_snapshot!(place.fails(FINETUNE), @r#"
    error: tiny-bert/model.safetensors: the checkpoint predicts the labels ["negative", "neutral", "positive"], the task has the labels ["0", "1"]; give the task these labels in this order, or fine-tune from the base model
    exit code 1
    "#);
    assert_snapshot!(place.fails(DISTILL), @r#"
    error: train.tsv:2: label `0` is not one of ["negative", "neutral", "positive"]; list it under `labels`, translate it with `label-map` or fix the row
    exit code 1
    "#);
    assert_snapshot!(place.fails("evaluate tiny-bert --data finetune.toml"), @r#"
    error: dev.tsv:2: label `0` is not one of ["negative", "neutral", "positive"]; list it under `labels`, translate it with `label-map` or fix the row
    exit code 1
    "#);
    assert_snapshot!(place.fails("evaluate tiny-bert --data finetune.toml --set data.labels=[\"positive\",\"neutral\",\"negative\"]"), @r#"
    error: `data`: has the labels ["positive", "neutral", "negative"], the model predicts the labels ["negative", "neutral", "positive"]; give `data.labels` the model's labels in its order, or leave both keys out
    exit code 2
    "#);
    assert_snapshot!(distillation("--set data.labels=[\"positive\",\"neutral\",\"negative\"]"), @r#"
    error: `teacher`: predicts the labels ["negative", "neutral", "positive"], the data has the labels ["positive", "neutral", "negative"]; give `data.labels` the teacher's labels in its order, or a teacher for this task
    exit code 2
    "#);
    assert_snapshot!(place.fails("predict tiny-bert-mlm train.tsv"), @"
    error: tiny-bert-mlm/model.safetensors: the checkpoint has no trained classifier; fine-tune it first, or give a finished run
    exit code 1
    ");
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let place = Place::new();
    place.write("runs/foreign/notes.txt", "mine");
    place.write("runs/file", "mine");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/foreign"), @"
    error: runs/foreign: holds `notes.txt`, expected a new or empty folder; choose another folder
    exit code 1
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/file"), @"
    error: runs/file: is a file, expected a folder; choose another path
    exit code 1
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/file/below"), @"
    error: runs/file/below: cannot be written; check that its folder exists and that the disk is sound
      caused by: failed to create directory `runs/file/below`: Not a directory (os error 20)
    exit code 1
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out /proc/limbeck"), @"
    error: /proc/limbeck: cannot be written; check that its folder exists and that the disk is sound
      caused by: failed to create directory `/proc/limbeck`: No such file or directory (os error 2)
    exit code 1
    ");

    place.succeeds("finetune finetune.toml --out runs/done");
    let before = place.results("runs/done");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/done --seed 1"), @"
    error: runs/done: holds a finished run with other settings or inputs; choose another `--out`, or remove the folder
      caused by: runs/done/config.toml: `seed` is `0`, expected `1` as in the present settings; restore the setting to continue the run, or choose another folder
    exit code 1
    ");
    place.write("dev.tsv", table(7, 20));
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/done"), @"
    error: runs/done: holds a finished run with other settings or inputs; choose another `--out`, or remove the folder
      caused by: runs/done/provenance.json: input `dev` is SHA-256 9f0579e751aef8be591da695fd98668e23297188406fffb76311c00780516085, expected SHA-256 dcc98fe9c4e00af8c0ec22a7514968dc8e175f86b3cc24e8691596cbaccc7998 as at present; restore the input to continue the run, or choose another folder
    exit code 1
    ");
    assert!(before == place.results("runs/done"));

    fs::remove_file(place.path("runs/done/metrics.json")).unwrap();
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/done --set train.epochs=7.0"), @"
    error: runs/done/config.toml: `train.epochs` is `6.0`, expected `7.0` as in the present settings; restore the setting to continue the run, or choose another folder
    exit code 1
    ");
    assert_snapshot!(place.fails("report runs/done"), @"
    error: runs/done: the run is not finished, `metrics.json` is missing; give its command again to continue it
    exit code 1
    ");
    assert_snapshot!(place.fails("init finetune distill.toml"), @"
    error: distill.toml: exists already; choose another name
    exit code 2
    ");
}

#[test]
fn a_key_that_does_not_exist_is_named_at_its_place() {
    assert_snapshot!(with_run_file("batch-size", "batchsize"), @"
    error: finetune.toml: TOML parse error at line 6, column 1
      |
    6 | batchsize = 16
      | ^^^^^^^^^
    unknown field `batchsize`, expected one of `epochs`, `max-steps`, `batch-size`, `accumulation`, `token-budget`, `max-tokens`, `learning-rate`, `schedule`, `warmup-fraction`, `optimizer`, `weight-decay`, `beta2`, `epsilon`, `clip-norm`, `evaluate-every`, `patience`, `log-every`, `checkpoint-every-s`
    exit code 2
    ");
    assert_snapshot!(with_run_file("[model]", "[modle]"), @"
    error: finetune.toml: TOML parse error at line 2, column 2
      |
    2 | [modle]
      |  ^^^^^
    unknown field `modle`, expected one of `task`, `role`, `seed`, `model`, `teacher`, `student`, `objective`, `step`, `train`, `phase`, `data`, `search`
    exit code 2
    ");
    assert_snapshot!(with_run_file("from = \"tiny-bert\"", "from = tiny-bert"), @"
    error: finetune.toml: TOML parse error at line 3, column 8
      |
    3 | from = tiny-bert
      |        ^^^^^^^^^
    invalid boolean, expected `true`
    exit code 2
    ");
    assert_snapshot!(with_run_file("[data]", "[[objective]]\nsoft-targets = { temprature = 4.0 }\n[data]"), @"
    error: finetune.toml: TOML parse error at line 10, column 18
       |
    10 | soft-targets = { temprature = 4.0 }
       |                  ^^^^^^^^^^
    unknown field `temprature`, expected one of `weight`, `temperature`, `reduction`
    exit code 2
    ");
    assert_snapshot!(with_run_file("[data]", "[[objective]]\nsoft-target = { temperature = 4.0 }\n[data]"), @"
    error: finetune.toml: TOML parse error at line 10, column 1
       |
    10 | soft-target = { temperature = 4.0 }
       | ^^^^^^^^^^^
    unknown variant `soft-target`, expected one of `hard-labels`, `soft-targets`, `logit-mse`, `pkd`, `hidden-states`, `attention-scores`, `annealed-logits`, `feature-maps`, `attention-maps`, `cosine-states`, `mmd`, `fsp`, `hard-teacher-labels`
    exit code 2
    ");
    assert_snapshot!(with_run_file("1e-2", "\"fast\""), @r#"
    error: finetune.toml: TOML parse error at line 7, column 17
      |
    7 | learning-rate = "fast"
      |                 ^^^^^^
    invalid type: string "fast", expected f64
    exit code 2
    "#);
    assert_snapshot!(with_run_file("1e-2", "-1.0"), @"
    error: `learning-rate`: found -1, expected a number above 0
    exit code 2
    ");
    assert_snapshot!(with_run_file("[data]", "[data]\nmetrics = [\"accuracie\"]"), @r#"
    error: finetune.toml: TOML parse error at line 10, column 12
       |
    10 | metrics = ["accuracie"]
       |            ^^^^^^^^^^^
    unknown variant `accuracie`, expected one of `accuracy`, `f1-binary`, `f1-macro`, `f1-micro`, `matthews`, `pearson`, `spearman`
    exit code 2
    "#);
    assert_snapshot!(with_run_file("[data]", "[data]\nmetrics = [\"pearson\"]"), @"
    error: `data.metrics`: found `pearson`, expected those of a classification, such as `accuracy`, `f1-macro` or `matthews`
    exit code 2
    ");
}

#[test]
fn a_malformed_override_is_named() {
    let set = |item: &str| {
        let place = Place::new();
        let message = place.fails(&format!("{FINETUNE} --set {item}"));
        assert!(place.is_untouched("runs"));
        message
    };
    assert_snapshot!(set("train.epochs"), @"
    error: `--set train.epochs`: expected KEY=VALUE, such as `train.epochs=2`
    exit code 2
    ");
    assert_snapshot!(set("train.epoch=3"), @"
    error: finetune.toml with train.epoch=3: unknown field `epoch`, expected one of `epochs`, `max-steps`, `batch-size`, `accumulation`, `token-budget`, `max-tokens`, `learning-rate`, `schedule`, `warmup-fraction`, `optimizer`, `weight-decay`, `beta2`, `epsilon`, `clip-norm`, `evaluate-every`, `patience`, `log-every`, `checkpoint-every-s`
    exit code 2
    ");
    assert_snapshot!(set("task.name=x"), @"
    error: `--set task.name=x`: `task` is not a table
    exit code 2
    ");
    assert_snapshot!(set("train.epochs=many"), @r#"
    error: finetune.toml with train.epochs=many: invalid type: string "many", expected f64
    exit code 2
    "#);
    assert_snapshot!(set("train.epochs=0"), @"
    error: `epochs`: found 0, expected a number above 0
    exit code 2
    ");
}

#[test]
fn what_a_student_learns_from_has_to_be_there() {
    let place = Place::new();
    place.edit("distill.toml", "[teacher]\nfrom = \"runs/teacher\"\n", "");
    assert_snapshot!(place.fails("distill distill.toml --out runs/a"), @r#"
    error: `teacher`: found nothing, expected `--teacher MODEL` or `[teacher] from = ".."`
    exit code 2
    "#);
    assert_snapshot!(place.fails("finetune distill.toml --out runs/a"), @"
    error: student: `layers` takes its layers from a teacher, and there is none; name a teacher
    exit code 2
    ");
    place.edit("distill.toml", "[student]\nlayers = { bottom = 1 }\n", "");
    assert_snapshot!(place.fails("finetune distill.toml --out runs/a"), @r#"
    error: `model`: found nothing, expected `--model MODEL` or `[model] from = ".."`
    exit code 2
    "#);
    assert_snapshot!(place.fails(DISTILL), @"
    error: `student`: found nothing, expected such as `[student] layers = { bottom = 3 }`, or `[model] from` for a student of its own
    exit code 2
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/a --set objective=[{soft-targets={weight=1.0}}]"), @"
    error: objective `soft-targets` learns from a teacher, and there is none; run `limbeck distill` with one, or remove the objective
    exit code 2
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/a --set objective=[{hard-labels={weight=0.0}}]"), @"
    error: `objective`: found weights [0.0], expected at least one objective, with weights of 0 or more that are not all 0
    exit code 2
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/a --set teacher.from=tiny-bert"), @"
    error: `teacher`: `finetune` has no teacher; run `limbeck distill`, or remove the key
    exit code 2
    ");
    assert!(place.is_untouched("runs"));
}

#[test]
fn layers_that_the_teacher_lacks_are_refused() {
    assert_snapshot!(distillation("--force-teacher --set student.layers={bottom=3}"), @"
    error: layer selection: `bottom = 3` does not fit a teacher with 2 layers; choose layers 0 to 1
    exit code 2
    ");
    assert_snapshot!(distillation("--force-teacher --set student.layers={list=[0,5]}"), @"
    error: layer selection: `list = [0, 5]` does not fit a teacher with 2 layers; choose layers 0 to 1
    exit code 2
    ");
    assert_snapshot!(distillation("--force-teacher --set student.layers={list=[]}"), @"
    error: layer selection: `list = []` does not fit a teacher with 2 layers; choose layers 0 to 1
    exit code 2
    ");
}

#[test]
fn a_teacher_that_knows_nothing_is_refused_unless_forced() {
    let place = Place::new();
    // One label for nine of ten: an untrained model cannot be better.
    let mut dev = table(0, 4);
    dev.push_str(&"neutral\tthe film is snow .\n".repeat(36));
    place.write("dev.tsv", dev);
    let message = place.fails(&format!("{DISTILL} --quiet"));
    assert!(place.is_untouched("runs"));
    insta::with_settings!({filters => vec![(r"accuracy is 0\.\d{4}", "accuracy is 0.[..]")]}, {
        assert_snapshot!(message, @"
        error: the teacher's dev accuracy is 0.[..], and always answering `neutral` gives 0.9250: it has not been fine-tuned for this task, or its labels are in another order; fine-tune it first, or force it with `--force-teacher`
        exit code 1
        ");
    });
    let forced = place.run(&format!("{DISTILL} --force-teacher --set train.epochs=1.0"));
    assert!(forced.status.success(), "{}", shown(&forced));
    let warning = String::from_utf8(forced.stderr).unwrap();
    assert!(warning.contains("WARN"), "{warning}");
    place.edit(
        "distill.toml",
        "[student]\nlayers = { bottom = 1 }\n",
        "[search]\nstudents = [{ layers = { bottom = 1 } }]\n",
    );
    let search =
        "search distill.toml --teacher tiny-bert-teacher --out runs/search --set train.epochs=1.0";
    assert!(place.fails(search).contains("always answering"));
    place.succeeds(&format!("{search} --force-teacher"));
}

#[test]
fn a_key_of_the_whole_run_is_refused_in_a_phase() {
    let phase =
        "--set objective=[] --set phase=[{objective=[{hard-labels={}}],train={max-tokens=9}}]";
    assert_snapshot!(distillation(phase), @"
    error: `phase.train.max-tokens` of phase 1: holds for all phases; set `train.max-tokens`
    exit code 2
    ");
}

#[test]
fn names_of_extra_sets_are_those_of_no_other_input() {
    let extra = |name: &str| {
        let set = "{path=\"dev.tsv\",format=\"label-text\"}";
        distillation(&format!("--set data.extra=[{{name=\"{name}\",set={set}}}]"))
    };
    assert_snapshot!(extra("train"), @"
    error: `data.extra`: found `train`, expected a name that no other input has, such as `train` or `dev`
    exit code 2
    ");
    assert_snapshot!(extra("a/b"), @"
    error: `data.extra`: found `a/b`, expected a name without slashes
    exit code 2
    ");
}

#[test]
fn a_run_that_is_not_finished_is_no_model() {
    let place = Place::with_teacher();
    fs::remove_file(place.path("runs/teacher/metrics.json")).unwrap();
    assert_snapshot!(place.fails("evaluate runs/teacher --data finetune.toml"), @"
    error: the model `runs/teacher`: a run that is not finished; run its command again to finish it, or give `runs/teacher/model`, its best model so far
    exit code 2
    ");
    place.succeeds("evaluate runs/teacher/model --data finetune.toml");
}

#[test]
fn seeds_are_distinct_and_need_a_folder_of_their_own() {
    let place = Place::with_teacher();
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/a --seeds 1,1"), @"
    error: `--seeds`: found 1 twice, expected each seed once
    exit code 2
    ");
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/teacher --seeds 1,2"), @"
    error: runs/teacher: holds a run, expected a folder for a run of each seed; choose another `--out`
    exit code 2
    ");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let place = Place::new();
    let message = place.fails(&format!(
        "{FINETUNE} --quiet --set train.learning-rate=1e30 --set train.clip-norm=0.0"
    ));
    assert_snapshot!(message, @"
    error: step 3: the loss is NaN; lower `learning-rate` (now 3.33e29), limit the gradient with `clip-norm`, or look at the examples [112, 108, 125, 44, 158, 75, 40, 154]
    exit code 1
    ");
}

#[test]
fn a_full_disk_is_named() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_limbeck");
    let arguments = "finetune finetune.toml --quiet --out full/run";
    fs::create_dir(place.path("full")).unwrap();

    // A limit on the size of files works everywhere.
    let limited = format!("trap '' XFSZ; ulimit -f 16; exec {program} {arguments}");
    let mut shell = Command::new("sh");
    place.at_home(shell.args(["-c", &limited]));
    assert_snapshot!(shown(&shell.output().unwrap()), @"
    error: full/run/model/model.safetensors: larger than a file may be here; raise the limit (`ulimit -f`) and run the same command again
    exit code 1
    ");
    place.succeeds(arguments);
    fs::remove_dir_all(place.path("full/run")).unwrap();

    let mut probe = Command::new("unshare");
    place.at_home(probe.args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "full"]));
    if !probe.output().is_ok_and(|output| output.status.success()) {
        eprintln!("a small disk cannot be mounted here: left out");
        return;
    }
    let small = format!("mount -t tmpfs -o size=64k tmpfs full && exec {program} {arguments}");
    let mut shell = Command::new("unshare");
    place.at_home(shell.args(["-rm", "sh", "-c", &small]));
    assert_snapshot!(shown(&shell.output().unwrap()), @"
    error: full/run/model/model.safetensors: no space is left on the disk; free some and run the same command again
    exit code 1
    ");
}
