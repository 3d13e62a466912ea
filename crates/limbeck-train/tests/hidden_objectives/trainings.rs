//! Whole trainings: stopped and gone on with, on any number of threads, with a stored teacher; and what is refused.

use std::path::Path;

use limbeck_model::{Encoding, HiddenStates, Needs, SentenceClassifier};
use limbeck_text::{Example, Metric, Text};
use limbeck_train::{
    AttentionScoresConfig, CacheHeader, EncodedSet, Folders, HandsOn, HiddenStatesConfig,
    LiveTeacher, ObjectiveConfig, Observer, Pair, Phase, PkdConfig, Plain, Run, Schedule,
    SoftReduction, SoftTargetsConfig, StepEvent, StoredTeacher, Teacher, TrainConfig, TrainError,
    WeightedSum, train_phases,
};

use super::{bert, open, sentences};

/// Collects losses and optionally stops after some steps.
#[derive(Default)]
struct Watcher {
    losses: Vec<(u64, f64)>,
    stop_after: Option<u64>,
}

impl Observer for Watcher {
    fn on_step(&mut self, event: &StepEvent) -> Result<(), TrainError> {
        self.losses.push((event.step, event.loss));
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.stop_after == self.losses.last().map(|(step, _)| *step)
    }
}

fn set() -> EncodedSet {
    sentences(&(0..40).collect::<Vec<_>>())
}

/// Phases of objectives, with their settings.
type Recipe = Vec<(Vec<ObjectiveConfig>, TrainConfig)>;

fn config(epochs: f64, learning_rate: f64) -> TrainConfig {
    TrainConfig {
        epochs,
        learning_rate,
        batch_size: 8,
        evaluate_every: 4,
        ..TrainConfig::default()
    }
}

/// `TinyBERT`'s two phases at toy sizes: constant rate on states and scores, then the teacher's distribution.
fn tiny_bert() -> Recipe {
    let soft = SoftTargetsConfig {
        reduction: SoftReduction::CrossEntropy,
        ..SoftTargetsConfig::default()
    };
    let first = TrainConfig {
        schedule: Schedule::Constant,
        warmup_fraction: 0.0,
        ..config(4.0, 3e-3)
    };
    vec![
        (
            vec![
                ObjectiveConfig::HiddenStates(HiddenStatesConfig::default()),
                ObjectiveConfig::AttentionScores(AttentionScoresConfig::default()),
            ],
            first,
        ),
        (vec![ObjectiveConfig::SoftTargets(soft)], config(2.0, 2e-3)),
    ]
}

fn patient() -> Recipe {
    vec![(
        vec![
            ObjectiveConfig::Pkd(PkdConfig::default()),
            ObjectiveConfig::SoftTargets(SoftTargetsConfig::default()),
        ],
        config(3.0, 2e-3),
    )]
}

fn run_in(
    folder: &Path,
    recipe: &Recipe,
    teacher: &dyn Teacher,
    stop_after: Option<u64>,
) -> (Result<SentenceClassifier, TrainError>, Watcher) {
    // Narrower than its teacher, so that there are projections to keep.
    let (set, student, model) = (set(), bert(2, 8, 2), open("tiny-bert-teacher"));
    let pair = Pair {
        student: &student,
        teacher: Some(&model),
        seed: 3,
    };
    let objectives: Vec<WeightedSum> = recipe
        .iter()
        .map(|(objectives, _)| WeightedSum::new(objectives, &pair).unwrap())
        .collect();
    assert!(!objectives[0].parameters().is_empty());
    let phases = objectives
        .iter()
        .zip(recipe)
        .map(|(objective, (_, config))| Phase {
            run: Run {
                train: &set,
                dev: &set,
                metrics: &[Metric::Accuracy],
                objective,
                step: &Plain,
                teacher: Some(teacher),
                config,
                seed: 3,
            },
            hands_on: HandsOn::Last,
        });
    let phases: Vec<Phase<'_>> = phases.collect();
    let (best, last, checkpoint) = (
        folder.join("model"),
        folder.join("last"),
        folder.join("checkpoint"),
    );
    let folders = Folders {
        best: &best,
        last: &last,
        checkpoint: &checkpoint,
    };
    let mut watcher = Watcher {
        stop_after,
        ..Watcher::default()
    };
    let result = train_phases(&student, &phases, folders, &mut watcher);
    (result.map(|_| student), watcher)
}

fn live() -> LiveTeacher {
    LiveTeacher::new(open("tiny-bert-teacher"), set())
}

fn last_bytes(folder: &Path) -> Vec<u8> {
    fs_err::read(folder.join("last/model.safetensors")).unwrap()
}

#[test]
fn both_phases_of_tinybert_go_on_where_they_stopped() {
    let whole = tempfile::tempdir().unwrap();
    let (finished, all) = run_in(whole.path(), &tiny_bert(), &live(), None);
    finished.unwrap();
    assert_eq!(all.losses.len(), 30);
    // Within the first phase, at its end, and within the second.
    for stop in [1, 7, 19, 20, 23, 29] {
        let folder = tempfile::tempdir().unwrap();
        let (stopped, before) = run_in(folder.path(), &tiny_bert(), &live(), Some(stop));
        let (resumed, after) = if stop == 20 {
            // A phase's last step does not stop the run: the next does.
            assert!(stopped.is_ok());
            (stopped, Watcher::default())
        } else {
            assert!(matches!(stopped, Err(TrainError::Interrupted { step }) if step == stop));
            run_in(folder.path(), &tiny_bert(), &live(), None)
        };
        resumed.unwrap();
        let joined: Vec<_> = before.losses.into_iter().chain(after.losses).collect();
        assert_eq!(joined, all.losses, "stopped after {stop}");
        assert!(last_bytes(folder.path()) == last_bytes(whole.path()));
    }
}

#[test]
fn threads_do_not_change_a_training_on_states_and_attention() {
    let run = |threads: usize, recipe: &Recipe| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        let (model, watcher) = pool.install(|| run_in(folder.path(), recipe, &live(), None));
        model.unwrap();
        (watcher.losses, last_bytes(folder.path()))
    };
    for recipe in [tiny_bert(), patient()] {
        let one = run(1, &recipe);
        assert!(one == run(2, &recipe));
        assert!(one == run(3, &recipe));
    }
}

#[test]
fn the_losses_fall() {
    let folder = tempfile::tempdir().unwrap();
    let (model, watcher) = run_in(folder.path(), &tiny_bert(), &live(), None);
    model.unwrap();
    let mean = |range: std::ops::Range<usize>| {
        let count = range.len() as f64;
        watcher.losses[range]
            .iter()
            .map(|(_, loss)| loss)
            .sum::<f64>()
            / count
    };
    assert!(mean(15..20) < 0.8 * mean(0..5), "{:?}", watcher.losses);
    assert!(mean(25..30) < mean(20..25), "{:?}", watcher.losses);
}

/// The teacher's outputs stored in `folder`.
fn stored(folder: &Path, hidden: HiddenStates, set: &EncodedSet) -> StoredTeacher {
    let model = open("tiny-bert-teacher");
    let examples: Vec<Example> = (0..set.len())
        .map(|i| Example {
            id: i as u64,
            text: Text::single(format!("sentence {i}")),
            label: None,
        })
        .collect();
    let needs = Needs {
        hidden,
        attention: false,
    };
    let header = CacheHeader::new(&model, "tokenizer", &examples, 64, needs).unwrap();
    StoredTeacher::open_or_make(folder, header, &model, set, &mut |_| true).unwrap()
}

#[test]
fn a_stored_teacher_of_first_tokens_is_as_good_as_a_live_one() {
    let run = |teacher: &dyn Teacher| {
        let folder = tempfile::tempdir().unwrap();
        let (model, watcher) = run_in(folder.path(), &patient(), teacher, None);
        model.unwrap();
        (watcher.losses, last_bytes(folder.path()))
    };
    let expected = run(&live());
    for hidden in [HiddenStates::First, HiddenStates::All] {
        let folder = tempfile::tempdir().unwrap();
        let teacher = stored(folder.path(), hidden, &set());
        assert!(expected == run(&teacher));
    }
}

/// The training set as a tokenizer with another idea of the fourth sentence reads it.
fn other_set() -> EncodedSet {
    let set = set();
    let encodings = (0..set.len()).map(|row| {
        let batch = set.batch(&[row]);
        let ids = batch.ids.to_vec();
        Encoding {
            segments: vec![0; ids.len()],
            ids: ids
                .into_iter()
                .map(|id| if row == 3 { 7 } else { id })
                .collect(),
        }
    });
    EncodedSet::from_parts(
        encodings.collect(),
        set.ids().to_vec(),
        set.labels().to_vec(),
    )
}

#[test]
fn other_tokens_are_refused_where_they_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let teacher = LiveTeacher::new(open("tiny-bert-teacher"), other_set());
    let (result, watcher) = run_in(folder.path(), &tiny_bert(), &teacher, None);
    assert!(watcher.losses.is_empty());
    insta::assert_snapshot!(result.err().unwrap(), @"example 3: the student reads 9 tokens, the teacher 9, and token 1 differs; to compare the states or the attention of all tokens, give both one tokenizer and the same `max-tokens`");
    // First tokens do not ask for it.
    let (result, _) = run_in(folder.path(), &patient(), &teacher, None);
    result.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let teacher = stored(folder.path(), HiddenStates::All, &other_set());
    let states = vec![(
        vec![ObjectiveConfig::HiddenStates(HiddenStatesConfig::default())],
        config(1.0, 1e-3),
    )];
    let (result, _) = run_in(folder.path(), &states, &teacher, None);
    assert!(matches!(result, Err(TrainError::OtherTokens { id: 3, .. })));
}
