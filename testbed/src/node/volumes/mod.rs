//! A pod's volumes: what is in them, where it lies, and its refresh.

mod content;
mod layout;
mod token;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};

use super::context::Context;
pub(super) use content::{Content, Sources};
pub(super) use layout::write_atomically;
pub(super) use token::Tokens;

/// Prepares and refreshes the volumes of one pod.
pub(super) struct Volumes {
    dir: PathBuf,
    tokens: Tokens,
}

impl Volumes {
    /// The volumes of the pod with this uid.
    pub(super) fn new(cx: &Context, uid: &str) -> Volumes {
        Volumes { dir: cx.pod_dir(uid).join("volumes"), tokens: Tokens::default() }
    }

    /// Makes all volumes, or brings them up to date.
    ///
    /// # Errors
    /// The volume that can't be made yet, and why. The others are made all the same.
    pub(super) async fn prepare(&mut self, cx: &Context, pod: &Pod, sources: &Sources) -> Result<(), String> {
        let Some(spec) = &pod.spec else { return Ok(()) };
        let mut result = Ok(());
        for volume in spec.volumes.iter().flatten() {
            if let Err(error) = self.prepare_one(cx, pod, spec, volume, sources).await {
                result = Err(format!("MountVolume.SetUp failed for volume {:?} : {error}", volume.name));
            }
        }
        result
    }

    async fn prepare_one(
        &mut self,
        cx: &Context,
        pod: &Pod,
        spec: &PodSpec,
        volume: &Volume,
        sources: &Sources,
    ) -> Result<(), String> {
        let dir = self.dir.join(&volume.name);
        let group = spec.security_context.as_ref().and_then(|security| security.fs_group);
        let failed = |error: std::io::Error| format!("{} can't be written: {error}", dir.display());
        if volume.empty_dir.is_some() {
            return layout::empty_dir(&dir, group).map_err(failed);
        }
        if let Some(host) = &volume.host_path {
            return match host.type_.as_deref() {
                Some("DirectoryOrCreate") => std::fs::create_dir_all(&host.path).map_err(failed),
                _ if Path::new(&host.path).exists() => Ok(()),
                _ => Err(format!("the host path {} does not exist", host.path)),
            };
        }
        self.tokens.request(cx, pod, volume).await?;
        let files = content::of(pod, volume, sources, &self.tokens)?;
        write_atomically(&dir, &files, group).map_err(failed)
    }

    /// When tokens have to be renewed.
    pub(super) fn next_renewal(&self) -> Instant {
        self.tokens.next_renewal().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }
}

/// Where the volume lies on this machine.
pub(super) fn source(pod_dir: &Path, volume: &Volume) -> PathBuf {
    match &volume.host_path {
        Some(host) => PathBuf::from(&host.path),
        None => pod_dir.join("volumes").join(&volume.name),
    }
}

/// Makes the directory (or finds the file) of a volume's `subPath`.
///
/// # Errors
/// The path leaves the volume or can't be made.
pub(super) fn sub_path(source: &Path, sub: &str) -> Result<PathBuf, String> {
    let wrong = Path::new(sub).components().any(|part| !matches!(part, std::path::Component::Normal(_)));
    if wrong {
        return Err(format!("subPath {sub:?} leads out of the volume"));
    }
    let path = source.join(sub);
    if !path.exists() {
        std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)))
            .map_err(|error| format!("subPath {sub:?} can't be made: {error}"))?;
    }
    Ok(path)
}

/// Files by their path in a volume.
pub(super) type Files = BTreeMap<String, Content>;
