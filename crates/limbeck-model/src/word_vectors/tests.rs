use proptest::collection::vec;
use proptest::prelude::*;

use super::binary::read_binary;
use super::npy::read_npy;
use super::text::read_text;
use super::word_list::parse as parse_words;
use super::*;

const PATH: &str = "vectors";

fn text(contents: &str) -> Result<WordVectors, ModelError> {
    read_text(contents.as_bytes(), Path::new(PATH), Keep::All)
}

fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn array(bytes: &[u8], words: &str) -> Result<WordVectors, ModelError> {
    let words = parse_words(words.as_bytes(), Path::new("words.txt"))?;
    read_npy(bytes, Path::new(PATH), &words, Keep::All)
}

fn binary(vectors: &WordVectors) -> Vec<u8> {
    let mut bytes = format!("{} {}\n", vectors.words.len(), vectors.dimensions).into_bytes();
    for (word, values) in vectors
        .words
        .iter()
        .zip(vectors.values.chunks(vectors.dimensions))
    {
        bytes.extend(format!("{word} ").as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn all_formats_hold_the_same_vectors() {
    let glove = text("the 0.5 -1 2e-3\n. . . 1 2 3\nthe 9 9 9\r\n").unwrap();
    assert_eq!(glove.words(), ["the", ". . ."]);
    assert_eq!(glove.values(), [0.5, -1.0, 2e-3, 1.0, 2.0, 3.0]);
    assert_eq!(glove.vector(". . ."), Some(&[1.0, 2.0, 3.0][..]));
    let glove = text("the 0.5 -1 2e-3\na 1 2 3\n").unwrap();
    assert_eq!(text("2 3\nthe 0.5 -1 2e-3 \na 1 2 3").unwrap(), glove);
    assert_eq!(
        read_binary(&*binary(&glove), Path::new(PATH), Keep::All).unwrap(),
        glove
    );
    let floats: Vec<u8> = glove
        .values()
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let doubles: Vec<u8> = glove
        .values()
        .iter()
        .flat_map(|&value| f64::from(value).to_le_bytes())
        .collect();
    assert_eq!(
        array(&npy("<f4", "False", "(2, 3)", &floats), "the\na\n").unwrap(),
        glove
    );
    assert_eq!(
        array(&npy("<f8", "False", "(2, 3)", &doubles), "the\na").unwrap(),
        glove
    );
}

#[test]
fn files_are_read_by_their_names_and_only_wanted_words_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let vectors = text("the 0.5 -1\na 1 2\nan 3 4\n").unwrap();
    let floats: Vec<u8> = vectors
        .values()
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs_err::write(at("glove.txt"), "the 0.5 -1\na 1 2\nan 3 4\n").unwrap();
    fs_err::write(at("vectors.bin"), binary(&vectors)).unwrap();
    fs_err::write(at("vectors.npy"), npy("<f4", "False", "(3, 2)", &floats)).unwrap();
    fs_err::write(at("words.json"), r#"["the", "a", "an"]"#).unwrap();
    fs_err::write(at("rows.json"), r#"{"an": 2, "the": 0, "a": 1}"#).unwrap();
    let wanted = HashSet::from(["an".to_owned(), "none".to_owned()]);
    for (name, words) in [
        ("glove.txt", None),
        ("vectors.bin", None),
        ("vectors.npy", Some("words.json")),
        ("vectors.npy", Some("rows.json")),
    ] {
        let words = words.map(at);
        let open = |keep| WordVectors::open(&at(name), words.as_deref(), keep).unwrap();
        assert_eq!(open(Keep::All), vectors, "{name}");
        let kept = open(Keep::These(&wanted));
        assert_eq!(
            (kept.words(), kept.values()),
            (&["an".to_owned()][..], &[3.0, 4.0][..]),
            "{name}"
        );
    }
    assert!(WordVectors::open(&at("vectors.npy"), None, Keep::All).is_err());
    assert!(
        WordVectors::open(&at("none.txt"), None, Keep::All)
            .unwrap_err()
            .to_string()
            .contains("none.txt")
    );
}

#[test]
fn a_random_row_depends_on_word_and_seed_alone() {
    let vectors = text("the 0.5 -1 2\n").unwrap();
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let table = vectors.embedding_table(&words(&["the", "xyz", "abc"]), 7);
    assert_eq!((table.known_count, table.dimensions), (1, 3));
    assert_eq!(table.values[..3], [0.5, -1.0, 2.0]);
    let other = vectors.embedding_table(&words(&["abc", "xyz"]), 7);
    assert_eq!(table.values[3..6], other.values[3..]);
    assert_eq!(table.values[6..], other.values[..3]);
    assert_ne!(
        other.values,
        vectors.embedding_table(&words(&["abc", "xyz"]), 8).values
    );

    let many: Vec<String> = (0..4000).map(|i| format!("word{i}")).collect();
    let values = vectors.embedding_table(&many, 1).values;
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|v| v * v).sum::<f32>() / count;
    assert!(values.iter().all(|v| (-0.25..0.25).contains(v)));
    assert!(
        mean.abs() < 0.005 && (variance - 0.25f32.powi(2) / 3.0).abs() < 5e-4,
        "{mean} {variance}"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let explain = |result: Result<WordVectors, ModelError>| result.unwrap_err().to_string();
    insta::assert_snapshot!(explain(text("")), @"vectors: empty, wanted a word and its numbers per line");
    insta::assert_snapshot!(explain(text("the 1 2\na 1\n")), @"vectors:2: 1 of 2 numbers after the word");
    insta::assert_snapshot!(explain(text("the 1 2\na 1 two\n")), @"vectors:2: `two` is not a number");
    insta::assert_snapshot!(explain(text("the 1 2\na 1 2 3\n")), @"vectors:2: more than 2 numbers after the word");
    insta::assert_snapshot!(explain(text("the 1 NaN\n")), @"vectors:1: `NaN` is not a number");
    insta::assert_snapshot!(explain(text("3 2\nthe 1 2\n")), @"vectors: holds 1 of the 3 words that its first line promises; fetch the file again");
    insta::assert_snapshot!(explain(text("the\n")), @"vectors:1: 0 of 1 numbers after the word");
    let bin = |bytes: &[u8]| explain(read_binary(bytes, Path::new(PATH), Keep::All));
    insta::assert_snapshot!(bin(b"the 1 2\n"), @"vectors: does not begin with the numbers of words and of dimensions, as word2vec's binary files do");
    insta::assert_snapshot!(bin(b"2 1\na \0\0\0\0\nb \0\0"), @"vectors: ends at word 1 of 2; fetch the file again");
    insta::assert_snapshot!(explain(array(b"PK\x03\x04 and more", "a")), @"vectors: not a NumPy array");
    insta::assert_snapshot!(explain(array(&npy("<i8", "False", "(1, 1)", &[]), "a")), @"vectors: numbers of type <i8, wanted `<f4` or `<f8`");
    insta::assert_snapshot!(explain(array(&npy("<f4", "True", "(1, 1)", &[]), "a")), @"vectors: stored column by column; save it again from `numpy.ascontiguousarray`");
    insta::assert_snapshot!(explain(array(&npy("<f4", "False", "(4,)", &[]), "a")), @"vectors: its shape is not (words, dimensions) with 1 to 65536 dimensions");
    insta::assert_snapshot!(explain(array(&npy("<f4", "False", "(2, 1)", &[0; 8]), "a")), @"vectors: 2 rows, but the list of words has 1");
    insta::assert_snapshot!(explain(array(&npy("<f4", "False", "(2, 1)", &[0; 6]), "a\nb")), @"vectors: ends at row 1 of 2; fetch the file again");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400), head in 0usize..6) {
        let path = Path::new(PATH);
        let heads: [&[u8]; 6] = [b"", b"2 2\n", b"a 1 2\n", b"9999999999 60000\n", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00\x40\0\0\0{'descr': '<f4',"];
        let bytes = [heads[head], &bytes].concat();
        for result in [
            read_text(&*bytes, path, Keep::All),
            read_binary(&*bytes, path, Keep::All),
            array(&bytes, "a\nb"),
        ].into_iter().flatten() {
            prop_assert_eq!(result.values.len(), result.words.len() * result.dimensions);
            prop_assert!(result.values.iter().all(|value| value.is_finite()));
        }
        let _ = parse_words(&bytes, Path::new("words.json"));
    }

    #[test]
    fn text_like_lines_are_read_or_refused(lines in "([a-z0-9.\u{e9}-]{0,3}[ \t]{0,2}){0,4}(\n([a-z0-9.-]{0,3}[ \t]{0,2}){0,4}){0,4}") {
        if let Ok(result) = text(&lines) {
            prop_assert_eq!(result.values.len(), result.words.len() * result.dimensions);
        }
    }

    #[test]
    fn vectors_survive_being_written_as_text(rows in vec(("[a-z]{1,6}", vec(-9.0f32..9.0, 3)), 1..20)) {
        let lines: Vec<String> = rows.iter().map(|(word, v)| format!("{word} {} {} {}", v[0], v[1], v[2])).collect();
        let read = text(&lines.join("\n")).unwrap();
        for (word, vector) in rows.iter().rev() {
            let first = rows.iter().find(|(other, _)| other == word).map(|(_, vector)| vector);
            prop_assert_eq!(read.vector(word), first.map(Vec::as_slice), "{:?}", vector);
        }
        prop_assert_eq!(read_binary(&*binary(&read), Path::new(PATH), Keep::All).unwrap(), read);
    }
}
