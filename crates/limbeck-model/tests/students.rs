//! Students: sizes, what learns and what does not, saved and opened, batch by batch, and messages.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use limbeck_model::{
    Batch, BiLstmConfig, BiLstmStudent, EmbeddingConfig, EmbeddingMode, EmbeddingSource, Encoding,
    HiddenStates, Input, LayerSelection, MaskedLanguageModel, ModelConfig, ModelError, Needs,
    ReducedEmbeddings, SentenceClassifier, SmallBertStudent, StudentConfig, Target, TextTokenizer,
    TransformerConfig, Vocabulary, Weights,
};
use limbeck_ops::{Pass, backward, loss};
use limbeck_text::Text;

const MODES: [EmbeddingMode; 3] = [
    EmbeddingMode::Static,
    EmbeddingMode::NonStatic,
    EmbeddingMode::Multichannel,
];

fn tiny_bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert")
}

fn labels(count: usize) -> Target {
    Target::Labels((0..count).map(|i| format!("label {i}")).collect())
}

fn teacher() -> (SentenceClassifier, TextTokenizer) {
    let folder = tiny_bert();
    let model = SentenceClassifier::open(&folder, None, 0, &Device::Cpu).unwrap();
    (model, TextTokenizer::open(&folder).unwrap())
}

fn texts() -> Vec<Text> {
    let sentences = [
        "a movie of great charm",
        "dull",
        "the plot is thin , the actors are not",
        "great great fun",
    ];
    let text = |first: &&str| Text {
        first: (*first).to_owned(),
        second: None,
    };
    sentences.iter().map(text).collect()
}

fn build(student: &StudentConfig) -> Result<(SentenceClassifier, TextTokenizer), ModelError> {
    let (model, tokenizer) = teacher();
    let target = model.target().clone();
    student.build(
        Some((&model, &tokenizer)),
        &mut texts().into_iter(),
        &target,
        7,
        &Device::Cpu,
    )
}

fn bi_lstm(embeddings: EmbeddingConfig, vocabulary: Vocabulary) -> StudentConfig {
    StudentConfig::BiLstm(BiLstmStudent {
        layers: 2,
        hidden_size: 6,
        head_size: 40,
        embeddings,
        vocabulary,
        ..BiLstmStudent::default()
    })
}

fn small_bert(embeddings: EmbeddingConfig, vocabulary: Vocabulary) -> StudentConfig {
    StudentConfig::SmallBert(SmallBertStudent {
        layers: 2,
        hidden_size: 12,
        heads: 2,
        intermediate_size: 20,
        max_tokens: 32,
        embeddings,
        vocabulary,
    })
}

/// Tiny students of every kind and embedding mode, with their tokenizers.
fn students() -> Vec<(StudentConfig, SentenceClassifier, TextTokenizer)> {
    let mut configs = vec![
        StudentConfig::Layers(LayerSelection::Top(1)),
        toml("bert = { layers = 1, hidden-size = 8, heads = 2, intermediate-size = 12 }"),
    ];
    for mode in MODES {
        let from_teacher = EmbeddingConfig {
            mode,
            ..EmbeddingConfig::default()
        };
        let random = EmbeddingConfig {
            mode,
            source: EmbeddingSource::Random,
            size: Some(5),
        };
        configs.push(bi_lstm(from_teacher.clone(), Vocabulary::Teacher));
        configs.push(bi_lstm(random.clone(), Vocabulary::Words));
        configs.push(small_bert(from_teacher, Vocabulary::Teacher));
        configs.push(small_bert(random, Vocabulary::Words));
    }
    let build = |config: StudentConfig| {
        let (model, tokenizer) = build(&config).unwrap();
        (config, model, tokenizer)
    };
    configs.into_iter().map(build).collect()
}

/// The tiny teacher was made without dropout, and so are its layers.
fn has_no_dropout(config: &StudentConfig) -> bool {
    matches!(config, StudentConfig::Layers(_))
}

fn toml(text: &str) -> StudentConfig {
    toml::from_str(text).unwrap()
}

fn encode(tokenizer: &TextTokenizer) -> Vec<Encoding> {
    tokenizer.encode_batch(&texts(), 24).unwrap()
}

fn batch(encodings: &[Encoding]) -> Batch {
    Batch::new(encodings.iter().enumerate().map(|(i, e)| (i as u64, e)))
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn logits(model: &SentenceClassifier, batch: &Batch, pass: &Pass) -> Vec<f32> {
    numbers(&model.forward(batch, Needs::NOTHING, pass).unwrap().logits)
}

fn fresh(config: impl Into<ModelConfig>, classes: usize) -> SentenceClassifier {
    SentenceClassifier::fresh(config, &labels(classes), 0, &Device::Cpu).unwrap()
}

#[test]
fn bi_lstms_have_the_parameters_of_the_report() {
    let check = |embedding_size, layer_count, hidden_size, head_size, classes, expected| {
        let config = BiLstmConfig {
            vocabulary_size: 10,
            embedding_size,
            embedding_mode: EmbeddingMode::Multichannel,
            layer_count,
            hidden_size,
            head_size,
            dropout: 0.1,
            target: None,
        };
        let (all, without) = fresh(config, classes).parameter_count();
        assert_eq!(all, without + 2 * 10 * embedding_size);
        assert_eq!(without, expected);
    };
    // 2.41 million: one layer, and inputs of 600 because word2vec's 300 come in two copies.
    check(300, 1, 300, 400, 2, 2_406_002);
    // 15.4 million: the CoLA model, two layers of 600 and a head of 800, over the same inputs.
    check(300, 2, 600, 800, 2, 15_381_602);
    // 5.90 million: Sara's 57 intents, one layer over two copies of BERT-large's 1024.
    check(1024, 1, 300, 400, 57, 5_903_257);
}

#[test]
fn small_berts_have_the_parameters_of_the_report() {
    let check = |layer_count, hidden_size, intermediate_size, expected| {
        let mut config = TransformerConfig::bert(10, 0);
        config.layer_count = layer_count;
        config.hidden_size = hidden_size;
        config.head_count = 3;
        config.intermediate_size = intermediate_size;
        config.max_positions = 16;
        config.reduced = Some(ReducedEmbeddings {
            size: 300,
            mode: EmbeddingMode::Multichannel,
        });
        let (all, without) = fresh(&config, 2).parameter_count();
        let (words, segments) = (2 * 10 * 300, 2 * 2 * 300);
        let (reduction, positions) = (601 * hidden_size, 16 * hidden_size);
        assert_eq!(all - without, words + segments + reduction + positions);
        assert_eq!(without, expected);
    };
    // 2.42 million.
    check(5, 204, 750, 2_417_888);
    // The CoLA model: 38.5 million with the thesis' 5 layers, its 76.4 million with 10.
    check(5, 816, 3000, 38_518_778);
    check(10, 816, 3000, 76_367_618);
}

#[test]
fn default_students_are_those_of_the_report() {
    let random = "embeddings = { source = \"random\" }, vocabulary = \"words\"";
    let check = |config: &str, kind: &str, expected| {
        let (model, _) = build(&toml(config)).unwrap();
        // The fixture has three labels.
        assert_eq!(model.parameter_count().1, expected);
        assert_eq!(model.kind_name(), kind);
    };
    check(
        &format!("bi-lstm = {{ {random} }}"),
        "BiLSTM, 1 layer, width 300",
        2_406_002 + 401,
    );
    check(
        &format!("small-bert = {{ {random} }}"),
        "BERT_S, 5 layers, width 204",
        2_417_888 + 205,
    );
    check("layers = { bottom = 1 }", "BERT, 1 layer, width 16", 2_579);
}

#[test]
fn what_may_learn_gets_a_gradient_and_nothing_else_does() {
    for (config, model, tokenizer) in students() {
        let batch = batch(&encode(&tokenizer));
        let output = model
            .forward(&batch, Needs::NOTHING, &Pass::train(batch.dropout(3)))
            .unwrap();
        let loss = loss::cross_entropy(&output.logits, &[0, 1, 2, 0]).unwrap();
        backward(&loss, &model.parameters()).unwrap();
        for slot in model.slots() {
            let gradient = slot.parameter.gradient_tensor().unwrap();
            let is_frozen = slot.names[0].contains("_static.");
            assert_eq!(slot.parameter.is_trainable(), !is_frozen);
            assert_eq!(
                gradient.is_none(),
                is_frozen,
                "{:?} of {config:?}",
                slot.names
            );
            let Some(gradient) = gradient else { continue };
            let is_key_bias = slot.names.iter().any(|name| name.contains("key.bias"));
            assert!(
                is_key_bias || numbers(&gradient).iter().any(|&g| g != 0.0),
                "{:?} of {config:?} has a gradient of zeros",
                slot.names
            );
        }
        assert_eq!(model.slots().len(), model.parameters().len());
    }
}

#[test]
fn a_saved_student_opens_as_the_same_student() {
    for (config, model, tokenizer) in students() {
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        tokenizer.save(folder.path()).unwrap();
        let again = SentenceClassifier::open(folder.path(), None, 0, &Device::Cpu).unwrap();
        let encodings = encode(&TextTokenizer::open(folder.path()).unwrap());
        assert_eq!(encodings, encode(&tokenizer));
        let batch = batch(&encodings);
        assert_eq!(
            logits(&again, &batch, &Pass::EVALUATE),
            logits(&model, &batch, &Pass::EVALUATE),
            "{config:?}"
        );
        assert_eq!(again.target(), model.target());
        assert_eq!(again.kind_name(), model.kind_name());
        assert_eq!(again.max_tokens(), model.max_tokens());
        assert_eq!(again.parameter_count(), model.parameter_count());
        assert!(again.fresh_tensors().is_empty());
        let trainable = |model: &SentenceClassifier| -> BTreeSet<String> {
            let parameters = model.parameters().into_iter();
            parameters
                .filter(limbeck_ops::Parameter::is_trainable)
                .map(|p| p.name().to_owned())
                .collect()
        };
        assert_eq!(trainable(&again), trainable(&model));

        let weights = Weights::open(folder.path()).unwrap();
        let (other, _) = build(&config).unwrap();
        other.load(&weights).unwrap();
        assert_eq!(
            logits(&other, &batch, &Pass::EVALUATE),
            logits(&model, &batch, &Pass::EVALUATE)
        );
    }
}

#[test]
fn a_sentence_gets_the_same_logits_in_any_company() {
    for (config, model, tokenizer) in students() {
        let encodings = encode(&tokenizer);
        let key = 11;
        let together = batch(&encodings);
        let evaluated = logits(&model, &together, &Pass::EVALUATE);
        let trained = logits(&model, &together, &Pass::train(together.dropout(key)));
        assert_eq!(evaluated == trained, has_no_dropout(&config));
        for (i, encoding) in encodings.iter().enumerate() {
            let alone = Batch::new([(i as u64, encoding)]);
            let place = 3 * i..3 * (i + 1);
            assert_eq!(
                logits(&model, &alone, &Pass::EVALUATE),
                evaluated[place.clone()],
                "{config:?}"
            );
            let pass = Pass::train(alone.dropout(key));
            assert_eq!(logits(&model, &alone, &pass), trained[place], "{config:?}");
        }
    }
}

#[test]
fn dropout_follows_its_key_and_weights_their_seed() {
    for (config, model, tokenizer) in students() {
        let batch = batch(&encode(&tokenizer));
        let drop = |key| logits(&model, &batch, &Pass::train(batch.dropout(key)));
        assert_eq!(drop(5), drop(5), "{config:?}");
        assert_eq!(drop(5) == drop(6), has_no_dropout(&config), "{config:?}");
        let (again, _) = build(&config).unwrap();
        assert_eq!(
            logits(&again, &batch, &Pass::EVALUATE),
            logits(&model, &batch, &Pass::EVALUATE)
        );
    }
}

#[test]
fn embeddings_begin_as_the_teachers_in_both_copies() {
    let (teacher, _) = teacher();
    let words = numbers(&teacher.word_embeddings().value());
    let config = EmbeddingConfig::default();
    let (lstm, _) = build(&bi_lstm(config.clone(), Vocabulary::Teacher)).unwrap();
    let tensors = lstm.tensors().unwrap();
    assert_eq!(numbers(&tensors["embedding.weight"]), words);
    assert_eq!(numbers(&tensors["embedding_static.weight"]), words);

    let (bert, _) = build(&small_bert(config, Vocabulary::Teacher)).unwrap();
    let tensors = bert.tensors().unwrap();
    let table = |name: &str| numbers(&tensors[&format!("bert.embeddings.{name}.weight")]);
    assert_eq!(table("word_embeddings"), words);
    assert_eq!(table("word_embeddings_static"), words);
    let segments = teacher.encoder().unwrap().segment_embeddings().unwrap();
    assert_eq!(table("token_type_embeddings"), numbers(&segments.value()));
    assert_eq!(
        table("token_type_embeddings_static"),
        numbers(&segments.value())
    );
}

#[test]
fn random_copies_begin_equal() {
    let random = EmbeddingConfig {
        mode: EmbeddingMode::Multichannel,
        source: EmbeddingSource::Random,
        size: Some(5),
    };
    let (lstm, _) = build(&bi_lstm(random, Vocabulary::Words)).unwrap();
    let tensors = lstm.tensors().unwrap();
    let table = numbers(&tensors["embedding.weight"]);
    assert_eq!(table, numbers(&tensors["embedding_static.weight"]));
    assert!(table.iter().all(|v| v.abs() <= 0.25));
    assert!(table.iter().any(|v| v.abs() > 0.2));
    let bound = 1.0 / 6f32.sqrt();
    let recurrent = numbers(&tensors["lstm.weight_hh_l1_reverse"]);
    assert_eq!(recurrent.len(), 4 * 6 * 6);
    assert!(recurrent.iter().all(|v| v.abs() <= bound));
}

#[test]
fn word_vectors_reach_their_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vectors.txt");
    fs_err::write(&path, "great 1 2 3\nunseen 4 5 6\nfun 7 8 9\n").unwrap();
    let vectors = EmbeddingConfig {
        mode: EmbeddingMode::Static,
        source: EmbeddingSource::Vectors(path),
        size: None,
    };
    for (student, name) in [
        (
            bi_lstm(vectors.clone(), Vocabulary::Words),
            "embedding_static.weight",
        ),
        (
            small_bert(vectors, Vocabulary::Words),
            "bert.embeddings.word_embeddings_static.weight",
        ),
    ] {
        let (model, tokenizer) = build(&student).unwrap();
        let table = &model.tensors().unwrap()[name];
        let row = |word: &str| numbers(&table.get(tokenizer.id(word).unwrap() as usize).unwrap());
        assert_eq!(row("great"), [1.0, 2.0, 3.0]);
        assert_eq!(row("fun"), [7.0, 8.0, 9.0]);
        assert!(row("dull").iter().all(|v| v.abs() <= 0.25));
        assert_eq!(tokenizer.id("unseen"), None);
    }
}

#[test]
fn mixed_words_that_are_the_words_change_nothing() {
    let config = EmbeddingConfig::default();
    let (model, tokenizer) = build(&small_bert(config, Vocabulary::Teacher)).unwrap();
    let batch = batch(&encode(&tokenizer));
    let ids = Tensor::new(&*batch.ids, &Device::Cpu).unwrap();
    let words = model
        .word_embeddings()
        .value()
        .index_select(&ids, 0)
        .unwrap();
    let words = Tensor::cat(&[&words, &words], 1).unwrap();
    let mixed = model
        .forward_from(
            &batch,
            Input::Words(&words),
            Needs::NOTHING,
            &Pass::EVALUATE,
        )
        .unwrap();
    let plain = logits(&model, &batch, &Pass::EVALUATE);
    for (mixed, plain) in numbers(&mixed.logits).iter().zip(&plain) {
        assert!((mixed - plain).abs() < 1e-5);
    }
}

/// Numbers from `scripts/reference/lstm.py`: two bidirectional layers over sentences of four lengths.
#[test]
fn a_bi_lstm_reads_what_pytorch_reads() {
    let folder = tiny_bert().join("../lstm");
    let reference =
        candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
    let input = &reference["input"];
    let (tokens, size) = input.dims2().unwrap();
    let mut tensors = BTreeMap::from([("embedding.weight".to_owned(), input.clone())]);
    let is_weight = |name: &str| name.starts_with("weight_") || name.starts_with("bias_");
    for (name, tensor) in reference.iter().filter(|(name, _)| is_weight(name)) {
        tensors.insert(format!("lstm.{name}"), tensor.clone());
    }
    // A head that passes the states on: relu(x) - relu(-x) = x.
    let one = Tensor::eye(10, candle_core::DType::F32, &Device::Cpu).unwrap();
    let both = |dim| Tensor::cat(&[&one, &one.neg().unwrap()], dim).unwrap();
    let zeros = |len: usize| Tensor::zeros(len, candle_core::DType::F32, &Device::Cpu).unwrap();
    tensors.insert("fc1.weight".into(), both(0));
    tensors.insert("fc2.weight".into(), both(1));
    tensors.insert("fc1.bias".into(), zeros(20));
    tensors.insert("fc2.bias".into(), zeros(10));
    let config = BiLstmConfig {
        vocabulary_size: tokens,
        embedding_size: size,
        embedding_mode: EmbeddingMode::NonStatic,
        layer_count: 2,
        hidden_size: 5,
        head_size: 20,
        dropout: 0.1,
        target: Some(labels(10)),
    };
    let weights = Weights::from_tensors(&folder, tensors);
    let model = SentenceClassifier::from_weights(config, &weights, None, 0, &Device::Cpu).unwrap();

    let mut ids = 0..tokens as u32;
    let encodings = [7, 3, 5, 1].map(|length| Encoding {
        ids: ids.by_ref().take(length).collect(),
        segments: vec![0; length],
    });
    let states = logits(&model, &batch(&encodings), &Pass::EVALUATE);
    for (ours, theirs) in states.iter().zip(numbers(&reference["last"])) {
        assert!((ours - theirs).abs() < 1e-5, "{ours} and {theirs}");
    }
}

#[test]
fn a_bi_lstm_gives_logits_and_means_alone() {
    let (model, tokenizer) =
        build(&bi_lstm(EmbeddingConfig::default(), Vocabulary::Teacher)).unwrap();
    let batch = batch(&encode(&tokenizer));
    assert_eq!(model.provides(), Needs::NOTHING);
    assert!(model.encoder().is_none());
    assert_eq!((model.layer_count(), model.max_tokens()), (2, usize::MAX));
    assert_eq!(model.mean_embeddings(&batch).unwrap().dims(), [4, 12]);
    let message = |input: Input<'_>, needs| {
        let output = model.forward_from(&batch, input, needs, &Pass::EVALUATE);
        output.unwrap_err().to_string()
    };
    let hidden = Needs {
        hidden: HiddenStates::First,
        attention: false,
    };
    let attention = Needs {
        hidden: HiddenStates::None,
        attention: true,
    };
    let start = Tensor::zeros((1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    insta::assert_snapshot!(message(Input::Ids, hidden), @"a BiLSTM gives no hidden states; ask for logits from token ids alone, or use a transformer");
    insta::assert_snapshot!(message(Input::Ids, attention), @"a BiLSTM has no attention; ask for logits from token ids alone, or use a transformer");
    insta::assert_snapshot!(message(Input::Embeddings(&start), Needs::NOTHING), @"a BiLSTM takes no embedding sum from outside; ask for logits from token ids alone, or use a transformer");
    insta::assert_snapshot!(model.cut(&LayerSelection::Bottom(1), &Device::Cpu).unwrap_err(), @"layer selection: the teacher is a BiLSTM, 2 layers, width 6, and only a transformer's layers can be taken; describe the student by its sizes");
}

#[test]
fn students_that_cannot_be_are_explained() {
    let message = |text: &str| build(&toml(text)).unwrap_err().to_string();
    insta::assert_snapshot!(message("layers = { skip = 3 }"), @"layer selection: `skip = 3` does not fit a teacher with 2 layers; choose layers 0 to 1");
    insta::assert_snapshot!(message("bert = { hidden-size = 204, heads = 5 }"), @"student: 5 heads do not divide a hidden size of 204; change `heads` or `hidden-size`");
    insta::assert_snapshot!(message("small-bert = { layers = 0 }"), @"student: `layers` is 0; give a whole number above 0");
    insta::assert_snapshot!(message("bi-lstm = { dropout = 1.0 }"), @"student: `dropout` is 1; give a number in [0, 1)");
    insta::assert_snapshot!(message("bi-lstm = { vocabulary = \"words\" }"), @r#"student: the teacher has embeddings for its word pieces, not for words; set `vocabulary = "teacher"`, or another `source`"#);
    insta::assert_snapshot!(message("bi-lstm = { embeddings = { size = 300 } }"), @"student: `size` is 300, but the teacher's embeddings have 16 numbers to a word; leave `size` out");
    insta::assert_snapshot!(message(
        "bi-lstm = { embeddings = { source = { vectors = \"glove.txt\" } } }"
    ), @r#"student: word vectors are for words, not for the teacher's word pieces; set `vocabulary = "words"`, or `source = "teacher"`"#);

    let (model, tokenizer) = teacher();
    let (teacher, mut nothing) = (Some((&model, &tokenizer)), std::iter::empty());
    let other = labels(2);
    let mut message = |text: &str, teacher| {
        let built = toml(text).build(teacher, &mut nothing, &other, 0, &Device::Cpu);
        built.unwrap_err().to_string()
    };
    insta::assert_snapshot!(message("layers = { bottom = 1 }", None), @"student: `layers` takes its layers from a teacher, and there is none; name a teacher");
    insta::assert_snapshot!(message("layers = { bottom = 1 }", teacher), @r#"the teacher: the checkpoint predicts the labels ["negative", "neutral", "positive"], the task has the labels ["label 0", "label 1"]; give the task these labels in this order, or fine-tune from the base model"#);
    insta::assert_snapshot!(message("bert = {}", None), @"student: `bert` takes its vocabulary from a teacher, and there is none; name a teacher");
    insta::assert_snapshot!(message("bi-lstm = {}", None), @r#"student: `source = "teacher"` takes its embeddings from a teacher, and there is none; name a teacher"#);
    insta::assert_snapshot!(message(
        "bi-lstm = { embeddings = { source = \"random\" } }",
        None
    ), @r#"student: `vocabulary = "teacher"` takes its word pieces from a teacher, and there is none; name a teacher"#);
    insta::assert_snapshot!(message(
        "bi-lstm = { embeddings = { source = \"random\" }, vocabulary = \"words\" }",
        None
    ), @"student: a vocabulary of words needs the texts of the transfer set, and there are none");
}

#[test]
fn run_files_with_misspelt_students_are_explained() {
    let message = |text: &str| {
        toml::from_str::<StudentConfig>(text)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(message("lstm = {}"), @r#"
    TOML parse error at line 1, column 1
      |
    1 | lstm = {}
      | ^^^^
    unknown variant `lstm`, expected one of `layers`, `bert`, `small-bert`, `bi-lstm`
    "#);
    insta::assert_snapshot!(message("bi-lstm = { layer = 2 }"), @r#"
    TOML parse error at line 1, column 13
      |
    1 | bi-lstm = { layer = 2 }
      |             ^^^^^
    unknown field `layer`, expected one of `layers`, `hidden-size`, `head-size`, `dropout`, `embeddings`, `vocabulary`
    "#);
    insta::assert_snapshot!(message("bi-lstm = { embeddings = { mode = \"frozen\" } }"), @r#"
    TOML parse error at line 1, column 35
      |
    1 | bi-lstm = { embeddings = { mode = "frozen" } }
      |                                   ^^^^^^^^
    unknown variant `frozen`, expected one of `static`, `non-static`, `multichannel`
    "#);
}

#[test]
fn run_files_keep_every_setting() {
    for (config, ..) in students() {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml(&text), config, "{text}");
    }
    let config = toml("bi-lstm = { embeddings = { source = { vectors = \"v.txt\" } } }");
    assert_eq!(toml(&toml::to_string(&config).unwrap()), config);
}

#[test]
fn damaged_checkpoints_of_students_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = build(&bi_lstm(EmbeddingConfig::default(), Vocabulary::Teacher)).unwrap();
    model.save(folder.path()).unwrap();
    let path = folder.path().join("config.json");
    let whole = fs_err::read_to_string(&path).unwrap();
    let message = |from: &str, to: &str| {
        assert!(whole.contains(from), "{whole}");
        fs_err::write(&path, whole.replace(from, to)).unwrap();
        let error = SentenceClassifier::open(folder.path(), None, 0, &Device::Cpu).unwrap_err();
        let folder = folder.path().display().to_string();
        error.to_string().replace(&folder, "student")
    };
    insta::assert_snapshot!(message("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"), @"student/model.safetensors: tensor `lstm.weight_ih_l2` of shape [24, 12] is missing; is this the checkpoint that config.json describes?");
    insta::assert_snapshot!(message("\"hidden_size\": 6", "\"hidden_size\": 7"), @"student/model.safetensors: tensor `lstm.weight_ih_l0` has shape [24, 32], expected [28, 32] from config.json; the two files do not belong together");
    insta::assert_snapshot!(message("\"hidden_size\": 6,", ""), @"student/config.json: key `hidden_size`: found nothing, expected a whole number above 0; correct the key");
    insta::assert_snapshot!(message("\"multichannel\"", "\"both\""), @r#"student/config.json: key `embedding_mode`: found "both", expected `static`, `non-static` or `multichannel`; correct the key"#);
    insta::assert_snapshot!(message("\"limbeck-bilstm\"", "\"lstm\""), @"student/config.json: model type `lstm` is not supported here; use one of `bert`, `roberta`, `distilbert`, `mpnet`, or a student that limbeck wrote");

    let (model, _) = build(&small_bert(EmbeddingConfig::default(), Vocabulary::Teacher)).unwrap();
    model.save(folder.path()).unwrap();
    let error = MaskedLanguageModel::open(folder.path(), &Device::Cpu).unwrap_err();
    let shown = error
        .to_string()
        .replace(&folder.path().display().to_string(), "student");
    insta::assert_snapshot!(shown, @"student/config.json: model type `limbeck-bert-s` is not supported here; use one of `bert`, `roberta`, `distilbert`, `mpnet`, or a student that limbeck wrote");
}
