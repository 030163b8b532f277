//! How a volume lies on disk: kubelet's layout, in which an update is the swap of one symbolic link.
//!
//! ```text
//! volume/..data -> ..7          volume/..7/tls.crt
//! volume/tls.crt -> ..data/tls.crt
//! ```

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::Files;

const DATA: &str = "..data";

/// Writes the files, unless they are there already.
///
/// # Errors
/// The disk's.
pub(crate) fn write_atomically(dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let data = dir.join(DATA);
    let old = std::fs::read_link(&data).ok();
    if old.is_some() && is_current(&data, files) {
        return Ok(());
    }
    let generation =
        old.as_ref().and_then(|old| old.to_str()?.strip_prefix("..")?.parse::<u64>().ok()).unwrap_or(0) + 1;
    let name = format!("..{generation}");
    let new = dir.join(&name);
    match std::fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::create_dir(&new)?,
    }
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755))?;
    for (path, content) in files {
        write_file(&new.join(path), content, group)?;
    }
    let next = dir.join("..data_tmp");
    let _ = std::fs::remove_file(&next);
    symlink(&name, &next)?;
    std::fs::rename(&next, &data)?;
    link_top_level(dir, files)?;
    if let Some(old) = old {
        let _ = std::fs::remove_dir_all(dir.join(old));
    }
    Ok(())
}

fn write_file(path: &Path, content: &super::Content, group: Option<i64>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, &content.bytes)?;
    let mut mode = content.mode;
    if let Some(group) = group {
        chown(path, None, u32::try_from(group).ok())?;
        mode |= 0o440;
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
}

fn is_current(data: &Path, files: &Files) -> bool {
    let mut count = 0;
    let mut open = vec![data.to_owned()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(dir) else { return false };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => count += 1,
            }
        }
    }
    count == files.len()
        && files
            .iter()
            .all(|(path, content)| std::fs::read(data.join(path)).is_ok_and(|bytes| bytes == content.bytes))
}

fn link_top_level(dir: &Path, files: &Files) -> io::Result<()> {
    let wanted: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for entry in std::fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    for name in wanted {
        match symlink(Path::new(DATA).join(name), dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes an emptyDir, writable for all.
///
/// # Errors
/// The disk's.
pub(super) fn empty_dir(dir: &Path, group: Option<i64>) -> io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    let mut mode = 0o777;
    if let Some(group) = group {
        chown(dir, None, u32::try_from(group).ok())?;
        mode |= 0o2000;
    }
    std::fs::set_permissions(dir, PermissionsExt::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::super::Content;
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter().map(|(p, t)| ((*p).into(), Content { bytes: t.as_bytes().into(), mode: 0o640 })).collect()
    }

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_update_is_a_swap_of_one_link() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("v");
        write_atomically(&dir, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(listing(&dir), ["..1", "..data", "a", "sub"]);
        assert_eq!(std::fs::read_link(dir.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(std::fs::read_to_string(dir.join("sub/b")).unwrap(), "2");
        let mode = std::fs::metadata(dir.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);

        write_atomically(&dir, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(
            std::fs::read_link(dir.join("..data")).unwrap(),
            Path::new("..1"),
            "unchanged: not written"
        );

        write_atomically(&dir, &files(&[("a", "3"), ("c", "")]), None).unwrap();
        assert_eq!(listing(&dir), ["..2", "..data", "a", "c"]);
        assert_eq!(std::fs::read_to_string(dir.join("a")).unwrap(), "3");

        write_atomically(&dir, &Files::new(), None).unwrap();
        assert_eq!(listing(&dir), ["..3", "..data"]);
    }

    #[test]
    fn empty_directories_are_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("e");
        empty_dir(&dir, None).unwrap();
        std::fs::write(dir.join("kept"), "").unwrap();
        empty_dir(&dir, None).unwrap();
        assert_eq!(listing(&dir), ["kept"]);
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o777);
    }
}
