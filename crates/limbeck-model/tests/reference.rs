//! Tiny random models of the four families against transformers: token ids, logits, hidden states,
//! attention, loss and every parameter's gradient. Numbers from `scripts/reference/tiny_models.py`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var, safetensors};
use limbeck_model::{
    Batch, Encoding, HiddenStates, Input, MaskedLanguageModel, Needs, SentenceClassifier, Slot,
    TextTokenizer,
};
use limbeck_ops::{Pass, backward, loss, mean_pool};
use limbeck_text::Text;
use serde_json::Value;

const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn json(folder: &Path) -> Value {
    serde_json::from_str(&fs_err::read_to_string(folder.join("reference.json")).unwrap()).unwrap()
}

fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    safetensors::load(path, &Device::Cpu)
        .unwrap()
        .into_iter()
        .collect()
}

fn numbers(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap() as u32)
        .collect()
}

fn encodings(reference: &Value) -> Vec<Encoding> {
    let ids = reference["ids"].as_array().unwrap().iter().map(numbers);
    // Families without segments have no such column.
    let segments = |i: usize, len: usize| {
        reference
            .get("segments")
            .filter(|s| !s.is_null())
            .map_or_else(|| vec![0; len], |s| numbers(&s[i]))
    };
    ids.enumerate()
        .map(|(i, ids)| Encoding {
            segments: segments(i, ids.len()),
            ids,
        })
        .collect()
}

fn batch(encodings: &[Encoding]) -> Batch {
    Batch::new(encodings.iter().enumerate().map(|(i, e)| (i as u64, e)))
}

/// Fails when tensors differ by more than the tolerance, relative to the larger of the expected
/// tensor's root mean square and one thousandth.
fn check(what: &str, actual: &Tensor, expected: &Tensor) {
    assert_eq!(actual.dims(), expected.dims(), "{what}");
    let flat = |t: &Tensor| {
        t.flatten_all()
            .unwrap()
            .to_dtype(DType::F64)
            .unwrap()
            .to_vec1::<f64>()
            .unwrap()
    };
    let (actual, expected) = (flat(actual), flat(expected));
    let size = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64)
        .sqrt()
        .max(1e-3);
    let worst = actual
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs() / size)
        .fold(0.0, f64::max);
    assert!(
        worst < TOLERANCE,
        "{what}: off by {worst:e} of its size {size:e}"
    );
}

fn check_gradients(slots: &[Slot], reference: &BTreeMap<String, Tensor>) {
    let mut seen = 0;
    for slot in slots {
        let gradient = slot.parameter.gradient_tensor().unwrap();
        let gradient = gradient.unwrap_or_else(|| panic!("{:?} has no gradient", slot.names));
        for (name, part) in slot.split(&gradient).unwrap() {
            check(
                &format!("gradient of {name}"),
                &part,
                &reference[&format!("grad.{name}")],
            );
            seen += 1;
        }
    }
    assert_eq!(
        seen,
        reference
            .keys()
            .filter(|name| name.starts_with("grad."))
            .count()
    );
}

fn check_classifier(name: &str) {
    let folder = fixture(name);
    let reference = json(&folder);
    let expected = tensors(&folder.join("reference.safetensors"));
    let model = SentenceClassifier::open(&folder, None, 0, &Device::Cpu).unwrap();
    let encodings = encodings(&reference);

    let tokenizer = TextTokenizer::open(&folder).unwrap();
    for (text, encoding) in reference["texts"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&encodings)
    {
        let part = |i: usize| text.get(i).and_then(Value::as_str).map(str::to_owned);
        let text = Text {
            first: part(0).unwrap(),
            second: part(1),
        };
        let encoded = tokenizer.encode(&text, 64).unwrap();
        assert_eq!(encoded.ids, encoding.ids, "{text:?}");
        if !reference["segments"].is_null() {
            assert_eq!(encoded.segments, encoding.segments, "{text:?}");
        }
    }

    // Everything asked for: the path through plain attention.
    let batch = batch(&encodings);
    let needs = Needs {
        hidden: HiddenStates::All,
        attention: true,
    };
    let output = model.forward(&batch, needs, &Pass::EVALUATE).unwrap();
    check("logits with attention", &output.logits, &expected["logits"]);
    let (scores, probabilities) = (
        tensors(&folder.join("attention_scores.safetensors")),
        tensors(&folder.join("attention_probabilities.safetensors")),
    );
    for (layer, maps) in output.attention.iter().enumerate() {
        for sentence in 0..batch.starts.sentences() {
            let cut = |t: &Tensor| maps.of_sentence(t, sentence).unwrap();
            let key = format!("{layer}.{sentence}");
            check(&format!("scores {key}"), &cut(&maps.scores), &scores[&key]);
            check(
                &format!("probabilities {key}"),
                &cut(&maps.probabilities().unwrap()),
                &probabilities[&key],
            );
        }
    }
    let needs = Needs {
        hidden: HiddenStates::All,
        attention: false,
    };
    let hidden = model
        .forward(&batch, needs, &Pass::EVALUATE)
        .unwrap()
        .hidden;
    assert_eq!(hidden.len(), model.layer_count() + 1);
    for (layer, hidden) in hidden.iter().enumerate() {
        check(
            &format!("hidden {layer}"),
            hidden,
            &expected[&format!("hidden.{layer}")],
        );
    }
    check(
        "mean pooled",
        &mean_pool(&hidden[hidden.len() - 1], &batch.starts).unwrap(),
        &expected["mean_pooled"],
    );
    let needs = Needs {
        hidden: HiddenStates::First,
        attention: false,
    };
    for (first, all) in model
        .forward(&batch, needs, &Pass::EVALUATE)
        .unwrap()
        .hidden
        .iter()
        .zip(&hidden)
    {
        let rows = Tensor::new(batch.starts.first_rows(), &Device::Cpu).unwrap();
        check("first tokens", first, &all.index_select(&rows, 0).unwrap());
    }

    // Loss and gradients: the fused path, last layer for first tokens alone.
    let pass = Pass::train_without_dropout();
    let output = model.forward(&batch, Needs::NOTHING, &pass).unwrap();
    check("logits", &output.logits, &expected["logits"]);
    if let Some(pooled) = expected.get("pooled") {
        check("pooled", &output.pooled, pooled);
    }
    let loss = loss::cross_entropy(&output.logits, &numbers(&reference["labels"])).unwrap();
    let value = f64::from(loss.to_scalar::<f32>().unwrap());
    assert!(
        (value / reference["loss_f64"].as_f64().unwrap() - 1.0).abs() < 1e-5,
        "loss {value}"
    );
    backward(&loss, &model.parameters()).unwrap();
    check_gradients(model.slots(), &expected);

    // From embeddings: their gradient, with nothing learnt.
    model
        .parameters()
        .iter()
        .for_each(limbeck_ops::Parameter::clear_gradient);
    let sum = model
        .encoder()
        .unwrap()
        .embedding_sum(&batch, None, &Pass::EVALUATE)
        .unwrap();
    check("embeddings", &sum, &expected["embeddings"]);
    let start = Var::from_tensor(&sum).unwrap();
    let output = model
        .forward_from(
            &batch,
            Input::Embeddings(start.as_tensor()),
            Needs::NOTHING,
            &Pass::EVALUATE,
        )
        .unwrap();
    let loss = loss::cross_entropy(&output.logits, &numbers(&reference["labels"])).unwrap();
    let store = backward(&loss, &model.parameters()).unwrap();
    check(
        "gradient of embeddings",
        store.get(start.as_tensor()).unwrap(),
        &expected["grad_embeddings"],
    );
    assert!(
        model
            .parameters()
            .iter()
            .all(|p| p.gradient_tensor().unwrap().is_none())
    );

    // From mixed word embeddings that are the words' own.
    let words = model.encoder().unwrap().word_embeddings().value();
    let words = words
        .index_select(&Tensor::new(&*batch.ids, &Device::Cpu).unwrap(), 0)
        .unwrap();
    let output = model
        .forward_from(
            &batch,
            Input::Words(&words),
            Needs::NOTHING,
            &Pass::EVALUATE,
        )
        .unwrap();
    check("logits from words", &output.logits, &expected["logits"]);

    // Written and read again.
    let written = tempfile::tempdir().unwrap();
    model.save(written.path()).unwrap();
    let again = SentenceClassifier::open(written.path(), None, 0, &Device::Cpu).unwrap();
    let logits = again
        .forward(&batch, Needs::NOTHING, &Pass::EVALUATE)
        .unwrap()
        .logits;
    let first = model
        .forward(&batch, Needs::NOTHING, &Pass::EVALUATE)
        .unwrap()
        .logits;
    assert_eq!(
        logits.to_vec2::<f32>().unwrap(),
        first.to_vec2::<f32>().unwrap()
    );
}

#[test]
fn bert_matches_transformers() {
    check_classifier("tiny-bert");
}

#[test]
fn roberta_matches_transformers() {
    check_classifier("tiny-roberta");
}

#[test]
fn distilbert_matches_transformers() {
    check_classifier("tiny-distilbert");
}

#[test]
fn mpnet_matches_transformers() {
    check_classifier("tiny-mpnet");
}

#[test]
fn masked_language_models_match_transformers() {
    for name in [
        "tiny-bert-mlm",
        "tiny-roberta-mlm",
        "tiny-distilbert-mlm",
        "tiny-mpnet-mlm",
    ] {
        let folder = fixture(name);
        let reference = json(&folder);
        let expected = tensors(&folder.join("reference.safetensors"));
        let model = MaskedLanguageModel::open(&folder, &Device::Cpu).unwrap();
        let batch = batch(&encodings(&reference));
        let rows = numbers(&reference["masked_positions"]);
        let logits = model
            .logits(&batch, Input::Ids, &rows, &Pass::train_without_dropout())
            .unwrap();
        check(&format!("{name} logits"), &logits, &expected["logits"]);
        let loss = loss::cross_entropy(&logits, &numbers(&reference["targets"])).unwrap();
        let value = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!(
            (value / reference["loss_f64"].as_f64().unwrap() - 1.0).abs() < 1e-5,
            "{name} loss {value}"
        );
        backward(&loss, &[]).unwrap();
        if expected.keys().any(|name| name.starts_with("grad.")) {
            check_gradients(model.slots(), &expected);
        }
    }
}

#[test]
fn packed_sentences_equal_sentences_alone() {
    for name in ["tiny-bert", "tiny-mpnet"] {
        let folder = fixture(name);
        let model = SentenceClassifier::open(&folder, None, 0, &Device::Cpu).unwrap();
        let encodings = encodings(&json(&folder));
        let together = model
            .forward(&batch(&encodings), Needs::NOTHING, &Pass::EVALUATE)
            .unwrap()
            .logits;
        let together = together.to_vec2::<f32>().unwrap();
        for (encoding, expected) in encodings.iter().zip(&together) {
            let alone = batch(std::slice::from_ref(encoding));
            let logits = model
                .forward(&alone, Needs::NOTHING, &Pass::EVALUATE)
                .unwrap()
                .logits;
            assert_eq!(logits.to_vec2::<f32>().unwrap()[0], *expected);
        }
    }
}
