//! Layer maps, and what is refused before the first step.

use limbeck_model::SentenceClassifier;
use limbeck_train::{
    AnnealedLogitsConfig, AttentionScoresConfig, FeatureMapsConfig, HiddenStatesConfig, LayerMap,
    MeanOver, ObjectiveConfig, Pair, PatientLayers, PkdConfig, StateRelationConfig, TrainConfig,
    WeightedSum,
};

use super::bert;

fn build(
    objective: ObjectiveConfig,
    student: &SentenceClassifier,
    teacher: &SentenceClassifier,
) -> Result<WeightedSum, String> {
    let pair = Pair {
        student,
        teacher: Some(teacher),
        seed: 1,
    };
    WeightedSum::new(&[objective], &pair).map_err(|error| error.to_string())
}

/// Pairs of layers, read off the names of the projections that differing widths need.
fn pairs(layers: PatientLayers, student: usize, teacher: usize) -> String {
    let objective = ObjectiveConfig::Pkd(PkdConfig {
        layers,
        ..PkdConfig::default()
    });
    match build(objective, &bert(student, 4, 2), &bert(teacher, 6, 2)) {
        Ok(sum) => {
            let parameters = sum.parameters();
            let names = parameters.iter().map(|p| {
                let name = p.name().strip_prefix("pkd.projection.").unwrap();
                name.to_owned()
            });
            names.collect::<Vec<_>>().join(" ")
        }
        Err(error) => error,
    }
}

#[test]
fn patient_layers_are_those_of_the_paper_and_of_its_command_line() {
    use PatientLayers::{AsReleased, Last, List, Skip};
    assert_eq!(pairs(Skip, 6, 12), "1-2 2-4 3-6 4-8 5-10");
    assert_eq!(pairs(Last, 6, 12), "1-7 2-8 3-9 4-10 5-11");
    assert_eq!(pairs(AsReleased, 6, 12), "1-2 2-4 3-6 4-8 5-10");
    assert_eq!(pairs(Skip, 6, 24), "1-4 2-8 3-12 4-16 5-20");
    assert_eq!(pairs(AsReleased, 6, 24), "1-1 2-2 3-3 4-4 5-5");
    assert_eq!(pairs(AsReleased, 3, 12), "1-10 2-11");
    assert_eq!(pairs(Skip, 3, 6), "1-2 2-4");
    assert_eq!(pairs(Last, 3, 6), "1-4 2-5");
    assert_eq!(pairs(Skip, 4, 6), "1-1 2-3 3-4");
    assert_eq!(pairs(List(vec![5, 1]), 3, 6), "1-5 2-1");
    insta::assert_snapshot!(pairs(AsReleased, 3, 6), @"`layers`: found as-released for a student of 3 and a teacher of 6 layers, expected 6 or 3 of 12 layers, or 6 of 24; choose `skip`, `last` or `{ list = [..] }`");
    insta::assert_snapshot!(pairs(Skip, 1, 6), @"`layers`: found skip for a student of 1 and a teacher of 6 layers, expected a student of two layers or more, no deeper than its teacher: the last layer learns from logits");
    insta::assert_snapshot!(pairs(List(vec![6]), 3, 6), @"`layers`: found [6] for a student of 3 and a teacher of 6 layers, expected 1 to 2 of the teacher's layers 1 to 5");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let (three, six) = (bert(3, 6, 2), bert(6, 6, 2));
    let message =
        |objective, student: &SentenceClassifier| build(objective, student, &six).err().unwrap();
    let scores = || ObjectiveConfig::AttentionScores(AttentionScoresConfig::default());
    let features = |layers| {
        ObjectiveConfig::FeatureMaps(FeatureMapsConfig {
            weight: 1.0,
            layers,
        })
    };
    let fsp = ObjectiveConfig::Fsp(StateRelationConfig {
        weight: 1.0,
        layers: LayerMap::Final,
    });
    let annealed = ObjectiveConfig::AnnealedLogits(AnnealedLogitsConfig {
        epochs: 3,
        ..AnnealedLogitsConfig::default()
    });
    insta::assert_snapshot!(message(scores(), &bert(3, 6, 3)), @"`attention-scores`: found 3 heads of the student and 2 of the teacher, expected as many; give the student the teacher's number of heads, or leave attention out");
    insta::assert_snapshot!(message(scores(), &bert(4, 6, 2)), @"`layers`: found uniform for a student of 4 and a teacher of 6 layers, expected a student's depth that divides the teacher's, or `{ pairs = [[1, 2], ..] }`");
    insta::assert_snapshot!(message(features(LayerMap::Pairs(vec![[0, 0]])), &three), @"`layers`: found [[0, 0]] for a student of 3 and a teacher of 6 layers, expected pairs of layers 1..3 and 1..6");
    insta::assert_snapshot!(message(fsp, &three), @"`fsp`: found layers [[3, 6]], expected two pairs of layers or more, between which something flows");
    insta::assert_snapshot!(message(annealed, &three), @"`max-temperature`: found 7 in 3 epochs, expected 1 or more, and no more than there are epochs");
    let twice = [(); 2].map(|()| ObjectiveConfig::HiddenStates(HiddenStatesConfig::default()));
    let pair = Pair {
        student: &three,
        teacher: Some(&six),
        seed: 1,
    };
    insta::assert_snapshot!(WeightedSum::new(&twice, &pair).err().unwrap(), @"`objective`: found `hidden-states.projection` twice, expected an objective with projections once; name all its layers there");
    insta::assert_snapshot!(WeightedSum::new(&[scores()], &Pair::alone(&three)).err().unwrap(), @"objective `attention-scores` learns from a teacher, and there is none; run `limbeck distill` with one, or remove the objective");
}

#[test]
fn annealing_needs_to_know_its_phase() {
    let (three, six) = (bert(3, 6, 2), bert(6, 6, 2));
    let annealed = ObjectiveConfig::AnnealedLogits(AnnealedLogitsConfig::default());
    let sum = build(annealed, &three, &six).unwrap();
    let phase = |epochs| {
        sum.check_settings(&TrainConfig {
            epochs,
            ..TrainConfig::default()
        })
    };
    phase(14.0).unwrap();
    insta::assert_snapshot!(phase(4.0).unwrap_err(), @"`annealed-logits.epochs`: found 14, expected the phase's epochs, 4");
}

#[test]
fn a_mean_over_tokens_needs_whole_batches_or_a_padded_size() {
    let (three, six) = (bert(3, 6, 2), bert(6, 6, 2));
    let states = |mask, padded_tokens| {
        ObjectiveConfig::HiddenStates(HiddenStatesConfig {
            mask,
            padded_tokens,
            ..HiddenStatesConfig::default()
        })
    };
    let refused = |objective, token_budget, max_tokens| {
        let config = TrainConfig {
            token_budget,
            max_tokens,
            ..TrainConfig::default()
        };
        let sum = build(objective, &three, &six).unwrap();
        sum.check_settings(&config).err().map(|e| e.to_string())
    };
    let relation = StateRelationConfig::default;
    for objective in [
        states(MeanOver::Valid, 128),
        ObjectiveConfig::AttentionScores(AttentionScoresConfig::default()),
        ObjectiveConfig::FeatureMaps(FeatureMapsConfig::default()),
        ObjectiveConfig::CosineStates(relation()),
        ObjectiveConfig::Mmd(relation()),
    ] {
        assert_eq!(refused(objective.clone(), 0, 128), None);
        let message = refused(objective, 60, 128).unwrap();
        assert!(
            message.starts_with("`token-budget`: found 60, expected 0: `"),
            "{message}"
        );
    }
    // A mean over sentences, or over as many tokens however they are cut.
    assert_eq!(refused(ObjectiveConfig::Fsp(relation()), 60, 128), None);
    assert_eq!(refused(states(MeanOver::Paper, 128), 60, 128), None);
    insta::assert_snapshot!(refused(states(MeanOver::Paper, 64), 0, 128).unwrap(), @"`padded-tokens`: found 64 with `hidden-states`, expected `max-tokens`, 128, or more");
}
