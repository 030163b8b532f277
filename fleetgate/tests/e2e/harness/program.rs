//! A program beside the one that is tested.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::instance::kill;

/// A program that ends with the test.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Program {
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Program(child.unwrap())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(mut self) {
        kill("TERM", self.0.id());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
