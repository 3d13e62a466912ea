//! Masked language models: asking for single rows, fresh heads, frozen encoders, files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use limbeck_model::{
    Batch, Encoding, Input, Learns, MaskedLanguageModel, ModelError, TextTokenizer, Weights,
};
use limbeck_ops::loss::cross_entropy;
use limbeck_ops::{Pass, backward};
use limbeck_text::Text;

const FAMILIES: [&str; 4] = [
    "tiny-bert-mlm",
    "tiny-roberta-mlm",
    "tiny-distilbert-mlm",
    "tiny-mpnet-mlm",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn open(name: &str) -> MaskedLanguageModel {
    MaskedLanguageModel::open(&fixture(name), &Device::Cpu).unwrap()
}

fn encodings(name: &str) -> Vec<Encoding> {
    let tokenizer = TextTokenizer::open(&fixture(name)).unwrap();
    let texts = [
        Text::single("the plot is not bad , but the act is dull !"),
        Text::pair("the film is good", "the movie is not bad ."),
        Text::single("fun"),
    ];
    tokenizer.encode_batch(&texts, 30).unwrap()
}

fn values(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_vec2().unwrap()
}

#[test]
fn a_single_row_is_what_it_is_among_all() {
    for name in FAMILIES {
        let (model, encodings) = (open(name), encodings(name));
        let batch = Batch::new(encodings.iter().map(|e| (0, e)));
        let rows: Vec<u32> = (0..batch.ids.len() as u32).collect();
        let all = model
            .logits(&batch, Input::Ids, &rows, &Pass::EVALUATE)
            .unwrap();
        let all = values(&all);
        for (index, encoding) in encodings.iter().enumerate() {
            for place in 0..encoding.ids.len() {
                // Beside another sentence, asked at another place.
                let asked = [(encoding, place), (&encodings[0], 2)];
                let together = values(&model.logits_at(&asked).unwrap());
                let alone = values(&model.logits_at(&asked[..1]).unwrap());
                assert_eq!(together[0], alone[0], "{name}");
                let row = batch.starts.first_rows()[index] as usize + place;
                for (a, b) in alone[0].iter().zip(&all[row]) {
                    assert!((a - b).abs() < 1e-5, "{name}, place {place}: {a} and {b}");
                }
            }
        }
    }
}

#[test]
fn an_encoder_gets_a_fresh_head_and_is_written_as_a_masked_language_model() {
    let folder = fixture("tiny-bert");
    let missing = MaskedLanguageModel::open(&folder, &Device::Cpu).unwrap_err();
    assert!(matches!(missing, ModelError::NoMaskedLmHead { .. }));
    let draw = |seed| MaskedLanguageModel::open_or_draw_head(&folder, seed, &Device::Cpu).unwrap();
    let model = draw(3);
    assert_eq!(model.fresh_tensors().len(), 5);
    let bytes = |model: &MaskedLanguageModel| -> Vec<Vec<f32>> {
        let tensors = model.tensors().unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1().unwrap();
        tensors.values().map(flat).collect()
    };
    assert_eq!(bytes(&model), bytes(&draw(3)));
    assert_ne!(bytes(&model), bytes(&draw(4)));

    let written = tempfile::tempdir().unwrap();
    model.save(written.path()).unwrap();
    let again = MaskedLanguageModel::open(written.path(), &Device::Cpu).unwrap();
    assert_eq!(bytes(&model), bytes(&again));
    let config = fs_err::read_to_string(written.path().join("config.json")).unwrap();
    assert!(config.contains("BertForMaskedLM"));
    let weights = Weights::open(written.path()).unwrap();
    assert!(
        weights
            .get("bert.embeddings.word_embeddings.weight")
            .is_some()
    );
    assert!(weights.get("cls.predictions.bias").is_some());
    assert!(!weights.has_prefix("bert.pooler"));
}

#[test]
fn a_frozen_encoder_gets_no_gradient() {
    let name = "tiny-bert-mlm";
    let gradients = |learns| {
        let model = open(name).learning(learns);
        let encodings = encodings(name);
        let batch = Batch::new(encodings.iter().map(|e| (0, e)));
        let logits = model
            .logits(&batch, Input::Ids, &[1, 5], &Pass::train_without_dropout())
            .unwrap();
        let loss = cross_entropy(&logits, &[7, 9]).unwrap();
        backward(&loss, &model.parameters()).unwrap();
        let slots = model.slots().iter();
        slots
            .map(|slot| {
                (
                    slot.names[0].clone(),
                    slot.parameter.gradient_tensor().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    let (all, head) = (gradients(Learns::Everything), gradients(Learns::Head));
    for ((name, all), (_, head)) in all.iter().zip(&head) {
        let all = all.as_ref().unwrap();
        match head {
            Some(head) => {
                assert!(name.starts_with("cls."), "{name}");
                let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(flat(all), flat(head), "{name}");
            }
            None => assert!(name.starts_with("bert."), "{name}"),
        }
    }
}

#[test]
fn a_vocabulary_matrix_of_its_own_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("tiny-bert-mlm");
    model.save(folder.path()).unwrap();
    let add = |factor: f64| {
        let mut tensors = model.tensors().unwrap();
        let words = &tensors["bert.embeddings.word_embeddings.weight"];
        let decoder = (words * factor).unwrap();
        tensors.insert("cls.predictions.decoder.weight".into(), decoder);
        let tensors = tensors.iter().map(|(name, t)| (name.clone(), t));
        limbeck_model::write_tensors(&folder.path().join("model.safetensors"), tensors).unwrap();
        MaskedLanguageModel::open(folder.path(), &Device::Cpu)
    };
    assert!(add(1.0).is_ok());
    assert!(matches!(add(2.0), Err(ModelError::UntiedHead { .. })));
}
