use super::axis::Axis;
use super::{COLOR_COUNT, coordinate, is_drawable};
use crate::page::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 52.0;
/// More points than this are averaged in groups: the chart is not wide enough to show them.
const POINT_LIMIT: usize = 240;
/// Points of a plain line that answer to the mouse.
const HOVER_LIMIT: usize = 30;

/// Values over steps.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What the chart shows, for the caption.
    pub title: String,
    /// What runs to the right.
    pub x_label: String,
    /// What runs upwards.
    pub y_label: String,
    /// The lines, the later ones on top.
    pub lines: Vec<Line>,
}

/// A line of a [`LineChart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it stands for; lines with the same name and color share a legend entry.
    pub name: String,
    /// Index of its color, see [`Page`](crate::Page).
    pub color: usize,
    /// How it is drawn.
    pub style: LineStyle,
    /// Its points from left to right; those that are not finite, or beyond 1e30, are left out.
    pub points: Vec<(f64, f64)>,
}

/// How a [`Line`] is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStyle {
    /// Pale, behind the others: raw values under a smoothed line.
    Faint,
    /// A plain line.
    Solid,
    /// A line with a dot at every point.
    Dots,
}

/// The exponential moving average of values over steps, without the pull of a start value.
///
/// `weight` in `[0, 1)` is what a point keeps of its past: `s_i = w·s_{i−1} + (1−w)·y_i`, divided by `1 − w^i` (as Adam's moments are,
/// Kingma & Ba 2015, §3). Values that are not finite are skipped.
pub fn smooth(points: &[(f64, f64)], weight: f64) -> Vec<(f64, f64)> {
    let (mut sum, mut total) = (0.0, 0.0);
    let mut average = |&(x, y): &(f64, f64)| {
        sum = weight * sum + (1.0 - weight) * y;
        total = weight * total + (1.0 - weight);
        (x, sum / total)
    };
    points
        .iter()
        .filter(|point| point.1.is_finite())
        .map(&mut average)
        .collect()
}

impl LineChart {
    /// The chart as an `<svg>` element.
    pub fn to_svg(&self) -> String {
        let lines: Vec<(&Line, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|line| (line, thin(&line.points)))
            .collect();
        let label = escape(&format!(
            "{}: {} over {}",
            self.title, self.y_label, self.x_label
        ));
        let mut svg = format!(
            r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">"#
        );
        let points = || lines.iter().flat_map(|(_, points)| points);
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (left, right) = range(&mut points().map(|point| point.0));
        let (low, high) = range(&mut points().map(|point| point.1));
        if left > right {
            push!(
                svg,
                r#"<text class="tick" x="{}" y="{}" text-anchor="middle">no values</text></svg>"#,
                WIDTH / 2.0,
                HEIGHT / 2.0
            );
            return svg;
        }
        let plot = Plot {
            x: Axis::exact(left, right, 6),
            y: Axis::for_losses(low, high, 5),
        };
        plot.draw_axes(self, &mut svg);
        for (line, points) in &lines {
            plot.draw_line(line, points, &mut svg);
        }
        svg.push_str("</svg>");
        svg
    }
}

struct Plot {
    x: Axis,
    y: Axis,
}

impl Plot {
    fn x(&self, value: f64) -> String {
        coordinate(LEFT + self.x.position(value) * (WIDTH - LEFT - RIGHT))
    }

    fn y(&self, value: f64) -> String {
        coordinate(HEIGHT - BOTTOM - self.y.position(value) * (HEIGHT - TOP - BOTTOM))
    }

    fn draw_axes(&self, chart: &LineChart, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for &tick in &self.y.ticks {
            let (y, label) = (self.y(tick), self.y.label(tick));
            push!(svg, r#"<path class="grid" d="M{LEFT} {y}H{right}"/>"#);
            push!(
                svg,
                r#"<text class="tick" x="{}" y="{y}" dy=".35em" text-anchor="end">{label}</text>"#,
                LEFT - 8.0
            );
        }
        push!(svg, r#"<path class="axis" d="M{LEFT} {bottom}H{right}"/>"#);
        for &tick in &self.x.ticks {
            let (x, label) = (self.x(tick), self.x.label(tick));
            push!(svg, r#"<path class="axis" d="M{x} {bottom}v4"/>"#);
            push!(
                svg,
                r#"<text class="tick" x="{x}" y="{}" text-anchor="middle">{label}</text>"#,
                bottom + 19.0
            );
        }
        let (x, y) = (coordinate(f64::midpoint(LEFT, right)), HEIGHT - 8.0);
        push!(
            svg,
            r#"<text class="name" x="{x}" y="{y}" text-anchor="middle">{}</text>"#,
            escape(&chart.x_label)
        );
        let y = coordinate(f64::midpoint(TOP, bottom));
        let turned = format!(r#"x="14" y="{y}" transform="rotate(-90 14 {y})""#);
        push!(
            svg,
            r#"<text class="name" {turned} text-anchor="middle">{}</text>"#,
            escape(&chart.y_label)
        );
    }

    fn draw_line(&self, line: &Line, points: &[(f64, f64)], svg: &mut String) {
        let color = line.color % COLOR_COUNT;
        let class = if line.style == LineStyle::Faint {
            "line faint"
        } else {
            "line"
        };
        let path: Vec<String> = points
            .iter()
            .map(|&(x, y)| format!("{} {}", self.x(x), self.y(y)))
            .collect();
        push!(
            svg,
            r#"<g class="color-{color}"><path class="{class}" d="M{}"/>"#,
            path.join("L")
        );
        let (class, radius, stride) = match line.style {
            LineStyle::Faint => ("", 0, usize::MAX),
            LineStyle::Solid => ("hover", 9, points.len().div_ceil(HOVER_LIMIT)),
            LineStyle::Dots => ("dot", 3, 1),
        };
        for &(x, y) in points.iter().step_by(stride.max(1)).filter(|_| radius > 0) {
            let title = escape(&format!("{}, {:.0}: {y:.4}", line.name, x));
            push!(
                svg,
                r#"<circle class="{class}" cx="{}" cy="{}" r="{radius}">"#,
                self.x(x),
                self.y(y)
            );
            push!(svg, "<title>{title}</title></circle>");
        }
        svg.push_str("</g>");
    }
}

fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|(x, y)| is_drawable(*x) && is_drawable(*y))
        .collect();
    let group = finite.len().div_ceil(POINT_LIMIT).max(1);
    let mean = |points: &[(f64, f64)]| {
        let (x, y) = points
            .iter()
            .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (x / points.len() as f64, y / points.len() as f64)
    };
    finite.chunks(group).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_weighs_the_past() {
        // 0.5·1 + 0.5·2 is divided by 1 − 0.25: (0.25 + 1) / 0.75.
        let smoothed = smooth(&[(1.0, 1.0), (2.0, f64::NAN), (3.0, 2.0)], 0.5);
        assert_eq!(smoothed, [(1.0, 1.0), (3.0, 1.25 / 0.75)]);
    }

    #[test]
    fn a_chart_without_values_says_so() {
        let chart = |points| {
            let line = Line {
                name: "a".to_owned(),
                color: 0,
                style: LineStyle::Solid,
                points,
            };
            LineChart {
                title: "loss".to_owned(),
                x_label: "step".to_owned(),
                y_label: "loss".to_owned(),
                lines: vec![line],
            }
            .to_svg()
        };
        assert!(chart(vec![(1.0, f64::NAN)]).contains("no values"));
        assert!(!chart(vec![(1.0, 1.0)]).contains("no values"));
        assert!(!chart(vec![(1.0, 1.0)]).contains("NaN"));
    }
}
