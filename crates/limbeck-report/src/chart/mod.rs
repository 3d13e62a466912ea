//! Charts as SVG for a page: sizes in the SVG's own units, colours and fonts from the page's style sheet.

mod axis;
mod bar;
mod line;

pub use bar::{Bar, BarChart, BarMark};
pub use line::{Line, LineChart, LineStyle, smooth};

/// How many colours the page's style sheet has; lines and bars beyond them begin again with the first.
pub(crate) const COLOR_COUNT: usize = 8;

/// A coordinate with one digit: finer is invisible and makes pages large.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Whether a value can be drawn: beyond these bounds differences overflow, and no axis is of use.
fn is_drawable(value: f64) -> bool {
    value.abs() < 1e30
}
