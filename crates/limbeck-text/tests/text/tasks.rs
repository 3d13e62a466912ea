use limbeck_text::{
    GlueSplit, GlueTask, Label, Metric, Task, TaskKind, check_same_labels, sort_labels,
    submission_tsv, write_submission,
};

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

#[test]
fn labels_sort_by_value_only_if_all_are_integers() {
    assert_eq!(
        sort_labels(strings(&["10", "9", "-1", "9"])),
        ["-1", "9", "10"]
    );
    assert_eq!(sort_labels(strings(&["10", "9", "b"])), ["10", "9", "b"]);
}

#[test]
fn label_maps_in_another_order_do_not_match() {
    let (ours, theirs) = (strings(&["no", "yes"]), strings(&["yes", "no"]));
    assert!(check_same_labels("teacher", &ours, "student", &ours).is_ok());
    let error = check_same_labels("teacher t", &ours, "data d", &theirs).unwrap_err();
    insta::assert_snapshot!(error, @r#"teacher t has labels ["no", "yes"] but data d has ["yes", "no"]; the same names in the same order are needed"#);
}

#[test]
fn inference_labels_are_in_hugging_face_order() {
    let task = Task::glue(GlueTask::Mnli);
    assert_eq!(
        task.kind.labels(),
        ["entailment", "neutral", "contradiction"]
    );
    assert_eq!(task.kind.label_count(), 3);
    assert_eq!(Task::glue(GlueTask::StsB).kind.label_count(), 1);
    assert_eq!(Task::glue(GlueTask::Cola).metrics[0], Metric::Matthews);
}

#[test]
fn a_task_survives_toml() {
    for task in GlueTask::ALL {
        let task = Task::glue(task);
        let toml = toml::to_string(&task).unwrap();
        assert_eq!(toml::from_str::<Task>(&toml).unwrap(), task);
    }
    assert_eq!(
        Task::new("x", TaskKind::Regression).metrics[0],
        Metric::Pearson
    );
}

#[test]
fn folders_and_files_are_named_as_glue_names_them() {
    assert_eq!(GlueTask::from_folder("sst2"), Some(GlueTask::Sst2));
    assert_eq!(GlueTask::from_folder("SST-2"), Some(GlueTask::Sst2));
    assert_eq!(GlueTask::from_folder("sara"), None);
    assert_eq!(
        GlueTask::MnliMismatched.file_name(GlueSplit::Dev),
        Some("dev_mismatched.tsv")
    );
    assert_eq!(GlueTask::Ax.file_name(GlueSplit::Train), None);
}

#[test]
fn submissions_use_the_labels_of_the_files() {
    let check = |task: GlueTask, label: Label, row: &str| {
        let predictions = vec![label; task.test_row_count()];
        let tsv = submission_tsv(task, &predictions).unwrap();
        let mut lines = tsv.lines();
        assert_eq!(lines.next(), Some("index\tprediction"));
        assert_eq!(lines.next(), Some(row));
        assert_eq!(lines.count() + 1, task.test_row_count());
    };
    check(GlueTask::Cola, Label::Class(1), "0\t1");
    check(GlueTask::Rte, Label::Class(1), "0\tnot_entailment");
    check(
        GlueTask::MnliMismatched,
        Label::Class(2),
        "0\tcontradiction",
    );
    check(GlueTask::Wnli, Label::Class(0), "0\t0");
    check(GlueTask::StsB, Label::Score(5.25), "0\t5.000");
    check(GlueTask::StsB, Label::Score(2.5), "0\t2.500");
}

#[test]
fn a_submission_lands_under_the_leaderboards_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_submission(folder.path(), GlueTask::Wnli, &[Label::Class(1); 146]).unwrap();
    assert_eq!(path.file_name().unwrap(), "WNLI.tsv");
    assert!(fs_err::read_to_string(path).unwrap().ends_with("145\t1\n"));
}

#[test]
fn an_incomplete_or_foreign_submission_is_refused() {
    let short = submission_tsv(GlueTask::Wnli, &[]).unwrap_err();
    insta::assert_snapshot!(short, @"WNLI.tsv: 0 predictions, expected 146; predict the whole test file in its order");
    let foreign = submission_tsv(GlueTask::Wnli, &[Label::Class(2); 146]).unwrap_err();
    insta::assert_snapshot!(foreign, @"WNLI.tsv: row 0: Class(2) is not a label of WNLI");
}
