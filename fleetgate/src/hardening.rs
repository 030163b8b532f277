//! What keeps the private keys that this process holds from the machine's other users.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// Applies to this process and to those that it starts: files and sockets are for their owner alone, and no crash writes
/// memory anywhere. Nobody of the same user can look into this process either.
pub(crate) fn begin() {
    umask(Mode::RWXG | Mode::RWXO);
    // One byte, not none: the kernel then does not start a program that collects dumps either (core(5), do_coredump).
    let core = Rlimit { current: Some(1), maximum: Some(1) };
    let results = [setrlimit(Resource::Core, core), set_dumpable_behavior(DumpableBehavior::NotDumpable)];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::warn!(
            "a crash may write private keys into a core dump: {error}; forbid core dumps (ulimit -c 0)"
        );
    }
}
