//! Names of xDS resources that more than one part makes or reads.

const PREFIX: &str = "listener/";

/// The name of the listener of a port.
pub(crate) fn listener(port: u16) -> String {
    format!("{PREFIX}{port}")
}

/// The port that a listener's name was made of.
pub(crate) fn listener_port(name: &str) -> Option<u16> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
