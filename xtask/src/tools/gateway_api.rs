//! The Gateway API: its suite, the suite's backend, and the definitions that belong to a version.

use std::fs;
use std::path::{Path, PathBuf};

use super::go::{build, built, go, pins};
use crate::command::run;
use crate::{Outcome, root};

const PINNED: &str = "gateway-api-1.7.0";
/// The version that `conformance/go.mod` pins.
pub(crate) const GATEWAY_API_VERSION: &str = "1.7.0";

pub(super) fn echo_basic() -> Outcome<PathBuf> {
    let package = "sigs.k8s.io/gateway-api-conformance-images/echo-basic";
    built(".", "echo-basic", PINNED, &["build"], package)
}

pub(super) fn pinned_suite() -> Outcome<PathBuf> {
    suite(GATEWAY_API_VERSION)
}

pub(super) fn pinned_definitions() -> Outcome<PathBuf> {
    definitions(GATEWAY_API_VERSION)
}

/// The suite of a version, as a program.
pub(crate) fn suite(version: &str) -> Outcome<PathBuf> {
    let path = folder(version).join("conformance.test");
    if !path.exists() {
        build(&module(version)?, &path, &["test", "-c"], ".", "")?;
    }
    Ok(path)
}

/// Folder with the definitions of a version, one folder in it for each release channel.
pub(crate) fn definitions(version: &str) -> Outcome<PathBuf> {
    let path = folder(version).join("crds");
    if path.exists() {
        return Ok(path);
    }
    let module = module(version)?;
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

fn folder(version: &str) -> PathBuf {
    root().join(".tools").join(format!("gateway-api-{version}"))
}

/// The module that requires a version: of another one than the pinned a made one, with no checksums of ours.
fn module(version: &str) -> Outcome<PathBuf> {
    if version == GATEWAY_API_VERSION {
        return Ok(pins("."));
    }
    let module = folder(version).join("module");
    if module.join("go.sum").exists() {
        return Ok(module);
    }
    eprintln!("fetching the Gateway API's suite of version {version}");
    let text = format!(
        "module fleetgate.dev/conformance\n\nrequire (\n\tsigs.k8s.io/gateway-api v{version}\n\t\
         sigs.k8s.io/gateway-api/conformance v{version}\n)\n\n\
         replace sigs.k8s.io/gateway-api => sigs.k8s.io/gateway-api v{version}\n"
    );
    fs::create_dir_all(&module)
        .and_then(|()| fs::write(module.join("go.mod"), text))
        .and_then(|()| fs::copy(pins("conformance_test.go"), module.join("conformance_test.go")).map(drop))
        .map_err(|error| format!("cannot write to {}: {error}", module.display()))?;
    run(go(&module)?.args(["mod", "tidy"])).map_err(|error| {
        format!("{error}; is there a version {version} of sigs.k8s.io/gateway-api/conformance?")
    })?;
    Ok(module)
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
