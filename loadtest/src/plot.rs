//! Latency against the number of routes, as an SVG.

use std::fmt::Write as _;

use crate::record::Record;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;

/// A line of the plot.
struct Line {
    name: &'static str,
    colour: &'static str,
    dash: &'static str,
    value: fn(&Record) -> Option<f64>,
}

const LINES: [Line; 4] = [
    Line { name: "fleetgate p99", colour: "#c2410c", dash: "", value: |r| r.p99_ms },
    Line { name: "floor p99", colour: "#c2410c", dash: "5 4", value: |r| r.floor_p99_ms },
    Line { name: "fleetgate p50", colour: "#1d4ed8", dash: "", value: |r| r.p50_ms },
    Line { name: "floor p50", colour: "#1d4ed8", dash: "5 4", value: |r| r.floor_p50_ms },
];

/// Where values lie on the page.
struct Scale {
    from: f64,
    to: f64,
    top: f64,
}

impl Scale {
    fn over(records: &[Record]) -> Scale {
        let routes = || records.iter().map(|record| (record.routes.max(1) as f64).log10());
        let values = records.iter().flat_map(|record| LINES.iter().filter_map(|line| (line.value)(record)));
        let from = routes().fold(f64::INFINITY, f64::min);
        let to = routes().fold(f64::NEG_INFINITY, f64::max);
        // One point alone stands in the middle.
        let (from, to) = if to - from < 0.1 { (from - 0.5, to + 0.5) } else { (from, to) };
        Scale { from, to, top: round_up(values.fold(1.0, f64::max)) }
    }

    fn x(&self, routes: usize) -> f64 {
        let share = ((routes.max(1) as f64).log10() - self.from) / (self.to - self.from);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, ms: f64) -> f64 {
        HEIGHT - BOTTOM - ms / self.top * (HEIGHT - TOP - BOTTOM)
    }
}

/// The next of 1, 2, 5, 10, 20, ...
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * unit).find(|step| *step >= value).unwrap_or(value)
}

/// Draws p50 and p99 of fleetgate and of the floor; routes on a logarithmic axis.
pub(crate) fn svg(title: &str, records: &[Record]) -> String {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(|record| record.routes);
    let scale = Scale::over(&sorted);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    text(&mut out, LEFT, 22.0, "start", &escape(title));
    axes(&mut out, &scale, &sorted);
    let mut labels = Vec::new();
    for line in &LINES {
        draw(&mut out, &scale, &sorted, line, &mut labels);
    }
    out.push_str("</svg>\n");
    out
}

fn axes(out: &mut String, scale: &Scale, records: &[Record]) {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for step in 0..=5 {
        let ms = scale.top * f64::from(step) / 5.0;
        let y = scale.y(ms);
        let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e5e7eb\"/>");
        text(out, LEFT - 8.0, y + 4.0, "end", &format!("{}", (ms * 100.0).round() / 100.0));
    }
    let _ = writeln!(out, "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>");
    let mut seen = Vec::new();
    for routes in records.iter().map(|record| record.routes) {
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

fn draw(out: &mut String, scale: &Scale, records: &[Record], line: &Line, labels: &mut Vec<f64>) {
    let points: Vec<(f64, f64)> = records
        .iter()
        .filter_map(|record| Some((scale.x(record.routes), scale.y((line.value)(record)?))))
        .collect();
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
    use super::{round_up, svg};
    use crate::record::Record;

    fn record(routes: usize, ms: f64) -> Record {
        Record { routes, p50_ms: Some(ms), floor_p50_ms: Some(ms / 2.0), ..Record::default() }
    }

    #[test]
    fn lines_grow_to_the_right_and_up() {
        let drawn = svg("a < b", &[record(10_000, 80.0), record(100, 8.0)]);
        let points = drawn.split("<polyline points=\"").nth(1).unwrap().split('"').next().unwrap();
        let points: Vec<Vec<f64>> =
            points.split(' ').map(|point| point.split(',').map(|n| n.parse().unwrap()).collect()).collect();
        assert!(points[0][0] < points[1][0] && points[0][1] > points[1][1], "{points:?}");
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert!(drawn.contains("a &lt; b") && drawn.ends_with("</svg>\n") && !drawn.contains("NaN"));
    }

    #[test]
    fn one_run_is_drawn_too() {
        let drawn = svg("t", &[record(100, 3.0)]);
        assert!(drawn.contains("<circle") && !drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(svg("t", &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn the_axis_ends_at_a_round_number() {
        assert_eq!([0.7, 3.0, 11.0, 100.0].map(round_up), [1.0, 5.0, 20.0, 100.0]);
    }
}
