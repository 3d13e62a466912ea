//! Runs side by side.

mod support;

use limbeck_report::{Comparison, FinishedRun, Role};
use support::{finished, metrics};
use tempfile::{TempDir, tempdir};

fn runs(folder: &TempDir) -> Vec<FinishedRun> {
    let model = |name: &str, role, parameters, accuracy| metrics(name, role, parameters, accuracy);
    let finished = |name: &str, seed, metrics| finished(&folder.path().join(name), seed, &metrics);
    vec![
        finished(
            "s1",
            1,
            model("BERT, 3 layers", Role::Student, 17_400_000, 0.851),
        ),
        finished(
            "s2",
            2,
            model("BERT, 3 layers", Role::Student, 17_400_000, 0.846),
        ),
        finished(
            "s3",
            3,
            model("BERT, 3 layers", Role::Student, 17_400_000, 0.858),
        ),
        finished(
            "c",
            1,
            model(
                "BERT, 3 layers, no teacher",
                Role::Control,
                17_400_000,
                0.832,
            ),
        ),
        finished("t", 1, model("MiniLM-L6", Role::Teacher, 22_713_216, 0.874)),
        finished("l", 1, model("BiLSTM", Role::Student, 2_410_000, 0.781)),
        finished(
            "n",
            1,
            model("BiLSTM, no teacher", Role::Control, 2_410_000, 0.765),
        ),
    ]
}

#[test]
fn a_comparison_has_a_row_per_model() {
    let folder = tempdir().unwrap();
    let comparison = Comparison::of(runs(&folder)).unwrap();
    insta::assert_snapshot!(comparison.table().to_text(), @"
                                                     size on                           accuracy on        accuracy on  teacher
    model                       role     parameters     disk    accuracy on dev             amazon             tweets     kept  sentences/s
    ──────────────────────────  ───────  ──────────  ───────  ─────────────────  ─────────────────  ─────────────────  ───────  ───────────
    MiniLM-L6                   teacher      22.7 M  90.9 MB         87.4 ± 1.3         81.4 ± 2.4         76.4 ± 4.1        –          487
    BERT, 3 layers (3 seeds)    student      17.4 M  69.6 MB  85.1 (84.6..85.8)  79.1 (78.6..79.8)  74.1 (73.6..74.8)   97.4 %          607
    BERT, 3 layers, no teacher  control      17.4 M  69.6 MB         83.2 ± 1.3         77.2 ± 2.4         72.2 ± 4.1   95.2 %          607
    BiLSTM                      student      2.41 M  9.64 MB         78.1 ± 1.3         72.1 ± 2.4         67.1 ± 4.1   89.4 %         2028
    BiLSTM, no teacher          control      2.41 M  9.64 MB         76.5 ± 1.3         70.5 ± 2.4         65.5 ± 4.1   87.5 %         2028
    Scores are times 100.
    ± is half of the 95 % confidence interval.
    Several seeds: median (lowest..highest).
    Teacher kept: share of the teacher's accuracy on dev.
    ");
}

#[test]
fn a_page_has_every_part() {
    let folder = tempdir().unwrap();
    let html = Comparison::of(runs(&folder))
        .unwrap()
        .page("Reviews <1>")
        .unwrap()
        .to_html();
    for part in [
        "Reviews &lt;1&gt;",
        "Training loss",
        "Accuracy on dev while training",
        "gold \\ predicted",
        "train.epochs",
        "started",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.len() < 500_000, "{} bytes", html.len());
}

#[test]
fn a_single_run_needs_no_teacher() {
    let folder = tempdir().unwrap();
    finished(
        &folder.path().join("c"),
        1,
        &metrics("BiLSTM", Role::Control, 2_410_000, 0.765),
    );
    let comparison = Comparison::read(&[folder.path().join("c")]).unwrap();
    insta::assert_snapshot!(comparison.table().to_markdown(), @"
    | model | role | parameters | size on disk | accuracy on dev | accuracy on amazon | accuracy on tweets | teacher kept | sentences/s |
    | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | BiLSTM | control | 2.41 M | 9.64 MB | 76.5 ± 1.3 | 70.5 ± 2.4 | 65.5 ± 4.1 | – | 2028 |

    Scores are times 100. ± is half of the 95 % confidence interval.
    ");
    comparison.page("One run").unwrap();
}

#[test]
fn no_run_is_refused() {
    insta::assert_snapshot!(Comparison::of(Vec::new()).unwrap_err(), @"report: no run folder was given, expected at least one; give the folders of finished runs");
}
