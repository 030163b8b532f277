//! Computations that panic: bugs, which their objects learn of.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proto::{Fault, ResourceKey};

/// A computation that panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Where.
    pub(crate) stage: &'static str,
    /// What the panic said.
    pub(crate) message: String,
}

impl Failure {
    /// As a fault of the object concerned.
    pub(crate) fn fault(&self, object: &ResourceKey) -> Fault {
        Fault {
            object: object.clone(),
            field: String::new(),
            problem: format!(
                "fleetgate failed on it ({}: {}), so what is served stays as it was",
                self.stage, self.message
            ),
            remedy: "this is a fault of fleetgate: report it; each change of the object is tried again"
                .to_owned(),
        }
    }
}

/// Runs a computation that may panic.
///
/// # Errors
/// What the panic said.
pub(crate) fn caught<T>(compute: impl FnOnce() -> T) -> Result<T, String> {
    // What is computed is thrown away after a panic; nothing else is touched.
    catch_unwind(AssertUnwindSafe(compute)).map_err(|panic| said(panic.as_ref()))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}
