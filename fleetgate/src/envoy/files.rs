//! The files of one managed Envoy.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use proto::ResourceKey;

/// A log that has grown beyond this is set aside when its Envoy starts.
const LOG_LIMIT: u64 = 8 << 20;

/// Longest name of a socket without `.sock`: the kernel takes paths of 107 bytes.
const SOCKET_LIMIT: usize = 96;

/// `<state-dir>/envoy/<namespace>_<name>.{json,log,log.1,pid,sock}`. No Kubernetes name has an
/// underscore, so no two Gateways share a file.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The bootstrap; private, for it holds the token.
    pub(crate) bootstrap: PathBuf,
    /// Output of the process.
    pub(crate) log: PathBuf,
    /// Process id of the running one.
    pub(crate) pid: PathBuf,
    /// The Unix socket of Envoy's admin endpoint. Its name is short enough for the kernel, its path may not be: Envoy is
    /// told of it relative to its working directory, which is where its files are.
    pub(crate) admin: PathBuf,
}

impl Files {
    /// The files of `gateway` below `dir`.
    pub(crate) fn new(dir: &Path, gateway: &ResourceKey) -> Files {
        let whole = format!("{}_{}", gateway.namespace, gateway.name);
        // File names have 255 bytes; both names together may have more.
        let stem = shortened(&whole, 200);
        let file = |ending: &str| dir.join(format!("{stem}.{ending}"));
        let admin = dir.join(format!("{}.sock", shortened(&whole, SOCKET_LIMIT)));
        Files { bootstrap: file("json"), log: file("log"), pid: file("pid"), admin }
    }

    /// Where they are.
    pub(crate) fn dir(&self) -> &Path {
        self.bootstrap.parent().unwrap_or_else(|| Path::new("/"))
    }

    /// Name of the admin endpoint's socket.
    pub(crate) fn admin_name(&self) -> String {
        self.admin.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Removes what an Envoy of before left in the way of the next, and what earlier versions kept.
    pub(crate) fn clear(&self) {
        for file in [&self.admin, &self.bootstrap.with_extension("admin")] {
            // Nothing to do about it; Envoy says if it is in its way.
            let _ = fs::remove_file(file);
        }
    }

    /// Opens the log to append to it, after setting an overgrown one aside.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn open_log(&self) -> io::Result<File> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::rename(&self.log, self.log.with_extension("log.1"))?;
        }
        File::options().create(true).append(true).mode(0o600).open(&self.log)
    }

    /// Removes what only a running Envoy has; its log stays.
    pub(crate) fn remove(&self) {
        for file in [&self.bootstrap, &self.pid, &self.admin] {
            // Nothing to do about it, and a leftover does no harm.
            let _ = fs::remove_file(file);
        }
    }
}

/// The name, or a part of it and a hash of all of it.
fn shortened(whole: &str, limit: usize) -> String {
    if whole.len() <= limit {
        return whole.to_owned();
    }
    let hash = blake3::hash(whole.as_bytes()).to_hex();
    let short: String = whole.chars().take(limit * 3 / 4).collect();
    format!("{short}_{}", &hash[..16])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proto::{Kind, ResourceKey};

    use super::Files;

    #[test]
    fn no_two_gateways_share_a_file() {
        let files = |namespace: &str, name: &str| {
            Files::new(Path::new("/s"), &ResourceKey::local(Kind::GATEWAY, namespace, name))
        };
        assert_eq!(files("infra", "edge").bootstrap, Path::new("/s/infra_edge.json"));
        assert_eq!(files("infra", "edge").admin, Path::new("/s/infra_edge.sock"));
        assert_ne!(files("a-b", "c").log, files("a", "b-c").log);
        let long = "x".repeat(253);
        let (one, two) = (files(&long, "a"), files(&long, "b"));
        assert!(one.bootstrap != two.bootstrap && one.admin != two.admin);
        assert!(one.bootstrap.to_str().unwrap().len() < 200 && one.admin_name().len() <= 107);
        assert_eq!(one.dir(), Path::new("/s"));
    }
}
