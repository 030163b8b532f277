//! `--watch-namespaces`.

use std::collections::BTreeSet;

use clap::Args;

use crate::kubernetes::proxies::is_system;

/// The namespaces that are watched.
#[derive(Args, Debug)]
pub(crate) struct Watched {
    /// Namespaces whose objects are read, and in which proxies are deployed [default: all]
    #[arg(
        long,
        value_name = "NS,NS",
        env = "FLEETGATE_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    watch_namespaces: Vec<String>,
}

impl Watched {
    /// Each once; empty for all.
    pub(crate) fn names(&self) -> Vec<String> {
        let named = self.watch_namespaces.iter().filter(|name| !name.is_empty());
        named.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
}

/// An empty one names none, as an empty variable does.
fn namespace(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.len() > 63 || !text.chars().all(is_inner) || text.starts_with('-') || text.ends_with('-') {
        return Err(
            "is no name of a namespace: write names with commas between them, e.g. team-a,team-b".into()
        );
    }
    if is_system(text) {
        return Err("belongs to Kubernetes itself, and nothing is written there: leave it out".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Watched;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        watched: Watched,
    }

    fn names(given: &str) -> Result<Vec<String>, String> {
        let line = Line::try_parse_from(["fleetgate", "--watch-namespaces", given]);
        line.map(|line| line.watched.names()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_namespace_counts_once_and_none_of_kubernetes() {
        assert_eq!(names("b,a, b").unwrap(), ["a", "b"]);
        assert!(names("").unwrap().is_empty());
        assert!(names("a,").unwrap() == ["a"]);
        assert!(names("kube-system").unwrap_err().contains("belongs to Kubernetes itself"));
        assert!(names("A_b").unwrap_err().contains("is no name of a namespace"));
    }
}
