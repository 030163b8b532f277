//! The files of one managed Envoy.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use proto::ResourceKey;

/// A log that has grown beyond this is set aside when its Envoy starts.
const LOG_LIMIT: u64 = 8 << 20;

/// `<state-dir>/envoy/<namespace>_<name>.{json,log,log.1,pid,admin}`. No Kubernetes name has an
/// underscore, so no two Gateways share a file.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The bootstrap; private, for it holds the token.
    pub(crate) bootstrap: PathBuf,
    /// Output of the process.
    pub(crate) log: PathBuf,
    /// Process id of the running one.
    pub(crate) pid: PathBuf,
    /// Where Envoy writes the address of its admin endpoint.
    pub(crate) admin: PathBuf,
}

impl Files {
    /// The files of `gateway` below `dir`.
    pub(crate) fn new(dir: &Path, gateway: &ResourceKey) -> Files {
        let stem = stem(&gateway.namespace, &gateway.name);
        let file = |ending: &str| dir.join(format!("{stem}.{ending}"));
        Files { bootstrap: file("json"), log: file("log"), pid: file("pid"), admin: file("admin") }
    }

    /// Opens the log to append to it, after setting an overgrown one aside.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn open_log(&self) -> io::Result<File> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::rename(&self.log, self.log.with_extension("log.1"))?;
        }
        File::options().create(true).append(true).open(&self.log)
    }

    /// Removes what only a running Envoy has; its log stays.
    pub(crate) fn remove(&self) {
        for file in [&self.bootstrap, &self.pid, &self.admin] {
            // Nothing to do about it, and a leftover does no harm.
            let _ = fs::remove_file(file);
        }
    }
}

fn stem(namespace: &str, name: &str) -> String {
    let whole = format!("{namespace}_{name}");
    // File names have 255 bytes; both names together may have more.
    if whole.len() <= 200 {
        return whole;
    }
    let hash = blake3::hash(whole.as_bytes()).to_hex();
    let short: String = whole.chars().take(150).collect();
    format!("{short}_{}", &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn no_two_gateways_share_a_stem() {
        assert_eq!(stem("infra", "edge"), "infra_edge");
        assert_ne!(stem("a-b", "c"), stem("a", "b-c"));
        let long = "x".repeat(253);
        assert_ne!(stem(&long, "a"), stem(&long, "b"));
        assert!(stem(&long, "a").len() < 200);
    }
}
