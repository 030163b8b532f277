//! The charts as helm sees them: `UPDATE_GOLDEN=1` writes what they are compared with.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CHARTS: [&str; 2] = ["fleetgate", "fleetgate-crds"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn chart(name: &str) -> PathBuf {
    root().join("deploy/charts").join(name)
}

/// Runs helm; without it the test is skipped.
fn helm(arguments: &[&str]) -> Option<Output> {
    let helm = needs::tool("bin/helm")?;
    // Nothing of the user's, and no cluster.
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(helm);
    command.args(arguments).current_dir(root()).env("HOME", home.path()).env_remove("KUBECONFIG");
    Some(command.output().unwrap())
}

/// Renders a chart as release `rel` in namespace `infra`.
fn template(name: &str, more: &[&str]) -> Option<Output> {
    let chart = chart(name);
    helm(&[&["template", "rel", chart.to_str().unwrap(), "--namespace", "infra"], more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The sets of values: names of the files without `.yaml`.
fn sets() -> Vec<String> {
    let names = fs::read_dir(root().join("deploy/tests")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| !name.ends_with(".golden.yaml"));
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    names
}

#[test]
fn charts_have_no_lint() {
    for name in CHARTS {
        let path = chart(name);
        let Some(output) = helm(&["lint", "--strict", path.to_str().unwrap()]) else { return };
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn values_give_what_the_goldens_say() {
    for set in sets() {
        let values = format!("deploy/tests/{set}.yaml");
        let Some(output) = template("fleetgate", &["--values", &values]) else { return };
        assert!(output.status.success(), "{set}: {}", text(&output.stderr));
        let golden = root().join(format!("deploy/tests/{set}.golden.yaml"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &output.stdout).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            wanted == text(&output.stdout),
            "helm makes something else of {values} than {} says: UPDATE_GOLDEN=1 writes it anew",
            golden.display()
        );
    }
}

#[test]
fn definitions_are_rendered_as_they_are() {
    let Some(output) = template("fleetgate-crds", &[]) else { return };
    let rendered = text(&output.stdout);
    let mut count = 0;
    for entry in fs::read_dir(chart("fleetgate-crds").join("templates")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            count += 1;
            assert!(rendered.contains(fs::read_to_string(&path).unwrap().trim()), "{}", path.display());
        }
    }
    assert_eq!(rendered.matches("kind: CustomResourceDefinition").count(), count);
}

#[test]
fn values_that_are_none_are_refused() {
    let refused = [
        ("fleetgate", "replicas=2", "replicas"),
        ("fleetgate", "image.tagg=1", "tagg"),
        ("fleetgate", "logLevel=loud", "logLevel"),
        ("fleetgate", "xds.port=0", "port"),
        ("fleetgate", "replicaCount=two", "replicaCount"),
        ("fleetgate", "image.digest=latest", "digest"),
        ("fleetgate", "gatewayClass.parametersRef.name=x", "parametersRef"),
        ("fleetgate", "state.persistence.enabled=true,replicaCount=2", "one replica"),
        ("fleetgate", "state.persistence.enabled=true,autoscaling.enabled=true", "one replica"),
        ("fleetgate", "state.persistence.enabled=true,updateStrategy.type=RollingUpdate", "Recreate"),
        ("fleetgate", "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1", "not both"),
        ("fleetgate", "autoscaling.enabled=true,autoscaling.minReplicas=9", "maxReplicas"),
        ("fleetgate", "podDisruptionBudget.minAvailable=0,podDisruptionBudget.maxUnavailable=0", "not both"),
        ("fleetgate", "gatewayClass.name=Bad_Name", "gatewayClass"),
        ("fleetgate", "gatewayClass.name=", "gatewayClass"),
        ("fleetgate", "fullnameOverride=1st", "fullnameOverride"),
        ("fleetgate", "nameOverride=a.b", "nameOverride"),
        ("fleetgate", "serviceAccount.name=Me", "serviceAccount"),
        ("fleetgate", "imagePullSecrets={A_b}", "imagePullSecrets"),
        ("fleetgate", "image.repository=Fleetgate", "repository"),
        ("fleetgate", "proxy.image.tag=a:b", "tag"),
        ("fleetgate", "global.imageRegistry=https://r", "imageRegistry"),
        ("fleetgate", "resources.limits.memory=1GiB", "memory"),
        ("fleetgate", "state.sizeLimit=big", "sizeLimit"),
        ("fleetgate", "commonLabels.a=b c", "commonLabels"),
        ("fleetgate", "podAnnotations.a b=c", "a b"),
        ("fleetgate", "metrics.serviceMonitor.interval=30", "interval"),
        ("fleetgate", "xds.service=host:0", "service"),
        ("fleetgate", "xds.port=8081", "the same"),
        ("fleetgate", "watchNamespaces={kube-system}", "watchNamespaces"),
        ("fleetgate", "watchNamespaces={A}", "watchNamespaces"),
        (
            "fleetgate",
            "watchNamespaces={a},gatewayClass.parametersRef.group=g,gatewayClass.parametersRef.kind=K,gatewayClass.parametersRef.name=n,gatewayClass.parametersRef.namespace=b",
            "add it to watchNamespaces",
        ),
        (
            "fleetgate",
            "autoscaling.enabled=true,autoscaling.targetCPUUtilizationPercentage=0",
            "both targets are 0",
        ),
        ("fleetgate-crds", "anything=1", "anything"),
    ];
    for (name, values, word) in refused {
        let Some(output) = template(name, &["--set", values]) else { return };
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(word), "{values}: {told}");
    }
}

#[test]
fn zero_is_a_value() {
    let lines = |values: &str| {
        let output = template("fleetgate", &["--set", values])?;
        assert!(output.status.success(), "{values}: {}", text(&output.stderr));
        Some(text(&output.stdout))
    };
    let budget = "podDisruptionBudget.enabled=true";
    for (values, line) in [
        (format!("{budget},podDisruptionBudget.minAvailable=0"), "minAvailable: 0"),
        (format!("{budget},podDisruptionBudget.minAvailable=0%"), "minAvailable: 0%"),
        (format!("{budget},podDisruptionBudget.maxUnavailable=0"), "maxUnavailable: 0"),
        (format!("{budget},podDisruptionBudget.minAvailable=null"), "minAvailable: 1"),
        ("replicaCount=0".to_owned(), "replicas: 0"),
        ("revisionHistoryLimit=0".to_owned(), "revisionHistoryLimit: 0"),
        ("terminationGracePeriodSeconds=0".to_owned(), "terminationGracePeriodSeconds: 0"),
        ("readinessProbe.initialDelaySeconds=0".to_owned(), "initialDelaySeconds: 0"),
        ("updateStrategy.rollingUpdate.maxUnavailable=0".to_owned(), "maxUnavailable: 0"),
    ] {
        let Some(rendered) = lines(&values) else { return };
        assert!(rendered.lines().any(|rendered| rendered.trim() == line), "{values}: no line {line:?}");
    }
}

#[test]
fn names_of_releases_make_names_of_services() {
    let chart = chart("fleetgate");
    let chart = chart.to_str().unwrap();
    let Some(dotted) = helm(&["template", "team.edge", chart]) else { return };
    assert!(text(&dotted.stdout).contains("name: team-edge-fleetgate\n"), "{}", text(&dotted.stderr));
    for (arguments, word) in [
        (["template", "1st", chart].to_vec(), "set fullnameOverride"),
        (["template", "rel", chart, "--namespace", "kube-system"].to_vec(), "a namespace of its own"),
    ] {
        let output = helm(&arguments).unwrap();
        assert!(!output.status.success() && text(&output.stderr).contains(word), "{arguments:?}");
    }
}
