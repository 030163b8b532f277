//! The version of the API server.

use kube::Client;

use super::finding::Finding;

const CHECK: &str = "API server";
/// The oldest minor version whose definitions have validation rules without asking for it.
const OLDEST: u32 = 29;
/// The oldest with the admission policies that the Gateway API's bundle brings along.
const WITH_POLICIES: u32 = 30;

pub(super) async fn check(client: &Client) -> Finding {
    match client.apiserver_version().await {
        Ok(version) => judge(&version.git_version),
        Err(error) => Finding::fail(CHECK, error.to_string(), "see that `kubectl version` works"),
    }
}

/// From what it calls itself, e.g. `v1.37.2+k3s1`.
fn judge(version: &str) -> Finding {
    let mut numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    let found = format!("Kubernetes {version}");
    match (next(), next()) {
        (Some(1), Some(minor)) if minor >= WITH_POLICIES => Finding::ok(CHECK, found),
        (Some(1), Some(minor)) if minor >= OLDEST => Finding::warn(
            CHECK,
            found,
            format!(
                "Gateway API bundles have admission policies that Kubernetes 1.{WITH_POLICIES} brought: upgrade it"
            ),
        ),
        (Some(1), Some(minor)) if minor > 0 => Finding::fail(
            CHECK,
            found,
            format!("definitions with validation rules need Kubernetes 1.{OLDEST} or newer: upgrade it"),
        ),
        _ => Finding::warn(CHECK, found, "its version says nothing: see that it is 1.30 or newer"),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::commands::check::finding::State;

    #[test]
    fn versions() {
        for (version, state) in [
            ("v1.37.2", State::Ok),
            ("v1.30.0-eks-1234", State::Ok),
            ("v1.31+", State::Ok),
            ("v1.29.9+k3s1", State::Warn),
            ("v1.28.0", State::Fail),
            ("v0.0.0-master+$Format:%H$", State::Warn),
            ("", State::Warn),
        ] {
            assert_eq!(judge(version).state, state, "{version}");
        }
    }
}
