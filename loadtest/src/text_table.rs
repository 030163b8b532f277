//! The table for people.

use crate::check::Check;
use crate::report::Run;

/// All runs, the columns that any of them measured, and the targets of each.
pub(crate) fn render<R: Run>(records: &[R]) -> String {
    let columns: Vec<(&str, Vec<String>)> = R::columns()
        .into_iter()
        .map(|(name, value)| (name, records.iter().map(value).collect::<Vec<String>>()))
        .filter(|(_, cells)| cells.iter().any(|cell| cell != "-"))
        .collect();
    let mut rows = vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()];
    rows.extend((0..records.len()).map(|row| columns.iter().map(|(_, cells)| cells[row].clone()).collect()));
    let mut checks = vec![["routes", "what", "target", "reached", ""].map(str::to_owned).to_vec()];
    for record in records {
        for check in record.checks() {
            let verdict = if check.ok { "ok" } else { "MISSED" };
            let cells = [record.routes().to_string(), check.what.into(), number(check.target)];
            checks.push([cells.as_slice(), &[number(check.reached), verdict.into()]].concat());
        }
    }
    let mut text = align(&rows);
    if checks.len() > 1 {
        text += &format!("\n{}", align(&checks));
    }
    for record in records {
        for (what, count) in record.wrong() {
            text += &format!("wrong at {} routes: {count} x {what}\n", record.routes());
        }
    }
    text
}

/// Targets alone.
pub(crate) fn checks_table(checks: &[Check]) -> String {
    let mut rows = vec![["what", "target", "reached", ""].map(str::to_owned).to_vec()];
    rows.extend(checks.iter().map(|check| {
        let verdict = if check.ok { "ok" } else { "MISSED" };
        vec![check.what.to_owned(), number(check.target), number(check.reached), verdict.to_owned()]
    }));
    align(&rows)
}

/// A figure with the digits that mean something, or `-`.
pub(crate) fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn align(rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:>width$}", width = width(column)))
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{number, render};
    use crate::record::Record;

    #[test]
    fn columns_without_figures_are_left_out() {
        let record = Record { routes: 10_000, p50_ms: Some(12.345), rss_mib: 300.0, ..Record::default() };
        let text = render(&[record]);
        let header = text.lines().next().unwrap();
        assert!(header.contains("p50 ms") && !header.contains("p99 ms"), "{text}");
        assert!(
            text.contains("12.3") && text.contains("MISSED") && text.contains("resident memory"),
            "{text}"
        );
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        assert_eq!([1.234, 12.34, 1234.5, 3.0].map(number), ["1.23", "12.3", "1234", "3"]);
    }
}
