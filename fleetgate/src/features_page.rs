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

/// Extended features of the profiles GATEWAY-HTTP, GATEWAY-GRPC, GATEWAY-TLS and GATEWAY-TCP that are not supported, and why.
const MISSING: [(&str, &str); 4] = [
    ("ClusterTrustBundle", "experimental channel; the suite has no test of it"),
    ("GatewayAddressRoutability", "experimental channel; the suite has no test of it"),
    ("GatewayAddressRoutabilityCluster", "experimental channel; the suite has no test of it"),
    ("GatewayListenerFilters", "experimental channel; the suite has no test of it"),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    let in_pods: BTreeSet<&str> = translate::POD_FEATURES.into_iter().collect();
    let all: BTreeSet<&str> = translate::FEATURES.iter().copied().chain(in_pods.iter().copied()).collect();
    for feature in &all {
        let level = if CORE.contains(feature) { "core" } else { "extended" };
        let place = if in_pods.contains(feature) { "in a cluster" } else { "everywhere" };
        writeln!(page, "| {feature} | {level} | {place} |").unwrap();
    }
    writeln!(page, "\n{} features.\n\n| not supported | why |\n|---|---|", all.len()).unwrap();
    for (feature, why) in MISSING {
        assert!(!all.contains(feature), "{feature} is supported");
        writeln!(page, "| {feature} | {why} |").unwrap();
    }
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
