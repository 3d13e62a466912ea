//! GAN-BERT from a run file: few labels, unlabelled texts, and its model as any other.

use serde_json::Value;

use crate::place::Place;

const GAN: &str = "--set step={gan-bert={classes=\"k+2\",noise-size=8,learning-rate=1e-3}} --set data.labelled={fraction=0.5}";

#[test]
fn a_model_of_gan_bert_is_evaluated_asked_and_taught_from_like_any_other() {
    let place = Place::new();
    let more = "text\na good film .\na dull plot\n\nsnow and story\n";
    place.write("more.csv", more);
    let unlabelled = "--set data.transfer=[{path=\"more.csv\",columns={text=\"text\"}}]";
    place.succeeds(&format!(
        "finetune finetune.toml --out runs/gan {GAN} {unlabelled}"
    ));
    let config = place.json("runs/gan/model/config.json");
    assert_eq!(config["limbeck_head"], "gan-k+2");
    assert_eq!(config["id2label"].as_object().unwrap().len(), 3);
    let log = place.log("runs/gan");
    let step = log.iter().find(|record| record["kind"] == "step").unwrap();
    for term in [
        "supervised",
        "real",
        "generated",
        "generator",
        "feature-matching",
    ] {
        assert!(step["terms"][term].is_f64(), "{term} in {step}");
    }
    // Six epochs of 160 rows and three texts in batches of 16: nothing is left out.
    assert_eq!(
        place.json("runs/gan/metrics.json")["training"]["last"]["step"],
        66
    );
    let settings = place.text("runs/gan/config.toml");
    assert!(
        settings.contains("rest = \"unlabelled\"") && settings.contains("noise-size = 8"),
        "{settings}"
    );
    let inputs = &place.json("runs/gan/provenance.json")["inputs"];
    assert!(inputs["transfer-1"]["sha256"].is_string());

    // Its settings, given back, give the same run.
    place.succeeds("finetune runs/gan/config.toml --out runs/again");
    assert_eq!(place.results("runs/again"), place.results("runs/gan"));

    place.succeeds("evaluate runs/gan --data finetune.toml");
    place.succeeds("distill distill.toml --teacher runs/gan --out runs/student --force-teacher");
    assert_eq!(
        place.json("runs/student/metrics.json")["labels"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn a_model_of_gan_bert_is_attacked_over_its_labels_or_over_all_its_classes() {
    let place = Place::new();
    place.succeeds(&format!("finetune finetune.toml --out runs/gan {GAN}"));
    let attack = "attack runs/gan --data finetune.toml --split test --recipe deep-word-bug";
    place.succeeds(&format!("{attack} --out runs/labels"));
    place.succeeds(&format!("{attack} --gan-classes all --out runs/all"));
    let labels = |run: &str| {
        let metrics = place.json(&format!("runs/{run}/metrics.json"));
        metrics["labels"].as_array().unwrap().clone()
    };
    assert_eq!(labels("labels").len(), 3);
    assert_eq!(labels("all")[3..], ["[unknown]", "[fake]"]);
    assert!(
        place
            .text("runs/all/config.toml")
            .contains("gan-classes = \"all\"")
    );
    assert!(
        !place
            .text("runs/labels/config.toml")
            .contains("gan-classes")
    );
    // The labels' share of the mass, shared out among them, is what there was among the labels alone.
    let (few, all) = (
        probabilities(&place, "runs/labels"),
        probabilities(&place, "runs/all"),
    );
    assert!(few.len() > 5 && few.len() == all.len());
    for (few, all) in few.iter().zip(&all) {
        assert_eq!((few.len(), all.len()), (3, 5));
        let share: f64 = all[..3].iter().sum();
        assert!(share < 1.0 - 1e-6, "{all:?}");
        for (few, all) in few.iter().zip(all) {
            assert!((few - all / share).abs() < 1e-5, "{few} {all}");
        }
    }

    place.succeeds("finetune finetune.toml --out runs/plain");
    let plain = place.fails("attack runs/plain --data finetune.toml --recipe deep-word-bug --gan-classes all --out runs/x");
    assert!(
        plain.contains("`--gan-classes all`") && plain.contains("step.gan-bert"),
        "{plain}"
    );
}

/// Of each attacked text before the attack.
fn probabilities(place: &Place, run: &str) -> Vec<Vec<f64>> {
    let log = place.text(&format!("{run}/attack.jsonl"));
    let rows = log.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        serde_json::from_value(record["original-probabilities"].clone()).unwrap()
    });
    rows.collect()
}

#[test]
fn the_control_learns_from_the_same_labels_alone() {
    let place = Place::new();
    place.succeeds("finetune finetune.toml --out runs/control --set data.labelled={fraction=0.5,rest=\"left-out\"}");
    let steps = place.json("runs/control/metrics.json")["training"]["last"]["step"]
        .as_u64()
        .unwrap();
    assert!(
        (24..=42).contains(&steps),
        "{steps} steps of about 80 rows, six times over"
    );
    assert!(place.json("runs/control/model/config.json")["limbeck_head"].is_null());
}

#[test]
fn what_gan_bert_cannot_do_is_said_before_the_run() {
    let place = Place::new();
    for (settings, expected) in [
        (
            "--set data.labelled={fraction=0.5}",
            "no gold label, but objective `hard-labels` needs one",
        ),
        (
            "--set data.labelled={fraction=2.0}",
            "`labelled.fraction`: found 2, expected a share in (0, 1]",
        ),
        (
            "--set step={gan-bert={}} --set student={bi-lstm={}}",
            "and this is a BiLSTM",
        ),
        (
            "--set step={gan-bert={}} --set train.token-budget=99",
            "`token-budget`: found 99, expected 0",
        ),
        (
            "--set step={gan-bert={updates=\"both\"}}",
            "unknown variant `both`",
        ),
    ] {
        let message = place.fails(&format!("finetune finetune.toml --out runs/bad {settings}"));
        assert!(message.contains(expected), "{settings}: {message}");
        assert!(place.is_untouched("runs/bad"), "{settings}");
    }
}
