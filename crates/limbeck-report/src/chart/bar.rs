use super::axis::Axis;
use super::{COLOR_COUNT, coordinate, is_drawable};
use crate::page::escape;

const WIDTH: f64 = 560.0;
const LEFT: f64 = 14.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 6.0;
const ROW: f64 = 46.0;
const BOTTOM: f64 = 50.0;

/// One value per name, drawn to the right; the name stands above its bar, so that long ones fit a phone.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What the chart shows, for the caption.
    pub title: String,
    /// What the values are.
    pub value_label: String,
    /// How values are drawn.
    pub mark: BarMark,
    /// The rows from top to bottom.
    pub bars: Vec<Bar>,
}

/// A row of a [`BarChart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// Index of its color, see [`Page`](crate::Page).
    pub color: usize,
    /// Its value.
    pub value: f64,
    /// A range around the value, drawn as a thin line.
    pub range: Option<(f64, f64)>,
    /// The value as written next to the name.
    pub text: String,
}

/// How a [`BarChart`] draws values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarMark {
    /// Bars from zero: lengths compare.
    Bars,
    /// Dots on an axis that shows just the values: small differences of large values compare.
    Dots,
}

impl BarChart {
    /// The chart as an `<svg>` element.
    pub fn to_svg(&self) -> String {
        let bottom = TOP + ROW * self.bars.len() as f64;
        let (height, axis) = (bottom + BOTTOM, self.axis());
        let label = escape(&format!("{}: {}", self.title, self.value_label));
        let x = |value: f64| LEFT + axis.position(value).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
        let mut svg = format!(
            r#"<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">"#
        );
        for &tick in &axis.ticks {
            let (x, label) = (coordinate(x(tick)), axis.label(tick));
            push!(svg, r#"<path class="grid" d="M{x} {TOP}V{bottom}"/>"#);
            push!(
                svg,
                r#"<text class="tick" x="{x}" y="{}" text-anchor="middle">{label}</text>"#,
                bottom + 18.0
            );
        }
        for (index, bar) in self.bars.iter().enumerate() {
            self.draw_bar(bar, TOP + ROW * index as f64, &x, &mut svg);
        }
        let (x, y) = (WIDTH / 2.0, height - 7.0);
        push!(
            svg,
            r#"<text class="name" x="{x}" y="{y}" text-anchor="middle">{}</text></svg>"#,
            escape(&self.value_label)
        );
        svg
    }

    fn axis(&self) -> Axis {
        let values = self
            .bars
            .iter()
            .flat_map(|bar| bar.range.map_or([bar.value; 2], |(low, high)| [low, high]));
        let finite = values.filter(|value| is_drawable(*value));
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        match self.mark {
            _ if low > high => Axis::rounded(0.0, 1.0, 5),
            BarMark::Bars => Axis::rounded(low.min(0.0), high.max(0.0), 5),
            BarMark::Dots => Axis::rounded(low, high, 5),
        }
    }

    fn draw_bar(&self, bar: &Bar, top: f64, x: &impl Fn(f64) -> f64, svg: &mut String) {
        let (color, middle) = (bar.color % COLOR_COUNT, top + 33.0);
        let (name, text) = (escape(&bar.name), escape(&bar.text));
        push!(
            svg,
            r#"<g class="color-{color}"><title>{name}: {text}</title>"#
        );
        push!(
            svg,
            r#"<text class="label" x="{LEFT}" y="{}">{name} <tspan class="value">{text}</tspan></text>"#,
            top + 18.0
        );
        let at = coordinate(x(bar.value));
        if !is_drawable(bar.value) {
            svg.push_str("</g>");
            return;
        }
        match self.mark {
            BarMark::Bars => {
                let (zero, width) = (
                    coordinate(x(0.0).min(x(bar.value))),
                    coordinate((x(bar.value) - x(0.0)).abs()),
                );
                push!(
                    svg,
                    r#"<rect class="bar" x="{zero}" y="{}" width="{width}" height="12" rx="2"/>"#,
                    middle - 6.0
                );
            }
            BarMark::Dots => push!(
                svg,
                r#"<circle class="dot" cx="{at}" cy="{middle}" r="5"/>"#
            ),
        }
        if let Some((low, high)) = bar
            .range
            .filter(|(low, high)| is_drawable(*low) && is_drawable(*high))
        {
            let (low, high) = (coordinate(x(low)), coordinate(x(high)));
            push!(
                svg,
                r#"<path class="range" d="M{low} {middle}H{high}M{low} {0}v8M{high} {0}v8"/>"#,
                middle - 4.0
            );
        }
        svg.push_str("</g>");
    }
}
