//! Ports of the loopback interface that nothing uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::Outcome;

/// Hands out ports; holds those that it gave until it is dropped, so that none is given twice.
#[derive(Default)]
pub(super) struct Ports(Vec<TcpListener>);

impl Ports {
    /// The wanted port, or another one if that is taken.
    pub(super) fn take(&mut self, wanted: u16) -> Outcome<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .map_err(|error| format!("no port is free on 127.0.0.1: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("a port has no number: {error}"))?;
        self.0.push(listener);
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn a_taken_port_is_replaced() {
        let mut ports = Ports::default();
        let first = ports.take(0).unwrap();
        let second = ports.take(first.port()).unwrap();
        assert_ne!(first, second);
    }
}
