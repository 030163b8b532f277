//! A pod's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`.

use std::io;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

/// Writes hostname and resolv.conf. There is no DNS server: with an empty list, resolvers ask 127.0.0.1 and are
/// refused at once.
///
/// # Errors
/// The disk's.
pub(super) fn write(pod_dir: &Path, pod: &Pod) -> io::Result<()> {
    let etc = pod_dir.join("etc");
    std::fs::create_dir_all(&etc)?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    std::fs::write(etc.join("hostname"), hostname(pod) + "\n")?;
    let search =
        format!("search {namespace}.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n");
    std::fs::write(etc.join("resolv.conf"), search)
}

/// The pod's host name: of `spec.hostname` or its name, as much as the kernel takes.
pub(super) fn hostname(pod: &Pod) -> String {
    let wanted =
        pod.spec.as_ref().and_then(|spec| spec.hostname.clone()).or_else(|| pod.metadata.name.clone());
    let mut name = wanted.unwrap_or_default();
    name.truncate(63);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Writes a file that is mounted into containers: the inode stays.
///
/// # Errors
/// The disk's.
pub(crate) fn write_in_place(path: &Path, text: &str) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_hosts() {
        let of = |name: String| {
            hostname(&serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap())
        };
        assert_eq!(of("web-0".into()), "web-0");
        assert_eq!(of(format!("{}-{}", "a".repeat(62), "b")), "a".repeat(62));
    }
}
