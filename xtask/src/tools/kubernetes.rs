//! Kubernetes, etcd and the Gateway API's suite, built from Go modules that `conformance/` pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{command, run, works};
use crate::{Outcome, root};

/// The suite needs it; an older Go fetches it by itself.
const TOOLCHAIN: &str = "go1.27.4";
const KUBERNETES: &str = "kubernetes-1.37.2";
/// What a release is told to say of itself; charts look at it.
const KUBERNETES_VERSION: &str = "-X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37";
const ETCD: &str = "etcd-3.6.6";
const GATEWAY_API: &str = "gateway-api-1.7.0";
/// The version that `conformance/go.mod` pins.
pub(crate) const GATEWAY_API_VERSION: &str = "1.7.0";

pub(super) fn etcd() -> Outcome<PathBuf> {
    built("etcd", "etcd", ETCD, &["build"], "go.etcd.io/etcd/server/v3")
}

pub(super) fn api_server() -> Outcome<PathBuf> {
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")
}

pub(super) fn controller_manager() -> Outcome<PathBuf> {
    kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager")
}

/// One that does not say its version is built anew.
fn kubernetes(name: &str, package: &str) -> Outcome<PathBuf> {
    let path = root().join(".tools").join(KUBERNETES).join(name);
    let wanted = KUBERNETES.replace("kubernetes-", "Kubernetes v");
    let told = command(&path, &["--version"]).output();
    if told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).trim() == wanted) {
        return Ok(path);
    }
    build("kubernetes", &path, &["build"], package, KUBERNETES_VERSION)?;
    Ok(path)
}

pub(super) fn echo_basic() -> Outcome<PathBuf> {
    let package = "sigs.k8s.io/gateway-api-conformance-images/echo-basic";
    built(".", "echo-basic", GATEWAY_API, &["build"], package)
}

pub(super) fn conformance() -> Outcome<PathBuf> {
    built(".", "conformance.test", GATEWAY_API, &["test", "-c"], ".")
}

/// The suite of another version than the pinned one: a module of its own, with no checksums of ours.
pub(crate) fn conformance_of(version: &str) -> Outcome<PathBuf> {
    if version == GATEWAY_API_VERSION {
        return conformance();
    }
    let folder = root().join(".tools").join(format!("gateway-api-{version}"));
    let (path, module) = (folder.join("conformance.test"), folder.join("module"));
    if path.exists() {
        return Ok(path);
    }
    eprintln!("building the suite of version {version} (Go; minutes)");
    let main = root().join("conformance/conformance_test.go");
    let text = format!(
        "module fleetgate.dev/conformance\n\nrequire (\n\tsigs.k8s.io/gateway-api v{version}\n\t\
         sigs.k8s.io/gateway-api/conformance v{version}\n)\n\n\
         replace sigs.k8s.io/gateway-api => sigs.k8s.io/gateway-api v{version}\n"
    );
    fs::create_dir_all(&module)
        .and_then(|()| fs::write(module.join("go.mod"), text))
        .and_then(|()| fs::copy(&main, module.join("conformance_test.go")).map(drop))
        .map_err(|error| format!("cannot write to {}: {error}", module.display()))?;
    run(go(&module)?.args(["mod", "tidy"]))?;
    run(go(&module)?.args(["test", "-c", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(&path).arg("."))?;
    Ok(path)
}

/// Folder with the Gateway API's definitions, one folder in it for each release channel.
pub(super) fn definitions() -> Outcome<PathBuf> {
    let path = root().join(".tools").join(GATEWAY_API).join("crds");
    if path.exists() {
        return Ok(path);
    }
    let module = root().join("conformance");
    let list = ["list", "-mod=mod", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"];
    run(go(&module)?.args(["mod", "download", "sigs.k8s.io/gateway-api"]))?;
    let listed = go(&module)?.args(list).output().map_err(|error| format!("cannot run go: {error}"))?;
    let source = PathBuf::from(String::from_utf8_lossy(&listed.stdout).trim()).join("config/crd");
    let staging = path.with_extension("new");
    // What a crash may have left.
    let _ = fs::remove_dir_all(&staging);
    for channel in ["standard", "experimental"] {
        copy_yaml(&source.join(channel), &staging.join(channel))
            .map_err(|error| format!("cannot copy the definitions from {}: {error}", source.display()))?;
    }
    fs::rename(&staging, &path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    Ok(path)
}

fn copy_yaml(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".yaml") && text != "kustomization.yaml" {
            // Not copied with its mode: files of the module cache cannot be written.
            fs::write(to.join(&name), fs::read(from.join(&name))?)?;
        }
    }
    Ok(())
}

/// Path of a program, built first if it is not there.
fn built(module: &str, name: &str, folder: &str, how: &[&str], package: &str) -> Outcome<PathBuf> {
    let path = root().join(".tools").join(folder).join(name);
    if !path.exists() {
        build(module, &path, how, package, "")?;
    }
    Ok(path)
}

/// Builds a program; renamed into place when it is whole.
fn build(module: &str, path: &Path, how: &[&str], package: &str, flags: &str) -> Outcome {
    eprintln!("building {} (Go; minutes if it is the first)", path.display());
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let draft = path.with_extension("new");
    run(go(&root().join("conformance").join(module))?
        .args(how)
        .args(["-mod=mod", "-trimpath", "-ldflags", format!("-s -w {flags}").trim(), "-o"])
        .arg(&draft)
        .arg(package))?;
    fs::rename(&draft, path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

fn go(folder: &Path) -> Outcome<Command> {
    if !works(&mut command("go", &["version"])) {
        return Err("the test bed is built with Go, which is missing; install Go 1.21 or newer \
                    (https://go.dev/doc/install) and run this again"
            .to_owned());
    }
    let mut go = command("go", &[]);
    go.current_dir(folder).env("GOTOOLCHAIN", TOOLCHAIN).env("CGO_ENABLED", "0");
    Ok(go)
}
