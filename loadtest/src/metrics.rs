//! Reads Prometheus text.

use std::collections::BTreeMap;

/// One reading of `/metrics`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    series: Vec<(String, String, f64)>,
}

impl Metrics {
    /// Reads the text form; lines that are no series are skipped.
    pub(crate) fn parse(text: &str) -> Metrics {
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
        });
        Metrics { series: series.collect() }
    }

    /// Sum over all series of a name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.by_label(name, "").values().fold(0.0, |sum, value| sum + value)
    }

    /// True if there is a series of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.series.iter().any(|(given, ..)| given == name)
    }

    /// Sums of a name's series by the value of a label (empty where they have none).
    pub(crate) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (_, labels, value) in self.series.iter().filter(|(given, ..)| given == name) {
            let key = labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\""));
            *sums.entry(key.unwrap_or_default().trim_end_matches('"').to_owned()).or_insert(0.0) += value;
        }
        sums
    }

    /// What a counter has grown by since `before`, by a label; what has not grown is left out.
    pub(crate) fn growth(&self, before: &Metrics, name: &str, label: &str) -> BTreeMap<String, f64> {
        let old = before.by_label(name, label);
        let grown = self.by_label(name, label).into_iter().map(|(key, value)| {
            let by = value - old.get(&key).copied().unwrap_or(0.0);
            (key, by)
        });
        grown.filter(|(_, by)| *by != 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn series_are_summed_by_label() {
        let text = "# TYPE a counter\na{stage=\"x\",z=\"1\"} 2\na{stage=\"y\",z=\"1\"} 3\na{stage=\"x\",z=\"2\"} 4\nb 7.5\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a"), 9.0);
        assert_eq!(metrics.by_label("a", "stage")["x"], 6.0);
        assert_eq!(metrics.sum("b"), 7.5);
        assert!(metrics.has("b") && !metrics.has("c"));
        let before = Metrics::parse("a{stage=\"x\"} 1\na{stage=\"y\"} 3\n");
        let growth = metrics.growth(&before, "a", "stage");
        assert_eq!(growth.into_iter().collect::<Vec<_>>(), [("x".to_owned(), 5.0)]);
    }
}
