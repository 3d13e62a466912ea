//! Models and data in the forms that the hub gives them, and state that was damaged on the disk.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fs_err as fs;
use insta::assert_snapshot;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use crate::place::{Place, WORDS, sentence};

const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Spreads a model's tensors over two files, as large checkpoints are published.
fn shard(place: &Place, model: &str) {
    let bytes = place.read(&format!("{model}/model.safetensors"));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<&str> = tensors.names();
    names.sort_unstable();
    let mut weight_map = Map::new();
    for (index, names) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", index + 1);
        let views = names
            .iter()
            .map(|name| (*name, tensors.tensor(name).unwrap()));
        place.write(
            &format!("{model}/{file}"),
            safetensors::serialize(views, None).unwrap(),
        );
        weight_map.extend(names.iter().map(|name| ((*name).to_owned(), json!(file))));
    }
    let index = json!({ "metadata": { "total_size": bytes.len() }, "weight_map": weight_map });
    place.write(
        &format!("{model}/model.safetensors.index.json"),
        index.to_string(),
    );
    fs::remove_file(place.path(&format!("{model}/model.safetensors"))).unwrap();
}

#[test]
fn a_sharded_checkpoint_trains_like_a_whole_one() {
    let place = Place::new();
    place.succeeds("finetune finetune.toml --out runs/whole");
    shard(&place, "tiny-bert");
    place.succeeds("finetune finetune.toml --out runs/sharded");
    place.assert_same("runs/whole", "runs/sharded");

    fs::remove_file(place.path("tiny-bert/model-00002-of-00002.safetensors")).unwrap();
    assert_snapshot!(place.fails("finetune finetune.toml --out runs/gone"), @r#"
error: tiny-bert/model-00002-of-00002.safetensors: no such file, but `model.safetensors.index.json` lists it; fetch the whole model again
exit code 1
"#);
    assert!(place.is_untouched("runs/gone"));
}

/// The rows of [`crate::place::table`] as a parquet file, labels as class numbers with their names in Hugging Face's note.
fn parquet(from: usize, count: usize) -> Vec<u8> {
    let field = |name, physical, converted| {
        let builder =
            Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
        Arc::new(builder.with_converted_type(converted).build().unwrap())
    };
    let fields = vec![
        field("label", Physical::INT64, ConvertedType::NONE),
        field("text", Physical::BYTE_ARRAY, ConvertedType::UTF8),
    ];
    let schema = Type::group_type_builder("schema")
        .with_fields(fields)
        .build()
        .unwrap();
    let names = WORDS.map(|(label, _)| label);
    let note =
        json!({ "info": { "features": { "label": { "names": names, "_type": "ClassLabel" } } } });
    let notes = vec![KeyValue::new("huggingface".to_owned(), note.to_string())];
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(notes))
        .build();
    let rows: Vec<_> = (from..from + count).map(sentence).collect();
    let class = |label: &str| names.iter().position(|name| *name == label).unwrap() as i64;
    let classes: Vec<i64> = rows.iter().map(|(label, _)| class(label)).collect();
    let texts: Vec<ByteArray> = rows.iter().map(|(_, text)| text.as_str().into()).collect();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int64Type>()
        .write_batch(&classes, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<ByteArrayType>()
        .write_batch(&texts, None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet_trains_like_tsv() {
    let place = Place::new();
    place.succeeds("finetune finetune.toml --out runs/tsv");
    for (name, from, count) in [("train", 0, 160), ("dev", 1000, 40), ("test", 2000, 40)] {
        place.write(&format!("{name}.parquet"), parquet(from, count));
        place.edit(
            "finetune.toml",
            &format!("{name}.tsv"),
            &format!("{name}.parquet"),
        );
    }
    place.succeeds("finetune finetune.toml --out runs/parquet");
    place.assert_same("runs/tsv", "runs/parquet");
}

/// Kills a fine-tuning once it has state to go on from.
fn interrupted() -> Place {
    let place = Place::new();
    let mut command =
        place.command("finetune finetune.toml --out runs/t --set train.checkpoint-every-s=0");
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = place.path("runs/t/checkpoint/state.json");
    let begun = Instant::now();
    while !state.exists() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < TIME_LIMIT, "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place
}

/// What a resumed run says when the file of its state that `key` names holds `contents`.
fn resumed_with(key: &str, damage: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let place = interrupted();
    let state: Value = place.json("runs/t/checkpoint/state.json");
    let file = state
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or("state.json")
        .to_owned();
    let path = format!("runs/t/checkpoint/{file}");
    place.write(&path, damage(place.read(&path)));
    let said = place.fails("finetune finetune.toml --out runs/t --set train.checkpoint-every-s=0");
    // Name and message hold the step at which the kill came.
    let step = state["progress"]["step"].to_string();
    said.replace(&file, &format!("[{key}]"))
        .replace(&format!("after step {step}"), "after step [step]")
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    assert_snapshot!(resumed_with("model", cut), @r#"
 INFO runs/t: going on after step [step]
error: runs/t/checkpoint: `[model]`: incomplete metadata, file not fully covered; delete the folder and run the same command again: it is made anew
exit code 1
"#);
    assert_snapshot!(resumed_with("optimizer", cut), @r#"
 INFO runs/t: going on after step [step]
error: runs/t/checkpoint: `[optimizer]`: incomplete metadata, file not fully covered; delete the folder and run the same command again: it is made anew
exit code 1
"#);
    assert_snapshot!(resumed_with("state", |_| b"{".to_vec()), @r#"
error: runs/t/checkpoint: `[state]`: not a run's state: EOF while parsing an object at line 1 column 1; delete the folder and run the same command again: it is made anew
exit code 1
"#);
}
