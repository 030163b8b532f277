//! What tests need of the machine: an Envoy, root, a test bed, what the workspace builds.
//!
//! A test that lacks something is skipped: it says so on stderr, whatever the test runner captures, and notes it in
//! the file that `FLEETGATE_SKIPS` names. `cargo xtask test` names that file and counts: a skipped test has not
//! passed, and with `CI=true` it is a failure. Each function gives what was asked for, or skips the test and gives
//! nothing: `let Some(envoy) = needs::envoy() else { return };`

use std::path::{Path, PathBuf};
use std::process::Command;

mod skip;

pub use skip::{SKIPS, skip};

/// Programs of a test bed, below `.tools/`; the last is the folder of the Gateway API's definitions.
const BED: [&str; 8] = [
    "etcd-3.6.6/etcd",
    "kubernetes-1.37.2/kube-apiserver",
    "kubernetes-1.37.2/kube-controller-manager",
    "bin/kubectl",
    "bin/helm",
    "gateway-api-1.7.0/echo-basic",
    "nats-server-2.15.2/nats-server",
    "gateway-api-1.7.0/crds",
];

/// Programs of the system that a test bed uses, and their option that does nothing.
const SYSTEM: [(&str, &str); 5] = [
    ("ip", "-V"),
    ("nft", "--version"),
    ("nsenter", "--version"),
    ("unshare", "--version"),
    ("curl", "--version"),
];

/// The Envoy that `FLEETGATE_ENVOY` names.
pub fn envoy() -> Option<PathBuf> {
    let named = std::env::var_os("FLEETGATE_ENVOY").filter(|path| !path.is_empty()).map(PathBuf::from);
    or_skip(
        named.filter(|path| path.is_file()),
        "FLEETGATE_ENVOY names no Envoy: set it to the path of one, or run `cargo xtask test`",
    )
}

/// The rights of root.
pub fn root() -> Option<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    or_skip(is_root.then_some(()), "it needs root: run the tests as root")
}

/// A program in `.tools/`; `name` is its path there.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = tools().join(name);
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let reason = format!("{file} is missing: run `cargo xtask tools --print {file}`");
    or_skip(path.exists().then_some(path), &reason)
}

/// A program of the system that a test bed uses.
pub fn system(name: &str) -> Option<()> {
    let option =
        SYSTEM.iter().find(|(program, _)| *program == name).map_or("--version", |(_, option)| option);
    let works = Command::new(name).arg(option).output().is_ok_and(|told| told.status.success());
    or_skip(works.then_some(()), &format!("`{name}` is missing: run `cargo xtask test`, which installs it"))
}

/// All that a test bed needs; gives the folder with its programs.
pub fn testbed() -> Option<PathBuf> {
    root()?;
    for (program, _) in SYSTEM {
        system(program)?;
    }
    let tools = tools();
    let missing = BED.into_iter().find(|program| !tools.join(program).exists());
    let reason = "the test bed's programs are missing: run `cargo xtask tools`";
    or_skip(missing.is_none().then_some(tools), reason)
}

/// What the workspace builds, by its name in the folder of `target/` that this test is built into; for tests of
/// packages that it does not belong to.
pub fn built(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap_or_default();
    let path = test.ancestors().nth(2).unwrap_or(&test).join(name);
    let reason = format!("{name} is not built: run `cargo xtask test`, or `cargo build --workspace`");
    or_skip(path.is_file().then_some(path), &reason)
}

/// A variable that another test sets, which starts this one as a process of its own. Such a test has
/// `#[ignore = "a part of another test"]`.
pub fn started_by_another_test(variable: &str) -> Option<PathBuf> {
    or_skip(std::env::var_os(variable).map(PathBuf::from), "a part of another test, which starts it")
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".tools")
}

fn or_skip<T>(found: Option<T>, reason: &str) -> Option<T> {
    if found.is_none() {
        skip(reason);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Which this test starts twice.
    #[test]
    #[ignore = "a part of another test"]
    fn lacks_something() {
        super::built("no such program");
    }

    #[test]
    fn a_test_that_lacks_something_says_so_and_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skips");
        for _ in 0..2 {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "tests::lacks_something"])
                .env(super::SKIPS, &file)
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{said}");
            assert!(said.contains("SKIPPED: no such program is not built: run `cargo xtask test`"), "{said}");
        }
        let noted = std::fs::read_to_string(file).unwrap();
        let lines: Vec<Vec<&str>> = noted.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(lines.len(), 2, "{noted}");
        assert!(lines[0][0].contains("needs-") && lines[0][1] == "tests::lacks_something", "{noted}");
        assert!(lines[0][2].starts_with("no such program is not built"), "{noted}");
    }

    #[test]
    fn what_is_there_is_given() {
        let path = std::env::current_exe().unwrap();
        let name = format!("deps/{}", path.file_name().unwrap().to_str().unwrap());
        assert_eq!(super::built(&name), Some(path));
    }
}
