//! Gradients at tokens and words against transformers. Numbers from `scripts/reference/word_gradients.py`.

use candle_core::{Device, Tensor};
use limbeck_model::{
    Batch, BiLstmConfig, EmbeddingMode, Needs, SentenceClassifier, Target, TextTokenizer,
};
use limbeck_ops::{Pass, backward, loss};
use limbeck_text::Text;
use limbeck_train::{PieceGradients, Predictor};
use serde_json::Value;

use crate::common::{fixture, read_json};

const TOLERANCE: f64 = 1e-4;

fn close(what: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= TOLERANCE * expected.abs().max(1e-3),
        "{what}: {found} and {expected}"
    );
}

fn norm(gradient: &[f32]) -> f64 {
    gradient.iter().map(|value| f64::from(value.abs())).sum()
}

#[test]
fn norms_are_those_of_transformers() {
    let reference = read_json("word_gradients.json");
    let max_tokens = reference["max_tokens"].as_u64().unwrap() as usize;
    let mut unread = 0;
    for name in ["tiny-bert", "tiny-roberta", "tiny-distilbert", "tiny-mpnet"] {
        let predictor = Predictor::open(&fixture(name), max_tokens, &Device::Cpu).unwrap();
        for row in reference[name].as_array().unwrap() {
            let part = |i: usize| row["texts"].get(i).and_then(Value::as_str);
            let text = Text {
                first: part(0).unwrap().to_owned(),
                second: part(1).map(str::to_owned),
            };
            let (model, tokenizer) = (&predictor.model, &predictor.tokenizer);
            let found = PieceGradients::of(model, tokenizer, &text, max_tokens).unwrap();
            let tokens = row["tokens"].as_array().unwrap();
            assert_eq!(found.len(), tokens.len(), "{name}: {text:?}");
            for (token, expected) in tokens.iter().enumerate() {
                let what = format!("{name}: token {token} of {text:?}");
                close(
                    &what,
                    norm(found.gradient(token)),
                    expected.as_f64().unwrap(),
                );
            }
            for word in row["words"].as_array().unwrap() {
                let number = |value: &Value| value.as_u64().unwrap() as usize;
                let bytes = number(&word["bytes"][0])..number(&word["bytes"][1]);
                let expected = word["norm"].as_f64().unwrap();
                unread += usize::from(expected == 0.0);
                let what = format!("{name}: {word} of {text:?}");
                close(
                    &what,
                    found.norm_at(number(&word["sentence"]), &bytes),
                    expected,
                );
            }
        }
        let parameters = predictor.model.parameters();
        assert!(
            parameters
                .iter()
                .all(|p| p.gradient_tensor().unwrap().is_none())
        );
    }
    assert!(
        unread > 0,
        "no text was cut, so nothing shows that lost words count nothing"
    );
}

/// Where no token occurs twice, the table's rows have learnt exactly what the tokens' embeddings were told.
#[test]
fn a_bi_lstms_norms_are_what_its_table_learns() {
    let words = ["a", "good", "bad", "film", "plot", "."].map(str::to_owned);
    let tokenizer = TextTokenizer::from_words(words.into()).unwrap();
    let labels = ["negative", "positive"].map(str::to_owned);
    let config = BiLstmConfig {
        vocabulary_size: tokenizer.vocabulary_size(),
        embedding_size: 6,
        embedding_mode: EmbeddingMode::NonStatic,
        layer_count: 2,
        hidden_size: 5,
        head_size: 7,
        dropout: 0.0,
        target: None,
    };
    let target = Target::Labels(labels.into());
    let model = SentenceClassifier::fresh(config, &target, 3, &Device::Cpu).unwrap();
    let text = Text::single("a Good unknown film .");
    let found = PieceGradients::of(&model, &tokenizer, &text, 64).unwrap();

    let encoding = tokenizer.encode(&text, 64).unwrap();
    let batch = Batch::new([(0, &encoding)]);
    let pass = Pass::train_without_dropout();
    let logits = model.forward(&batch, Needs::NOTHING, &pass).unwrap().logits;
    let row = logits.to_vec2::<f32>().unwrap().remove(0);
    let label = u32::from(row[1] > row[0]);
    let loss = loss::cross_entropy(&logits, &[label]).unwrap();
    backward(&loss, &model.parameters()).unwrap();
    let table: Tensor = model.word_embeddings().gradient_tensor().unwrap().unwrap();
    let table = table.to_vec2::<f32>().unwrap();
    assert_eq!(found.len(), 5);
    for (token, &id) in encoding.ids.iter().enumerate() {
        let expected = norm(&table[id as usize]);
        assert!(expected > 1e-6, "token {token} has no gradient");
        close(
            &format!("token {token}"),
            norm(found.gradient(token)),
            expected,
        );
        let place = found.place(token).unwrap();
        close("its word", found.norm_at(0, &place.bytes), expected);
    }
    assert_eq!(found.place(1).unwrap().bytes, 2..6);
}
