use serde::{Deserialize, Serialize};

use crate::{Metric, TextError};

/// What is to be learnt: the kind of label, and the metrics that say how well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Task {
    /// Shown in tables and kept with every run.
    pub name: String,
    /// What a label is.
    pub kind: TaskKind,
    /// Never empty; the first one decides which epoch is best.
    pub metrics: Vec<Metric>,
}

impl Task {
    /// A task with the usual metrics of its kind: accuracy and macro F1, or Pearson and Spearman.
    pub fn new(name: impl Into<String>, kind: TaskKind) -> Self {
        let metrics = match &kind {
            TaskKind::Classification { .. } => vec![Metric::Accuracy, Metric::F1Macro],
            TaskKind::Regression => vec![Metric::Pearson, Metric::Spearman],
        };
        Self {
            name: name.into(),
            kind,
            metrics,
        }
    }

    /// A GLUE task with its labels in the order of Hugging Face's GLUE and its published metrics.
    pub fn glue(task: GlueTask) -> Self {
        Self {
            name: task.name().to_owned(),
            kind: task.kind(),
            metrics: task.metrics().to_vec(),
        }
    }
}

/// What a label is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskKind {
    /// One of a fixed set.
    Classification {
        /// The label names; a name's position is its class index.
        labels: Vec<String>,
    },
    /// A number.
    Regression,
}

impl TaskKind {
    /// How many outputs a model needs: the number of classes, or 1.
    pub fn label_count(&self) -> usize {
        match self {
            Self::Classification { labels } => labels.len(),
            Self::Regression => 1,
        }
    }

    /// The label names in class order; none in a regression.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classification { labels } => labels,
            Self::Regression => &[],
        }
    }
}

/// Checks that two label maps name the same labels in the same order.
///
/// Class indices travel without names between a teacher, its cache and a student, so a different order would train on wrong labels
/// in silence. `left` and `right` say where the maps came from, e.g. `"teacher runs/sst2"`.
///
/// # Errors
/// [`TextError::LabelMapMismatch`].
pub fn check_same_labels(
    left: &str,
    left_labels: &[String],
    right: &str,
    right_labels: &[String],
) -> Result<(), TextError> {
    if left_labels == right_labels {
        return Ok(());
    }
    Err(TextError::LabelMapMismatch {
        left: left.to_owned(),
        left_labels: left_labels.to_vec(),
        right: right.to_owned(),
        right_labels: right_labels.to_vec(),
    })
}

/// Puts label names into the order of their class indices: by value if all are integers, else as text. Repeats are dropped.
pub fn sort_labels(mut labels: Vec<String>) -> Vec<String> {
    let all_integers = labels.iter().all(|label| label.parse::<i64>().is_ok());
    if all_integers {
        // By text as well, so that `1` and `01` stay two labels in one order.
        labels.sort_by_key(|label| (label.parse::<i64>().unwrap_or(0), label.clone()));
    } else {
        labels.sort();
    }
    labels.dedup();
    labels
}

/// A task of the GLUE benchmark (Wang et al. 2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GlueTask {
    /// The Corpus of Linguistic Acceptability.
    #[serde(rename = "cola")]
    Cola,
    /// The Stanford Sentiment Treebank, two classes.
    #[serde(rename = "sst-2")]
    Sst2,
    /// The Microsoft Research Paraphrase Corpus.
    #[serde(rename = "mrpc")]
    Mrpc,
    /// The Semantic Textual Similarity Benchmark, scores from 0 to 5.
    #[serde(rename = "sts-b")]
    StsB,
    /// Quora Question Pairs.
    #[serde(rename = "qqp")]
    Qqp,
    /// Multi-genre natural language inference, genres matched between train and dev.
    #[serde(rename = "mnli")]
    Mnli,
    /// The same training data, with a dev and a test set of other genres.
    #[serde(rename = "mnli-mm")]
    MnliMismatched,
    /// Question-answering inference.
    #[serde(rename = "qnli")]
    Qnli,
    /// Recognising textual entailment.
    #[serde(rename = "rte")]
    Rte,
    /// Winograd inference.
    #[serde(rename = "wnli")]
    Wnli,
    /// The diagnostic set; judged by a model trained on MNLI, has no train or dev set.
    #[serde(rename = "ax")]
    Ax,
}

/// A part of a GLUE task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlueSplit {
    /// The training set.
    Train,
    /// The labelled development set.
    Dev,
    /// The unlabelled set of the leaderboard.
    Test,
}

/// How the rows of a GLUE task look.
pub(crate) struct GlueLayout {
    pub(crate) first: &'static str,
    pub(crate) second: Option<&'static str>,
    pub(crate) label: &'static str,
    /// The labels as the files and the leaderboard write them, in class order.
    pub(crate) file_labels: &'static [&'static str],
}

const ZERO_ONE: &[&str] = &["0", "1"];
const ENTAILMENT: &[&str] = &["entailment", "not_entailment"];
const INFERENCE: &[&str] = &["entailment", "neutral", "contradiction"];

impl GlueTask {
    /// Every task, in the order of the leaderboard.
    pub const ALL: [Self; 11] = [
        Self::Cola,
        Self::Sst2,
        Self::Mrpc,
        Self::StsB,
        Self::Qqp,
        Self::Mnli,
        Self::MnliMismatched,
        Self::Qnli,
        Self::Rte,
        Self::Wnli,
        Self::Ax,
    ];

    /// The name as GLUE writes it; also the name of the data folder, but for the last two forms of MNLI.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cola => "CoLA",
            Self::Sst2 => "SST-2",
            Self::Mrpc => "MRPC",
            Self::StsB => "STS-B",
            Self::Qqp => "QQP",
            Self::Mnli => "MNLI",
            Self::MnliMismatched => "MNLI-mm",
            Self::Qnli => "QNLI",
            Self::Rte => "RTE",
            Self::Wnli => "WNLI",
            Self::Ax => "AX",
        }
    }

    /// The task a data folder is named after; letter case and `-` do not matter (`SST-2`, `sst2`).
    pub fn from_folder(name: &str) -> Option<Self> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
        let wanted = plain(name);
        Self::ALL
            .into_iter()
            .find(|task| plain(task.name()) == wanted)
    }

    /// The file of a split inside the task's folder.
    ///
    /// `None` where GLUE has none: the diagnostic set has a test file only.
    pub fn file_name(self, split: GlueSplit) -> Option<&'static str> {
        match (self, split) {
            (Self::Ax, GlueSplit::Test) => Some("diagnostic.tsv"),
            (Self::Ax, _) => None,
            (_, GlueSplit::Train) => Some("train.tsv"),
            (Self::Mnli, GlueSplit::Dev) => Some("dev_matched.tsv"),
            (Self::Mnli, GlueSplit::Test) => Some("test_matched.tsv"),
            (Self::MnliMismatched, GlueSplit::Dev) => Some("dev_mismatched.tsv"),
            (Self::MnliMismatched, GlueSplit::Test) => Some("test_mismatched.tsv"),
            (_, GlueSplit::Dev) => Some("dev.tsv"),
            (_, GlueSplit::Test) => Some("test.tsv"),
        }
    }

    /// What a label is; names in the order of Hugging Face's GLUE.
    pub fn kind(self) -> TaskKind {
        let names: &[&str] = match self {
            Self::Cola => &["unacceptable", "acceptable"],
            Self::Sst2 => &["negative", "positive"],
            Self::Mrpc => &["not_equivalent", "equivalent"],
            Self::StsB => return TaskKind::Regression,
            Self::Qqp => &["not_duplicate", "duplicate"],
            Self::Mnli | Self::MnliMismatched | Self::Ax => INFERENCE,
            Self::Qnli | Self::Rte => ENTAILMENT,
            Self::Wnli => &["not_entailment", "entailment"],
        };
        let labels = names.iter().map(|&name| name.to_owned()).collect();
        TaskKind::Classification { labels }
    }

    /// The metrics GLUE publishes, the main one first.
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Cola | Self::Ax => &[Metric::Matthews],
            Self::Mrpc | Self::Qqp => &[Metric::F1Binary, Metric::Accuracy],
            Self::StsB => &[Metric::Pearson, Metric::Spearman],
            _ => &[Metric::Accuracy],
        }
    }

    /// The file name the leaderboard expects in a submission.
    pub fn submission_file(self) -> &'static str {
        match self {
            Self::Cola => "CoLA.tsv",
            Self::Sst2 => "SST-2.tsv",
            Self::Mrpc => "MRPC.tsv",
            Self::StsB => "STS-B.tsv",
            Self::Qqp => "QQP.tsv",
            Self::Mnli => "MNLI-m.tsv",
            Self::MnliMismatched => "MNLI-mm.tsv",
            Self::Qnli => "QNLI.tsv",
            Self::Rte => "RTE.tsv",
            Self::Wnli => "WNLI.tsv",
            Self::Ax => "AX.tsv",
        }
    }

    /// Rows of the test file, all of which a submission must answer.
    pub fn test_row_count(self) -> usize {
        match self {
            Self::Cola => 1_063,
            Self::Sst2 => 1_821,
            Self::Mrpc => 1_725,
            Self::StsB => 1_379,
            Self::Qqp => 390_965,
            Self::Mnli => 9_796,
            Self::MnliMismatched => 9_847,
            Self::Qnli => 5_463,
            Self::Rte => 3_000,
            Self::Wnli => 146,
            Self::Ax => 1_104,
        }
    }

    /// The columns of its own tsv that hold the first text, the second and the label.
    pub fn columns(self) -> (&'static str, Option<&'static str>, &'static str) {
        let layout = self.layout();
        (layout.first, layout.second, layout.label)
    }

    /// How its own tsv writes the labels, in class order; none for scores.
    pub fn file_labels(self) -> &'static [&'static str] {
        self.layout().file_labels
    }

    pub(crate) fn layout(self) -> GlueLayout {
        let (first, second, label, file_labels) = match self {
            Self::Cola | Self::Sst2 => ("sentence", None, "label", ZERO_ONE),
            Self::Mrpc => ("#1 String", Some("#2 String"), "Quality", ZERO_ONE),
            Self::StsB => ("sentence1", Some("sentence2"), "score", &[] as &[_]),
            Self::Qqp => ("question1", Some("question2"), "is_duplicate", ZERO_ONE),
            Self::Mnli | Self::MnliMismatched | Self::Ax => {
                ("sentence1", Some("sentence2"), "gold_label", INFERENCE)
            }
            Self::Qnli => ("question", Some("sentence"), "label", ENTAILMENT),
            Self::Rte => ("sentence1", Some("sentence2"), "label", ENTAILMENT),
            Self::Wnli => ("sentence1", Some("sentence2"), "label", ZERO_ONE),
        };
        GlueLayout {
            first,
            second,
            label,
            file_labels,
        }
    }
}
