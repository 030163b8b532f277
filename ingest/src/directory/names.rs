//! Which names of a directory are read.

use std::ffi::OsStr;
use std::path::Path;

/// True for `*.yaml`, `*.yml` and `*.json` that no editor left behind.
pub(super) fn is_source(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let read = [".yaml", ".yml", ".json"].iter().any(|end| name.len() > end.len() && name.ends_with(end));
    // `#x.yaml#`, `x.yaml~`, `4913` and `x.tmp` fail above already; Emacs's locks are `.#x.yaml`.
    read && !is_hidden(OsStr::new(name)) && !name.starts_with(['#', '~'])
}

/// True for names with a leading dot, Kubernetes' `..data` among them.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// True for JSON; everything else is YAML.
pub(super) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

#[cfg(test)]
mod tests {
    use super::is_source;

    #[test]
    fn only_finished_files_are_sources() {
        for name in ["a.yaml", "a.yml", "a.json", "a.b.yaml"] {
            assert!(is_source(name.as_ref()), "{name}");
        }
        for name in [
            ".a.yaml",
            ".a.yaml.swp",
            "a.yaml~",
            "#a.yaml#",
            ".#a.yaml",
            "4913",
            "a.tmp",
            "a.yaml.tmp",
            ".yaml",
            "~a.yaml",
        ] {
            assert!(!is_source(name.as_ref()), "{name}");
        }
    }
}
