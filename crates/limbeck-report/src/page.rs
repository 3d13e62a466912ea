use crate::{Align, BarChart, EditedText, LineChart, Table};

/// A page of results in one HTML file: no scripts, nothing fetched, light or dark as the reader's system is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The title.
    pub title: String,
    /// A sentence below the title.
    pub lead: String,
    /// The sections, in order.
    pub sections: Vec<Section>,
}

/// A part of a [`Page`] with its own heading.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// What it holds, in order.
    pub blocks: Vec<Block>,
}

/// A piece of a [`Section`].
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A paragraph of plain words.
    Paragraph(String),
    /// A table with its notes.
    Table(Table),
    /// Figures side by side where the window is wide enough.
    Charts(Vec<Chart>),
    /// Confusion matrices side by side.
    Confusion(Vec<ConfusionMatrix>),
    /// Names and values.
    Facts(Vec<(String, String)>),
    /// A part that opens on a click.
    Details {
        /// The line that is always shown.
        summary: String,
        /// What opens.
        blocks: Vec<Block>,
    },
    /// Text as it is in a file.
    Code(String),
    /// Texts before and after an edit, changed words marked.
    Edits(Vec<EditedText>),
}

/// A figure of a [`Page`].
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// Values over steps.
    Lines(LineChart),
    /// Values by name.
    Bars(BarChart),
}

/// How often each gold label was taken for each other.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfusionMatrix {
    /// What it belongs to.
    pub title: String,
    /// The label names.
    pub labels: Vec<String>,
    /// Counts `[gold][predicted]`.
    pub counts: Vec<Vec<u64>>,
}

/// More labels than this would make an unreadable matrix; the most frequent mistakes are listed instead.
const MATRIX_LIMIT: usize = 12;
/// Mistakes listed for such a task.
const MISTAKE_LIMIT: usize = 15;

/// Text for HTML: the characters with a meaning there are replaced.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML has no form for control characters, escaped or not.
            character if character.is_control() && !matches!(character, '\n' | '\t') => {
                escaped.push('\u{fffd}');
            }
            character => escaped.push(character),
        }
    }
    escaped
}

impl Page {
    /// The whole file.
    pub fn to_html(&self) -> String {
        let (title, style) = (escape(&self.title), include_str!("page.css"));
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{style}</style>\n</head>\n\
             <body>\n<main>\n<header>\n<h1>{title}</h1>\n<p>{}</p>\n</header>\n",
            escape(&self.lead),
        );
        for section in &self.sections {
            push!(html, "<section>\n<h2>{}</h2>\n", escape(&section.heading));
            section
                .blocks
                .iter()
                .for_each(|block| block.write(&mut html));
            html.push_str("</section>\n");
        }
        html.push_str("</main>\n</body>\n</html>\n");
        html
    }
}

impl Block {
    fn write(&self, html: &mut String) {
        match self {
            Self::Paragraph(text) => push!(html, "<p>{}</p>\n", escape(text)),
            Self::Table(table) => write_table(table, html),
            Self::Charts(charts) => {
                html.push_str("<div class=\"figures\">\n");
                for chart in charts {
                    chart.write(html);
                }
                html.push_str("</div>\n");
            }
            Self::Confusion(matrices) => {
                html.push_str("<div class=\"matrices\">\n");
                for matrix in matrices {
                    matrix.write(html);
                }
                html.push_str("</div>\n");
            }
            Self::Facts(facts) => {
                html.push_str("<dl>\n");
                for (name, value) in facts {
                    push!(
                        html,
                        "<div><dt>{}</dt><dd>{}</dd></div>\n",
                        escape(name),
                        escape(value)
                    );
                }
                html.push_str("</dl>\n");
            }
            Self::Details { summary, blocks } => {
                push!(html, "<details>\n<summary>{}</summary>\n", escape(summary));
                for block in blocks {
                    block.write(html);
                }
                html.push_str("</details>\n");
            }
            Self::Code(text) => {
                push!(html, "<pre><code>{}</code></pre>\n", escape(text));
            }
            Self::Edits(edits) => edits.iter().for_each(|edit| edit.write(html)),
        }
    }
}

fn write_table(table: &Table, html: &mut String) {
    let class = |align| {
        if align == Align::Right {
            " class=\"number\""
        } else {
            ""
        }
    };
    // The box scrolls where the window is narrow; `tabindex` lets the keyboard do so.
    html.push_str("<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead>\n<tr>");
    for column in &table.columns {
        push!(
            html,
            "<th scope=\"col\"{}>{}</th>",
            class(column.align),
            escape(&column.name)
        );
    }
    html.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in &table.rows {
        html.push_str("<tr>");
        for (index, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
            let (class, text) = (class(column.align), escape(&cell.text()));
            if index == 0 {
                push!(html, "<th scope=\"row\">{text}</th>");
            } else {
                push!(html, "<td{class}>{text}</td>");
            }
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
    if !table.notes.is_empty() {
        push!(
            html,
            "<p class=\"note\">{}</p>\n",
            escape(&table.notes.join(" "))
        );
    }
}

impl Chart {
    fn write(&self, html: &mut String) {
        let (title, svg) = match self {
            Self::Lines(chart) => (&chart.title, chart.to_svg()),
            Self::Bars(chart) => (&chart.title, chart.to_svg()),
        };
        push!(
            html,
            "<figure>\n<figcaption>{}</figcaption>\n{svg}\n",
            escape(title)
        );
        if let Self::Lines(chart) = self {
            write_legend(chart, html);
        }
        html.push_str("</figure>\n");
    }
}

fn write_legend(chart: &LineChart, html: &mut String) {
    let mut entries: Vec<(&str, usize)> = Vec::new();
    for line in &chart.lines {
        let entry = (line.name.as_str(), line.color % crate::chart::COLOR_COUNT);
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    html.push_str("<ul class=\"legend\">");
    for (name, color) in entries {
        push!(html, "<li class=\"color-{color}\">{}</li>", escape(name));
    }
    html.push_str("</ul>\n");
}

impl ConfusionMatrix {
    fn write(&self, html: &mut String) {
        push!(
            html,
            "<figure class=\"matrix\">\n<figcaption>{}</figcaption>\n",
            escape(&self.title)
        );
        if self.labels.len() > MATRIX_LIMIT {
            self.write_mistakes(html);
        } else {
            self.write_matrix(html);
        }
        html.push_str("</figure>\n");
    }

    fn write_matrix(&self, html: &mut String) {
        html.push_str("<div class=\"wide\" tabindex=\"0\">\n<table>\n<thead>\n<tr><th scope=\"col\">gold \\ predicted</th>");
        for label in &self.labels {
            push!(
                html,
                "<th scope=\"col\" class=\"number\">{}</th>",
                escape(label)
            );
        }
        html.push_str("</tr>\n</thead>\n<tbody>\n");
        for (label, row) in self.labels.iter().zip(&self.counts) {
            let total = row.iter().sum::<u64>().max(1);
            push!(html, "<tr><th scope=\"row\">{}</th>", escape(label));
            for &count in row {
                let percent = 100.0 * count as f64 / total as f64;
                push!(
                    html,
                    "<td class=\"number shaded\" style=\"--share:{percent:.0}%\" title=\"{percent:.1} % of {}\">{count}</td>",
                    escape(label),
                );
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n</div>\n");
    }

    fn write_mistakes(&self, html: &mut String) {
        let mut mistakes = Vec::new();
        for (gold, row) in self.labels.iter().zip(&self.counts) {
            let others = self
                .labels
                .iter()
                .zip(row)
                .filter(|&(label, &count)| label != gold && count > 0);
            mistakes.extend(others.map(|(predicted, &count)| (count, gold, predicted)));
        }
        mistakes.sort_by_key(|&(count, ..)| std::cmp::Reverse(count));
        html.push_str("<ol>");
        for (count, gold, predicted) in mistakes.into_iter().take(MISTAKE_LIMIT) {
            push!(
                html,
                "<li>{} taken for {}: {count}</li>",
                escape(gold),
                escape(predicted)
            );
        }
        html.push_str("</ol>\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Bar, BarMark, Cell, Column, Line, LineStyle, Summary};

    /// Checks that tags balance and returns the text between them.
    fn check(html: &str) -> String {
        const VOID: [&str; 2] = ["meta", "!DOCTYPE"];
        let (mut open, mut text) = (Vec::new(), String::new());
        for (index, piece) in html.split('<').enumerate() {
            if index == 0 {
                continue;
            }
            let (tag, content) = piece.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes balance in <{tag}>");
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}> closes what was opened");
            } else if !VOID.contains(&name) && !tag.ends_with('/') {
                open.push(name);
            }
            assert!(
                !content.contains('>') || open.last() == Some(&"style"),
                "text has no bare bracket: {content}"
            );
            text.push_str(content);
        }
        assert!(open.is_empty(), "all closed: {open:?}");
        text
    }

    fn page(name: &str, values: &[f64]) -> Page {
        let points = values
            .iter()
            .enumerate()
            .map(|(index, &value)| (index as f64, value))
            .collect::<Vec<_>>();
        let line = |style| Line {
            name: name.to_owned(),
            color: 9,
            style,
            points: points.clone(),
        };
        let lines = vec![
            line(LineStyle::Faint),
            line(LineStyle::Solid),
            line(LineStyle::Dots),
        ];
        let (title, x_label, y_label) = (name.to_owned(), name.to_owned(), name.to_owned());
        let line_chart = Chart::Lines(LineChart {
            title,
            x_label,
            y_label,
            lines,
        });
        let bar = |&value| Bar {
            name: name.to_owned(),
            color: 1,
            value,
            range: Some((value - 1.0, value)),
            text: name.to_owned(),
        };
        let bars = |mark| {
            let bars = values.iter().map(bar).collect();
            Chart::Bars(BarChart {
                title: name.to_owned(),
                value_label: name.to_owned(),
                mark,
                bars,
            })
        };
        let rows = vec![vec![
            Cell::Text(name.to_owned()),
            Summary::of(values).map_or(Cell::Missing, Cell::Seeds),
        ]];
        let columns = vec![Column::words(name), Column::numbers(name)];
        let table = Table {
            columns,
            rows,
            notes: vec![name.to_owned()],
        };
        let matrix = |count| ConfusionMatrix {
            title: name.to_owned(),
            labels: vec![name.to_owned(); count],
            counts: vec![vec![3; count]; count],
        };
        let inner = vec![
            Block::Code(name.to_owned()),
            Block::Facts(vec![(name.to_owned(), name.to_owned())]),
        ];
        let blocks = vec![
            Block::Paragraph(name.to_owned()),
            Block::Table(table),
            Block::Charts(vec![line_chart, bars(BarMark::Bars), bars(BarMark::Dots)]),
            Block::Confusion(vec![matrix(2), matrix(MATRIX_LIMIT + 1)]),
            Block::Details {
                summary: name.to_owned(),
                blocks: inner,
            },
        ];
        Page {
            title: name.to_owned(),
            lead: name.to_owned(),
            sections: vec![Section {
                heading: name.to_owned(),
                blocks,
            }],
        }
    }

    #[test]
    fn a_name_cannot_become_markup() {
        let html = page("<script>alert(\"1\")</script> & 'x'", &[0.5, 0.75]).to_html();
        let text = check(&html);
        assert!(!html.contains("<script"));
        assert!(
            text.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;")
        );
    }

    #[test]
    fn a_page_fetches_nothing() {
        let html = page("a", &[0.5]).to_html();
        for word in ["http", "src=", "href=", "url(", "@import"] {
            assert!(!html.contains(word), "{word}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_page_is_well_formed(name in "(\\PC|[<>&\"'\\n]){0,12}", values in prop::collection::vec(any::<f64>(), 0..300)) {
            let html = page(&name, &values).to_html();
            check(&html);
            prop_assert!(!html.contains("=\"NaN\"") && !html.contains("=\"inf"), "{html}");
        }
    }
}
