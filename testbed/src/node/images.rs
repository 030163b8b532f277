//! Which program stands for an image.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A program in an image's place: its ENTRYPOINT, CMD and ENV.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    /// Absolute path: the ENTRYPOINT.
    pub(super) program: PathBuf,
    /// The CMD.
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// Variables under the container's own.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

impl Image {
    /// Directories of this machine on the way to the image's files that other users may not pass.
    ///
    /// What is in an image is there for any user, and a checkout may lie in a private directory.
    pub(super) fn private_dirs(&self) -> BTreeSet<PathBuf> {
        let is_private = |dir: &&Path| {
            dir.metadata().is_ok_and(|meta| meta.is_dir() && meta.permissions().mode() & 0o001 == 0)
        };
        let named = self.env.values().map(Path::new).filter(|path| path.is_absolute());
        let files = named.chain([self.program.as_path()]).flat_map(|path| {
            let real = path.canonicalize().ok().filter(|real| real != path);
            real.into_iter().chain([path.to_owned()])
        });
        files
            .flat_map(|path| path.ancestors().filter(is_private).map(Path::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

/// Finds the image's program. The file is read each time, so images can be added while the node runs.
///
/// # Errors
/// A sentence: no such image, or its program is missing.
pub(super) fn find(file: &Path, image: &str) -> Result<Image, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("the list of images {} can't be read: {error}", file.display()))?;
    let known: BTreeMap<String, Image> = serde_json::from_str(&text)
        .map_err(|error| format!("the list of images {} is no map of images: {error}", file.display()))?;
    let found = names(image).find_map(|name| known.get(name)).cloned().ok_or_else(|| {
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        format!("no program stands for the image {image:?}; this node has {}", names.join(", "))
    })?;
    if !found.program.is_file() {
        return Err(format!("the program {} of the image {image:?} does not exist", found.program.display()));
    }
    Ok(found)
}

/// The image's name without tag and digest, then without its leading segments, one after another.
fn names(image: &str) -> impl Iterator<Item = &str> {
    let name = image.split('@').next().unwrap_or(image);
    let name = match name.rfind(':') {
        Some(colon) if !name[colon..].contains('/') => &name[..colon],
        _ => name,
    };
    std::iter::successors(Some(name), |name| name.split_once('/').map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let all: Vec<_> = names("registry.k8s.io:443/gateway-api/echo-basic:v0.1.0").collect();
        assert_eq!(
            all,
            ["registry.k8s.io:443/gateway-api/echo-basic", "gateway-api/echo-basic", "echo-basic"]
        );
        assert_eq!(names("localhost:5000/x").last(), Some("x"));
        assert_eq!(names("envoy@sha256:abc").collect::<Vec<_>>(), ["envoy"]);
        assert_eq!(names("envoy:v1@sha256:abc").collect::<Vec<_>>(), ["envoy"]);
    }

    #[test]
    fn unknown_and_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("images.json");
        std::fs::write(&file, r#"{"sh": {"program": "/bin/sh"}, "gone": {"program": "/nowhere/x"}}"#)
            .unwrap();
        assert_eq!(find(&file, "docker.io/library/sh:1").unwrap().program, Path::new("/bin/sh"));
        assert!(find(&file, "nginx:1").unwrap_err().contains("no program stands for the image \"nginx:1\""));
        assert!(find(&file, "gone").unwrap_err().contains("/nowhere/x"));
        std::fs::write(&file, "[]").unwrap();
        assert!(find(&file, "sh").unwrap_err().contains("no map of images"));
    }
}
