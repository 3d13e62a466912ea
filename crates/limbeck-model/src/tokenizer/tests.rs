use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn reference(name: &str) -> (Vec<Text>, Value) {
    let path = fixture(name).join("reference.json");
    let reference: Value = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    let texts = reference["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sentences| {
            let sentence = |i: usize| sentences[i].as_str().map(str::to_owned);
            Text {
                first: sentence(0).unwrap(),
                second: sentence(1),
            }
        });
    (texts.collect(), reference)
}

fn encode(tokenizer: &TextTokenizer, text: &Text, max_len: usize) -> Vec<u32> {
    tokenizer.encode(text, max_len).unwrap().ids
}

const ARCHITECTURES: [&str; 4] = ["tiny-bert", "tiny-distilbert", "tiny-roberta", "tiny-mpnet"];

#[test]
fn ids_and_segments_are_those_of_transformers() {
    for name in ARCHITECTURES {
        let (texts, reference) = reference(name);
        let tokenizer = TextTokenizer::open(&fixture(name)).unwrap();
        let encodings = tokenizer.encode_batch(&texts, 40).unwrap();
        for (i, encoding) in encodings.iter().enumerate() {
            assert_eq!(json!(encoding.ids), reference["ids"][i], "{name}, text {i}");
            if !reference["segments"].is_null() {
                assert_eq!(
                    json!(encoding.segments),
                    reference["segments"][i],
                    "{name}, text {i}"
                );
            }
        }
    }
}

#[test]
fn vocabulary_files_alone_encode_like_the_whole_tokenizer() {
    for name in ARCHITECTURES {
        let folder = tempfile::tempdir().unwrap();
        for file in [WORD_PIECES, BPE_VOCABULARY, BPE_MERGES, CONFIG] {
            let from = fixture(name).join(file);
            if from.is_file() {
                fs_err::copy(from, folder.path().join(file)).unwrap();
            }
        }
        let (texts, _) = reference(name);
        let (parts, whole) = (
            TextTokenizer::open(folder.path()).unwrap(),
            TextTokenizer::open(&fixture(name)).unwrap(),
        );
        for text in texts
            .iter()
            .chain(&[Text::single("a [MASK] film</s>"), Text::pair("", "ÀB")])
        {
            assert_eq!(
                parts.encode(text, 40).unwrap(),
                whole.encode(text, 40).unwrap(),
                "{name}: {text:?}"
            );
        }
        assert_eq!(parts.vocabulary_size(), whole.vocabulary_size());
        assert_eq!(
            (parts.pad_id(), parts.mask_id()),
            (whole.pad_id(), whole.mask_id())
        );
    }
}

#[test]
fn a_saved_tokenizer_is_the_same_tokenizer() {
    for name in ARCHITECTURES {
        let tokenizer = TextTokenizer::open(&fixture(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let again = TextTokenizer::open(folder.path()).unwrap();
        assert_eq!(
            tokenizer.fingerprint().unwrap(),
            again.fingerprint().unwrap(),
            "{name}"
        );
        for file in [WORD_PIECES, BPE_VOCABULARY, BPE_MERGES] {
            assert_eq!(
                fixture(name).join(file).is_file(),
                folder.path().join(file).is_file(),
                "{name}: {file}"
            );
        }
        fs_err::remove_file(folder.path().join(TOKENIZER)).unwrap();
        let parts = TextTokenizer::open(folder.path()).unwrap();
        for text in &reference(name).0 {
            assert_eq!(
                encode(&parts, text, 40),
                encode(&tokenizer, text, 40),
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn the_longer_sentence_is_cut_first() {
    let tokenizer = TextTokenizer::open(&fixture("tiny-bert")).unwrap();
    let content = |text: &Text, max_len: usize| {
        let encoding = tokenizer.encode(text, max_len).unwrap();
        assert!(encoding.ids.len() <= max_len);
        let second = encoding.segments.iter().filter(|&&s| s == 1).count();
        (encoding.ids.len() - second - 2, second.saturating_sub(1))
    };
    // From transformers' fast tokenizers: an odd token goes to the second of equally long sentences.
    let pair = Text::pair("a good film", "a bad movie");
    assert_eq!(content(&pair, 9), (3, 3));
    assert_eq!(content(&pair, 8), (2, 3));
    assert_eq!(content(&pair, 7), (2, 2));
    assert_eq!(content(&pair, 4), (0, 1));
    let pair = Text::pair("a good film is not bad", "a movie");
    assert_eq!(content(&pair, 9), (4, 2));
    assert_eq!(content(&pair, 6), (2, 1));
    let pair = Text::pair("a movie", "a good film is not bad");
    assert_eq!(content(&pair, 6), (1, 2));
    assert_eq!(
        encode(&tokenizer, &Text::single("a good film"), 4),
        [2, 5, 7, 3]
    );
    insta::assert_snapshot!(tokenizer.encode(&Text::pair("a", "film"), 3).unwrap_err(), @"a limit of 3 tokens leaves no room for text beside 3 special tokens; raise the maximum length");
}

#[test]
fn padding_and_truncation_settings_are_left_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole: Value =
        serde_json::from_slice(&fs_err::read(fixture("tiny-bert").join(TOKENIZER)).unwrap())
            .unwrap();
    whole["padding"] = json!({"strategy": {"Fixed": 30}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    whole["truncation"] =
        json!({"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    fs_err::write(folder.path().join(TOKENIZER), whole.to_string()).unwrap();
    let tokenizer = TextTokenizer::open(folder.path()).unwrap();
    assert_eq!(
        encode(&tokenizer, &Text::single("a good film is bad"), 40),
        [2, 5, 7, 9, 12, 8, 3]
    );
    assert_eq!(
        encode(&tokenizer, &Text::single("a good film is bad"), 5),
        [2, 9, 12, 8, 3],
        "cut on the left"
    );
}

#[test]
fn words_are_lower_cased_and_split_at_spaces() {
    let texts = [
        Text::single("A film , a Movie"),
        Text::pair("film  a", "once"),
    ];
    let tokenizer = TextTokenizer::train_words(&texts, 1).unwrap();
    assert_eq!(
        tokenizer.vocabulary(),
        ["[PAD]", "[UNK]", "a", "film", ",", "movie", "once"]
    );
    assert_eq!(encode(&tokenizer, &texts[0], 40), [2, 3, 4, 2, 5]);
    assert_eq!(encode(&tokenizer, &Text::single("the FILM"), 40), [1, 3]);
    assert_eq!(
        encode(&tokenizer, &Text::single(" "), 40),
        [1],
        "no sentence is empty"
    );
    let pair = tokenizer.encode(&texts[1], 40).unwrap();
    assert_eq!((pair.ids, pair.segments), (vec![3, 2, 6], vec![0, 0, 1]));
    assert_eq!(
        (
            tokenizer.pad_id(),
            tokenizer.unknown_id(),
            tokenizer.mask_id()
        ),
        (Some(0), Some(1), None)
    );
    assert_eq!(
        TextTokenizer::train_words(&texts, 2)
            .unwrap()
            .vocabulary_size(),
        4
    );

    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let again = TextTokenizer::open(folder.path()).unwrap();
    assert_eq!(
        again.fingerprint().unwrap(),
        tokenizer.fingerprint().unwrap()
    );
    assert_eq!(
        again.encode(&texts[1], 40).unwrap(),
        tokenizer.encode(&texts[1], 40).unwrap()
    );
}

#[test]
fn a_folder_without_a_usable_tokenizer_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let message = |folder: &Path| {
        let error = TextTokenizer::open(folder).unwrap_err();
        let source = error
            .source()
            .map(|source| format!("\n{source}"))
            .unwrap_or_default();
        format!("{error}{source}").replace(&folder.display().to_string(), "model")
    };
    let write =
        |name: &str, contents: &str| fs_err::write(folder.path().join(name), contents).unwrap();
    write("config.json", "{}");
    insta::assert_snapshot!(message(folder.path()), @r#"model: no tokenizer; wanted `tokenizer.json`, or `vocab.txt`, or `vocab.json` with `merges.txt`, found ["config.json"]"#);
    write(BPE_VOCABULARY, r#"{"a": 0}"#);
    write(BPE_MERGES, "#version: 0.2\na b c\n");
    insta::assert_snapshot!(message(folder.path()), @r#"
model/vocab.json: not a tokenizer's file; fetch it again
Merges text file invalid at line 1
"#);
    write(BPE_MERGES, "#version: 0.2\n");
    insta::assert_snapshot!(message(folder.path()), @"model/vocab.json: no token `<s>` (cls_token) among the 1 of the vocabulary; name the right one in `tokenizer_config.json`");
    write(WORD_PIECES, "[PAD]\n[CLS]\na\n");
    insta::assert_snapshot!(message(folder.path()), @"model/vocab.txt: no token `[SEP]` (sep_token) among the 3 of the vocabulary; name the right one in `tokenizer_config.json`");
    write(TOKENIZER, r#"{"version": "1.0", "model": "#);
    insta::assert_snapshot!(message(folder.path()), @r#"
model/tokenizer.json: not a tokenizer's file; fetch it again
EOF while parsing a value at line 1 column 28
"#);
    insta::assert_snapshot!(message(&folder.path().join("none")).replace(&folder.path().display().to_string(), "model"), @"failed to read directory `model`: No such file or directory (os error 2)");
}

#[test]
fn the_real_minilm_tokenizer_encodes_as_published() {
    let Some(folder) = std::env::var_os("LIMBECK_MINILM_DIR") else {
        println!("skipped: LIMBECK_MINILM_DIR is not set");
        return;
    };
    let tokenizer = TextTokenizer::open(Path::new(&folder)).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 30522);
    // From transformers: "Hello world!" and a pair.
    assert_eq!(
        encode(&tokenizer, &Text::single("Hello world!"), 128),
        [101, 7592, 2088, 999, 102]
    );
    assert_eq!(
        encode(&tokenizer, &Text::pair("hello", "world"), 128),
        [101, 7592, 102, 2088, 102]
    );
    assert_eq!(
        (tokenizer.pad_id(), tokenizer.mask_id()),
        (Some(0), Some(103))
    );
    let long = "film ".repeat(1000);
    assert_eq!(encode(&tokenizer, &Text::single(long), 128).len(), 128);
}
