//! Ports for Envoy and fleetgate to bind.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
/// Above, the kernel takes ports for backends and outgoing connections.
const LAST: u16 = 32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback port that is free now and that nothing in this process takes later. Tried by binding it.
pub(crate) fn free_port() -> u16 {
    let span = LAST - FIRST;
    let offset = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(span)).unwrap();
    for _ in 0..span {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % span;
        let port = FIRST + (offset + next) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}
