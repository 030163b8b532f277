//! `cargo xtask lint`: what must hold before a change is merged, tests aside.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{cargo, command, run};
use crate::{Outcome, root, tools};

pub(crate) fn run_lint() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let deny = tools::cargo_deny()?;
    run(&mut command(deny, &["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    let mut files = Vec::new();
    sources(&root(), &mut files);
    files.sort_unstable_by(|a, b| b.cmp(a));
    println!("longest files:");
    for (lines, path) in files.iter().take(10) {
        println!("{lines:>6}  {}", path.strip_prefix(root()).unwrap_or(path).display());
    }
    Ok(())
}

/// Adds every .rs file below a directory with its number of lines; hidden directories and build output
/// are left out.
fn sources(folder: &Path, files: &mut Vec<(usize, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                sources(&path, files);
            }
        } else if name.ends_with(".rs") {
            let lines = fs::read_to_string(&path).map_or(0, |text| text.lines().count());
            files.push((lines, path));
        }
    }
}
