//! Settings of a translation: all that does not come from objects.

use proto::{ArcStr, literal};

/// Settings by value; equal settings and equal events give equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Env {
    /// The `controllerName` whose GatewayClasses are ours.
    pub controller_name: ArcStr,
    /// Address that listeners bind when a Gateway names none.
    pub default_address: ArcStr,
}

impl Default for Env {
    fn default() -> Self {
        Env { controller_name: literal!("fleetgate.dev/gateway"), default_address: literal!("127.0.0.1") }
    }
}
