//! `docs/features.md`, made from the code; `UPDATE_GOLDEN=1` writes it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# Supported features

Made from the code by a test (`UPDATE_GOLDEN=1 cargo test -p fleetgate features_page`); do not edit. The names are those
of the Gateway API's `GatewayClass.status.supportedFeatures`, v1.7.0. `cargo xtask conformance` shows that they hold; its
report is in `conformance/reports/`.

| feature | level | where |
|---|---|---|
";

/// The Gateway API calls these core; all others are extended.
const CORE: [&str; 6] = ["GRPCRoute", "Gateway", "HTTPRoute", "ReferenceGrant", "TCPRoute", "TLSRoute"];

const UNTESTED: &str = "Of those of the experimental channel the suite has no tests so far; ours are in \
    `fleetgate/tests/e2e/`: `experimental.rs`, `trust_bundles.rs`, `listener_filters.rs`.";

fn page() -> String {
    let mut page = HEAD.to_owned();
    let of_both = translate::EXPERIMENTAL_POD_FEATURES;
    let in_pods: BTreeSet<&str> = translate::POD_FEATURES.into_iter().chain(of_both).collect();
    let experimental: BTreeSet<&str> =
        translate::EXPERIMENTAL_FEATURES.iter().copied().chain(of_both).collect();
    let mut all: BTreeSet<&str> = in_pods.union(&experimental).copied().collect();
    all.extend(translate::FEATURES);
    for feature in &all {
        let level = if CORE.contains(feature) { "core" } else { "extended" };
        let place = match (in_pods.contains(feature), experimental.contains(feature)) {
            (true, true) => "in a cluster with the experimental channel",
            (true, false) => "in a cluster",
            (_, true) => "with the experimental channel",
            _ => "everywhere",
        };
        writeln!(page, "| {feature} | {level} | {place} |").unwrap();
    }
    writeln!(page, "\n{} features: of profiles GATEWAY-HTTP, GATEWAY-GRPC, GATEWAY-TLS and GATEWAY-TCP all that there are. {UNTESTED}", all.len())
        .unwrap();
    page.push_str("\n## Kinds that are read\n\n| kind | group | status is written |\n|---|---|---|\n");
    for kind in ingest::kubernetes::kinds() {
        let group = if kind.kind.group().is_empty() { "core" } else { kind.kind.group() };
        let status = if kind.has_status { "yes" } else { "" };
        writeln!(page, "| {} | {group} | {status} |", kind.kind.kind()).unwrap();
    }
    page
}

#[test]
fn the_page_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/features.md");
    let made = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(made, there, "UPDATE_GOLDEN=1 writes docs/features.md");
}
