use crate::page::escape;
use crate::{
    AttackMetrics, AttackOutcome, AttackRecord, AttackSummary, AttackedText, Bar, BarChart,
    BarMark, Block, Chart, Page, Section,
};

/// Successes and failures shown; the rest is in `attack.csv`.
const SHOWN: usize = 500;

/// A page with the attack's numbers and its examples, changed words marked.
pub fn attack_page(metrics: &AttackMetrics, records: &[AttackRecord]) -> Page {
    let summary = &metrics.summary;
    let table = AttackSummary::table([(metrics.attack.clone(), summary)]);
    let mut numbers = vec![Block::Table(table)];
    if !summary.words_changed.is_empty() {
        numbers.push(Block::Charts(vec![Chart::Bars(words_changed(summary))]));
    }
    let facts = metrics.resources.clone().into_iter().collect::<Vec<_>>();
    if !facts.is_empty() {
        numbers.push(Block::Facts(facts));
    }
    let mut sections = vec![Section {
        heading: "Numbers".to_owned(),
        blocks: numbers,
    }];
    for outcome in [AttackOutcome::Succeeded, AttackOutcome::Failed] {
        let of_outcome: Vec<&AttackRecord> = records
            .iter()
            .filter(|record| record.outcome == outcome)
            .collect();
        if of_outcome.is_empty() {
            continue;
        }
        let mut blocks = Vec::new();
        if of_outcome.len() > SHOWN {
            let note = format!(
                "The first {SHOWN} of {}; attack.csv has all.",
                of_outcome.len()
            );
            blocks.push(Block::Paragraph(note));
        }
        let shown = of_outcome.iter().take(SHOWN);
        let edits = shown.map(|record| edited(record, &metrics.labels));
        blocks.push(Block::Edits(edits.collect()));
        let name = outcome.name();
        sections.push(Section {
            heading: format!("Attacks that {name}"),
            blocks,
        });
    }
    Page {
        title: format!("{} against {}", metrics.attack, metrics.victim),
        lead: format!(
            "{} examples of {}, set {}.",
            summary.examples, metrics.task, metrics.split
        ),
        sections,
    }
}

fn words_changed(summary: &AttackSummary) -> BarChart {
    let bars = summary.words_changed.iter().enumerate();
    let bars = bars.map(|(index, &count)| Bar {
        name: (index + 1).to_string(),
        color: 0,
        value: count as f64,
        range: None,
        text: count.to_string(),
    });
    BarChart {
        title: "Successes by words changed".to_owned(),
        value_label: "successes".to_owned(),
        mark: BarMark::Bars,
        bars: bars.collect(),
    }
}

/// Labels, probabilities and counts, then both texts.
fn edited(record: &AttackRecord, labels: &[String]) -> EditedText {
    let verdict = |p: &[f64]| {
        let best = (1..p.len()).fold(0, |best, i| if p[i] > p[best] { i } else { best });
        let number = best.to_string();
        let name = labels.get(best).unwrap_or(&number);
        let percent = 100.0 * p.get(best).copied().unwrap_or_default();
        format!("{name} {percent:.1} %")
    };
    let note = format!(
        "{} · {} → {} · {} queries · {} of {} words changed",
        record.id,
        verdict(&record.original_probabilities),
        verdict(&record.perturbed_probabilities),
        record.queries,
        record.words_changed,
        record.words,
    );
    EditedText {
        note,
        before: record.original.clone(),
        after: record.perturbed.clone(),
    }
}

/// A text before and after an edit, for a [`Page`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedText {
    /// A line above the texts.
    pub note: String,
    /// The text before.
    pub before: AttackedText,
    /// The text after.
    pub after: AttackedText,
}

impl EditedText {
    pub(crate) fn write(&self, html: &mut String) {
        push!(
            html,
            "<article class=\"edit\">\n<p class=\"note\">{}</p>\n{}{}</article>\n",
            escape(&self.note),
            marked(&self.before, "del"),
            marked(&self.after, "ins"),
        );
    }
}

fn marked(text: &AttackedText, tag: &str) -> String {
    let column = |index: usize| {
        let pieces = text.pieces(index).map(|(piece, is_changed)| {
            if is_changed {
                format!("<{tag}>{}</{tag}>", escape(piece))
            } else {
                escape(piece)
            }
        });
        pieces.collect::<String>()
    };
    let columns = (0..text.columns.len()).map(column);
    format!("<p>{}</p>\n", columns.collect::<Vec<_>>().join("<br>"))
}
