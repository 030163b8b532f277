//! Figures against the number of routes, as an SVG.

use std::fmt::Write as _;

use crate::report::Run;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;

/// A line of the plot.
pub(crate) struct Line<R> {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) dash: &'static str,
    pub(crate) value: fn(&R) -> Option<f64>,
}

/// The axis of the figures, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// From 0.
    Linear,
    /// Whole powers of ten at both ends.
    Logarithmic,
}

/// Where values lie on the page.
struct Scale {
    from: f64,
    to: f64,
    bottom: f64,
    top: f64,
    axis: Axis,
}

impl Scale {
    fn over<R: Run>(runs: &[&R], lines: &[Line<R>], axis: Axis) -> Scale {
        let routes = || runs.iter().map(|run| (run.routes().max(1) as f64).log10());
        let values = || runs.iter().flat_map(|run| lines.iter().filter_map(|line| (line.value)(run)));
        let from = routes().fold(f64::INFINITY, f64::min);
        let to = routes().fold(f64::NEG_INFINITY, f64::max);
        // One point alone stands in the middle.
        let (from, to) = if to - from < 0.1 { (from - 0.5, to + 0.5) } else { (from, to) };
        let (bottom, top) = match axis {
            Axis::Linear => (0.0, round_up(values().fold(1.0, f64::max))),
            Axis::Logarithmic => {
                let least = values().filter(|value| *value > 0.0).fold(1.0, f64::min);
                let most = values().fold(10.0, f64::max);
                (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()))
            }
        };
        Scale { from, to, bottom, top, axis }
    }

    fn x(&self, routes: usize) -> f64 {
        let share = ((routes.max(1) as f64).log10() - self.from) / (self.to - self.from);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, ms: f64) -> f64 {
        let share = match self.axis {
            Axis::Linear => ms / self.top,
            Axis::Logarithmic => {
                (ms.max(self.bottom) / self.bottom).log10() / (self.top / self.bottom).log10()
            }
        };
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.axis {
            Axis::Linear => (0..=5).map(|step| self.top * f64::from(step) / 5.0).collect(),
            Axis::Logarithmic => {
                let decades = std::iter::successors(Some(self.bottom), |tick| Some(tick * 10.0));
                decades.take_while(|tick| *tick <= self.top * 1.001).collect()
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20, ...
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * unit).find(|step| *step >= value).unwrap_or(value)
}

/// Draws the lines; routes on a logarithmic axis.
pub(crate) fn svg<R: Run>(title: &str, lines: &[Line<R>], axis: Axis, runs: &[R]) -> String {
    let mut sorted: Vec<&R> = runs.iter().collect();
    sorted.sort_by_key(|run| run.routes());
    let scale = Scale::over(&sorted, lines, axis);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut out, LEFT, 22.0, "start", &escape(title));
    axes(&mut out, &scale, &sorted);
    let mut labels = Vec::new();
    for line in lines {
        draw(&mut out, &scale, &sorted, line, &mut labels);
    }
    out.push_str("</svg>\n");
    out
}

fn axes<R: Run>(out: &mut String, scale: &Scale, runs: &[&R]) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for ms in scale.ticks() {
        let y = scale.y(ms);
        let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e5e7eb\"/>");
        text(out, LEFT - 8.0, y + 4.0, "end", &format!("{}", (ms * 100.0).round() / 100.0));
    }
    let _ = writeln!(out, "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>");
    let mut seen = Vec::new();
    for routes in runs.iter().map(|run| run.routes()) {
        if !seen.contains(&routes) {
            let x = scale.x(routes);
            let _ = writeln!(out, "<path d=\"M{x:.1} {bottom}v5\" stroke=\"black\"/>");
            text(out, x, bottom + 20.0, "middle", &routes.to_string());
            seen.push(routes);
        }
    }
    text(out, f64::midpoint(LEFT, right), bottom + 42.0, "middle", "routes");
    text(out, LEFT - 8.0, TOP - 8.0, "end", "ms");
}

fn draw<R: Run>(out: &mut String, scale: &Scale, runs: &[&R], line: &Line<R>, labels: &mut Vec<f64>) {
    let points: Vec<(f64, f64)> =
        runs.iter().filter_map(|run| Some((scale.x(run.routes()), scale.y((line.value)(run)?)))).collect();
    let Some((_, last)) = points.last() else { return };
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let Line { name, colour, dash, .. } = line;
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>",
        path.join(" ")
    );
    for (x, y) in &points {
        let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
    // Labels of lines that end close together are moved apart.
    let mut y = *last;
    while labels.iter().any(|other| (other - y).abs() < 14.0) {
        y += 2.0;
    }
    labels.push(y);
    text(out, WIDTH - RIGHT + 12.0, y + 4.0, "start", name);
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::{Axis, round_up, svg};
    use crate::record::{LINES, Record};

    fn record(routes: usize, ms: f64) -> Record {
        Record { routes, p50_ms: Some(ms), floor_p50_ms: Some(ms / 2.0), ..Record::default() }
    }

    #[test]
    fn lines_grow_to_the_right_and_up() {
        let drawn = svg("a < b", &LINES, Axis::Linear, &[record(10_000, 80.0), record(100, 8.0)]);
        let points = drawn.split("<polyline points=\"").nth(1).unwrap().split('"').next().unwrap();
        let points: Vec<Vec<f64>> =
            points.split(' ').map(|point| point.split(',').map(|n| n.parse().unwrap()).collect()).collect();
        assert!(points[0][0] < points[1][0] && points[0][1] > points[1][1], "{points:?}");
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert!(drawn.contains("a &lt; b") && drawn.ends_with("</svg>\n") && !drawn.contains("NaN"));
    }

    #[test]
    fn one_run_is_drawn_too() {
        let drawn = svg("t", &LINES, Axis::Linear, &[record(100, 3.0)]);
        assert!(drawn.contains("<circle") && !drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(svg::<Record>("t", &LINES, Axis::Linear, &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn a_logarithmic_axis_has_a_line_a_decade() {
        let runs = [record(100, 3.0), record(100_000, 1200.0)];
        let drawn = svg("t", &LINES, Axis::Logarithmic, &runs);
        assert_eq!(drawn.matches("stroke=\"#e5e7eb\"").count(), 5, "1, 10, 100, 1000, 10000: {drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(!svg::<Record>("t", &LINES, Axis::Logarithmic, &[]).contains("-inf"));
    }

    #[test]
    fn the_axis_ends_at_a_round_number() {
        assert_eq!([0.7, 3.0, 11.0, 100.0].map(round_up), [1.0, 5.0, 20.0, 100.0]);
    }
}
