//! The shell script that makes a container's root and becomes its program.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::mounts::Bind;
use super::security::Security;
use crate::node::tools::quote;

/// First line of the standard output: everything is mounted, the program comes next.
pub(crate) const STARTED: &[u8] = b"\x01started\n";

/// All that a container's processes are started with.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// An empty directory: the mount point of the container's own file system, in its mount namespace only.
    pub(crate) mount_point: PathBuf,
    pub(crate) binds: Vec<Bind>,
    /// Directories that any user may pass in the container, though not outside of it.
    pub(crate) opened: BTreeSet<PathBuf>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: String,
    pub(crate) words: Vec<String>,
    pub(crate) security: Security,
}

impl Launch {
    /// The script for `sh`, run as root in new mount and PID namespaces.
    ///
    /// Mount points are made behind `chroot`: a symbolic link in the container's root must not lead out of it.
    pub(crate) fn script(&self) -> String {
        let mut outer = format!("set -e\nd={}\n", quote(&self.mount_point.to_string_lossy()));
        outer.push_str(
            "mount -t tmpfs -o mode=755 tmpfs \"$d\"\nmkdir \"$d/upper\" \"$d/work\" \"$d/root\"
mount -t overlay -o \"lowerdir=/,upperdir=$d/upper,workdir=$d/work\" overlay \"$d/root\"
r=\"$d/root\"\nmount --rbind /dev \"$r/dev\"\nmount --rbind /sys \"$r/sys\"\nmkdir \"$r/.binds\"
stage() { if [ -d \"$1\" ]; then mkdir \"$2\"; else : > \"$2\"; fi; mount --bind \"$1\" \"$2\"; }\n",
        );
        for (number, bind) in self.binds.iter().enumerate() {
            outer.push_str(&format!(
                "stage {} \"$r/.binds/{number}\"\n",
                quote(&bind.source.to_string_lossy())
            ));
        }
        outer.push_str(&format!("exec chroot \"$r\" sh -c {}\n", quote(&self.inner())));
        outer
    }

    fn inner(&self) -> String {
        let mut script = String::from(
            "set -e\nmount -t proc proc /proc
place() {
  if [ -d \"$1\" ]; then mkdir -p \"$2\"; else mkdir -p \"${2%/*}\"; [ -e \"$2\" ] || : > \"$2\"; fi
  mount --move \"$1\" \"$2\"\n}\n",
        );
        for dir in self.opened.iter().map(|dir| quote(&dir.to_string_lossy())) {
            // Not there: it lies in another file system than the root.
            script.push_str(&format!("[ ! -d {dir} ] || chmod a+x {dir}\n"));
        }
        for (number, bind) in self.binds.iter().enumerate() {
            let target = quote(&bind.target.to_string_lossy());
            script.push_str(&format!("place /.binds/{number} {target}\n"));
            if bind.read_only {
                script.push_str(&format!("mount -o remount,bind,ro {target}\n"));
            }
        }
        script.push_str("rm -r --one-file-system /.binds\n");
        script.push_str(&format!("mkdir -p {}\n", quote(&self.working_dir)));
        if self.security.read_only_root {
            script.push_str("mount -o remount,bind,ro /\n");
        }
        if self.security.user != 0 {
            // So that /dev/stdout can be opened.
            script.push_str(&format!("chown {} /proc/self/fd/1 /proc/self/fd/2\n", self.security.user));
        }
        script.push_str("printf '\\001started\\n'\nexec ");
        script.push_str(
            &self.command(&self.words).iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
        );
        script
    }

    /// These words as a command in the container's environment, as its user.
    pub(crate) fn command(&self, words: &[String]) -> Vec<String> {
        let mut all = vec!["env".to_owned(), "-i".to_owned(), format!("--chdir={}", self.working_dir)];
        all.extend(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        all.extend(self.security.setpriv());
        all.extend_from_slice(words);
        all
    }
}
