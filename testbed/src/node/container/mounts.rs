//! What is mounted where in a container.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};

use super::env::expand;
use crate::node::volumes;

/// A file or directory of this machine, and where the container sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
}

/// The container's mounts: the pod's own files, then the volumes, outer ones first.
///
/// # Errors
/// A volume that the pod does not have, or a `subPath` that can't be made.
pub(crate) fn binds(
    pod: &Pod,
    container: &Container,
    pod_dir: &Path,
    program: &Path,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Bind>, String> {
    let mut binds = program_dir(program);
    for name in ["hosts", "resolv.conf", "hostname"] {
        let target = Path::new("/etc").join(name);
        binds.push(Bind { source: pod_dir.join("etc").join(name), target, read_only: false });
    }
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut own = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = volumes
            .clone()
            .find(|volume| volume.name == mount.name)
            .ok_or_else(|| format!("the pod has no volume {:?}", mount.name))?;
        let mut source = volumes::source(pod_dir, volume);
        let expression = mount.sub_path_expr.as_deref().map(|expression| expand(expression, env));
        if let Some(sub) = mount.sub_path.as_deref().or(expression.as_deref()).filter(|sub| !sub.is_empty()) {
            source = volumes::sub_path(&source, sub)?;
        }
        let written = volume.empty_dir.is_some() || volume.host_path.is_some();
        let read_only = !written || mount.read_only == Some(true);
        own.push(Bind { source, target: PathBuf::from("/").join(&mount.mount_path), read_only });
    }
    own.sort_by(|a, b| a.target.cmp(&b.target));
    // A volume at /etc/hosts takes the place of ours.
    binds.retain(|bind| !own.iter().any(|other| other.target == bind.target));
    binds.append(&mut own);
    Ok(binds)
}

/// The directory of the program, if it lies in another file system than the root: the overlay does not show it.
fn program_dir(program: &Path) -> Vec<Bind> {
    let dir = program.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    let device = |path: &Path| path.metadata().map(|meta| meta.dev()).ok();
    match dir {
        Some(dir) if device(&dir) != device(Path::new("/")) => {
            vec![Bind { source: dir.clone(), target: dir, read_only: true }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_at_their_places() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("volumes/data")).unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "spec": {
                "volumes": [{ "name": "data", "emptyDir": {} }, { "name": "tls", "secret": { "secretName": "x" } }],
                "containers": [{
                    "name": "c",
                    "volumeMounts": [
                        { "name": "tls", "mountPath": "/data/tls" },
                        { "name": "data", "mountPath": "/data" },
                        { "name": "data", "mountPath": "/etc/hosts", "subPathExpr": "$(POD)/x", "readOnly": true },
                    ],
                }],
            },
        }))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let env = [("POD".to_owned(), "p".to_owned())].into();
        let binds = binds(&pod, container, dir.path(), Path::new("/nowhere"), &env).unwrap();
        let at = |from: &str, to: &str, read_only| Bind {
            source: dir.path().join(from),
            target: to.into(),
            read_only,
        };
        let expected = [
            at("etc/resolv.conf", "/etc/resolv.conf", false),
            at("etc/hostname", "/etc/hostname", false),
            at("volumes/data", "/data", false),
            at("volumes/tls", "/data/tls", true),
            at("volumes/data/p/x", "/etc/hosts", true),
        ];
        assert_eq!(binds, expected);
        assert!(dir.path().join("volumes/data/p/x").is_dir());
        assert!(volumes::sub_path(dir.path(), "../x").unwrap_err().contains("out of the volume"));
    }
}
