//! Word vectors from the command line: what is printed, and what is said about bad input.

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::Place;

const VECTORS: &str = "good 1 0 0\nfine 0.8 0.6 0\nbad 0.96 0.28 0\nchair 0 0 1\nstool 0 0.1 1\n";

fn place() -> Place {
    let place = Place::new();
    place.write("vectors.txt", VECTORS);
    place.write("synonyms.txt", "good fine\n");
    place.write("antonyms.txt", "good bad\n");
    place.write(
        "ratings.tsv",
        "good\tfine\t9\ngood\tbad\t1\nchair\tstool\t8\n",
    );
    place
}

#[test]
fn neighbours_are_the_same_from_text_and_from_a_store() {
    let place = place();
    place.succeeds("-q vectors import --vectors vectors.txt --out store --neighbours 2");
    let text = place.succeeds("vectors neighbours --vectors vectors.txt good chair -k 2");
    assert_snapshot!(text, @"
    good	bad	0.9600
    good	fine	0.8000
    chair	stool	0.9950
    chair	good	0.0000
    ");
    assert_eq!(
        text,
        place.succeeds("vectors neighbours --vectors store good chair -k 2")
    );
    let json: Value = serde_json::from_str(
        &place.succeeds("vectors neighbours --vectors store stool -k 1 --json"),
    )
    .unwrap();
    assert_eq!(json[0]["neighbours"][0]["word"], "chair");
    place.write("list.tsv", "good\tfine well\n");
    assert_snapshot!(place.succeeds("vectors neighbours --vectors list.tsv good"), @"
    good	fine
    good	well
    ");
}

#[test]
fn counter_fitting_shows_before_and_after() {
    let place = place();
    let fit = "-q vectors counter-fit --vectors vectors.txt --synonyms synonyms.txt --antonyms antonyms.txt --simlex ratings.tsv";
    let shown = place.succeeds(&format!("{fit} --out fitted"));
    let (table, last) = shown.trim_end().rsplit_once('\n').unwrap();
    assert_snapshot!(table, @"
    fitted to 1 pairs of synonyms, 1 of antonyms, 3 of near words
                                       before           after
    spearman, 3 of 3 pairs             -0.5000          0.5000
    antonyms among 10 nearest          100.00 %         100.00 %
    antonyms among 50 nearest          100.00 %         100.00 %
    ");
    assert!(
        last.starts_with("fitted: 5 words of 3 dimensions, 4 neighbours each, in "),
        "{last}"
    );
    assert_snapshot!(place.succeeds("vectors evaluate --vectors fitted --simlex ratings.tsv --antonyms antonyms.txt"), @"
    spearman, 3 of 3 pairs             0.5000
    antonyms among 10 nearest          100.00 %
    antonyms among 50 nearest          100.00 %
    ");
    let json: Value =
        serde_json::from_str(&place.succeeds(&format!("{fit} --out again --json"))).unwrap();
    assert_eq!(json["fit"]["synonym-pairs"], 1);
    assert_eq!(
        place.read("fitted/vectors.lbv"),
        place.read("again/vectors.lbv")
    );
    assert_eq!(
        place.read("fitted/neighbours.lbn"),
        place.read("again/neighbours.lbn")
    );
}

#[test]
fn bad_vectors_are_explained() {
    let place = place();
    place.write("ragged.txt", "good 1 0 0\nbad 1 0\n");
    place.write("three.txt", "good bad worse\n");
    assert_snapshot!(place.fails("vectors import --vectors none.txt --out store"), @"
    error: failed to open file `none.txt`: No such file or directory (os error 2)
    exit code 1
    ");
    assert_snapshot!(place.fails("vectors import --vectors ragged.txt --out store"), @"
    error: ragged.txt:2: 2 of 3 numbers after the word
    exit code 1
    ");
    assert_snapshot!(place.fails("vectors counter-fit --vectors vectors.txt --antonyms three.txt --out store"), @"
    error: three.txt:1: 3 words in `good bad worse`, expected the two of a pair
    exit code 1
    ");
    assert_snapshot!(place.fails("vectors counter-fit --vectors vectors.txt --out store"), @"
    error: nothing to fit to; give `--wordnet`, `--synonyms` or `--antonyms`
    exit code 2
    ");
    assert_snapshot!(place.fails("vectors counter-fit --vectors vectors.txt --antonyms antonyms.txt --radius 3 --out store"), @"
    error: word vectors: `radius`: found 3, expected 0 to 2
    exit code 2
    ");
    assert!(place.is_untouched("store"));
    place.succeeds("-q vectors import --vectors vectors.txt --out store --neighbours 2");
    let mut bytes = place.read("store/vectors.lbv");
    bytes.truncate(150);
    place.write("store/vectors.lbv", bytes);
    assert_snapshot!(place.fails("vectors neighbours --vectors store good"), @"
    error: store/vectors.lbv: 150 bytes, expected 249 for its 5 rows; make it again
    exit code 1
    ");
}
