//! Connections whose peer is not known, or that nobody answers: handshakes, silent ones, floods. There is room for so
//! many; the next one takes the place of the oldest of that address which has most of them, so that a proxy, which
//! says within moments who it is, gets in.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::gauge;
use rustc_hash::FxHashMap;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::distributor::lock;

/// Whom a connection comes from: an address, of IPv6 its network of 64 bits; none for a Unix socket.
pub type Origin = Option<IpAddr>;

/// Where a connection from this address comes from.
pub fn origin(address: SocketAddr) -> Origin {
    Some(match address.ip().to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        ip => ip,
    })
}

/// The connections whose peer is not known.
pub struct Gate {
    limit: usize,
    gauge: &'static str,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    count: usize,
    next: u64,
    seats: FxHashMap<Origin, BTreeMap<u64, Arc<Seat>>>,
}

/// One connection.
pub struct Seat {
    gate: Arc<Gate>,
    origin: Origin,
    /// True while no stream of it is of a known peer.
    unknown: AtomicBool,
    state: Mutex<Standing>,
    changed: Notify,
}

struct Standing {
    streams: usize,
    /// Its number in the queue, and since when it waits.
    waits: Option<(u64, Instant)>,
    evicted: bool,
    left: bool,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// It did not say in time who it is.
    Silent,
    /// Others wanted its place.
    Crowded,
}

impl Gate {
    /// Room for so many; the gauge of this name says how many there are.
    pub fn new(limit: usize, gauge: &'static str) -> Arc<Gate> {
        Arc::new(Gate { limit, gauge, waiting: Mutex::default() })
    }

    fn count(&self, change: f64) {
        gauge!(self.gauge).increment(change);
    }

    /// A place for a new connection.
    pub fn enter(self: &Arc<Gate>, origin: Origin) -> Arc<Seat> {
        let standing = Standing { streams: 0, waits: None, evicted: false, left: false };
        let seat = Arc::new(Seat {
            gate: Arc::clone(self),
            origin,
            unknown: AtomicBool::new(true),
            state: Mutex::new(standing),
            changed: Notify::new(),
        });
        let mut waiting = lock(&self.waiting);
        waiting.queue(&seat);
        if waiting.count > self.limit {
            waiting.evict();
        }
        drop(waiting);
        self.count(1.0);
        seat
    }

    /// Ends the oldest connection of the address that has most of them.
    pub fn make_room(&self) {
        lock(&self.waiting).evict();
    }
}

impl Waiting {
    fn queue(&mut self, seat: &Arc<Seat>) {
        let number = self.next;
        self.next += 1;
        self.count += 1;
        lock(&seat.state).waits = Some((number, Instant::now()));
        self.seats.entry(seat.origin).or_default().insert(number, Arc::clone(seat));
    }

    fn take(&mut self, origin: Origin, number: u64) -> Option<Arc<Seat>> {
        let seats = self.seats.get_mut(&origin)?;
        let seat = seats.remove(&number)?;
        if seats.is_empty() {
            self.seats.remove(&origin);
        }
        self.count -= 1;
        Some(seat)
    }

    fn evict(&mut self) {
        let most = self.seats.iter().max_by_key(|(_, seats)| seats.len());
        let oldest = most.and_then(|(origin, seats)| Some((*origin, *seats.first_key_value()?.0)));
        let Some(seat) = oldest.and_then(|(origin, number)| self.take(origin, number)) else { return };
        let mut state = lock(&seat.state);
        (state.waits, state.evicted) = (None, true);
        drop(state);
        seat.changed.notify_one();
    }
}

impl Seat {
    /// A stream of it is of a known peer, until the guard is dropped.
    pub fn known(self: &Arc<Seat>) -> Known {
        let mut waiting = lock(&self.gate.waiting);
        let mut state = lock(&self.state);
        state.streams += 1;
        let waits = state.waits.take();
        drop(state);
        if let Some((number, _)) = waits {
            waiting.take(self.origin, number);
            self.gate.count(-1.0);
        }
        drop(waiting);
        self.unknown.store(false, Ordering::Release);
        self.changed.notify_one();
        Known(Arc::clone(self))
    }

    /// True while no stream of it is of a known peer.
    pub fn is_unknown(&self) -> bool {
        self.unknown.load(Ordering::Acquire)
    }

    /// Resolves when the connection has been unknown for too long, or has lost its place.
    pub async fn unwelcome(&self, patience: Duration) -> Unwelcome {
        loop {
            let (waits, evicted) = {
                let state = lock(&self.state);
                (state.waits, state.evicted)
            };
            if evicted {
                return Unwelcome::Crowded;
            }
            let changed = self.changed.notified();
            match waits {
                None => changed.await,
                Some((_, since)) if timeout_at(since + patience, changed).await.is_err() => {
                    return Unwelcome::Silent;
                }
                Some(_) => {}
            }
        }
    }

    /// The connection has ended.
    pub fn leave(&self) {
        let mut waiting = lock(&self.gate.waiting);
        let mut state = lock(&self.state);
        state.left = true;
        let waits = state.waits.take();
        let counted = waits.is_some() || state.evicted;
        drop(state);
        if let Some((number, _)) = waits {
            waiting.take(self.origin, number);
        }
        if counted {
            self.gate.count(-1.0);
        }
    }
}

/// A stream of a known peer on a connection.
pub struct Known(Arc<Seat>);

impl Drop for Known {
    fn drop(&mut self) {
        let seat = &self.0;
        let mut waiting = lock(&seat.gate.waiting);
        let mut state = lock(&seat.state);
        state.streams -= 1;
        if state.streams > 0 || state.left || state.evicted {
            return;
        }
        drop(state);
        seat.unknown.store(true, Ordering::Release);
        waiting.queue(seat);
        if waiting.count > seat.gate.limit {
            waiting.evict();
        }
        drop(waiting);
        seat.gate.count(1.0);
        seat.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Gate, Seat, Unwelcome, origin};

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn is_evicted(seat: &Seat) -> bool {
        let unwelcome = seat.unwelcome(Duration::from_secs(3600));
        tokio::time::timeout(Duration::from_millis(1), unwelcome).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_busiest_address_goes_first() {
        let gate = Gate::new(3, "test");
        let flood = origin("10.0.0.1:1".parse().unwrap());
        let quiet = gate.enter(origin("10.0.0.2:1".parse().unwrap()));
        let first = gate.enter(flood);
        let second = gate.enter(flood);
        let third = gate.enter(flood);
        assert!(is_evicted(&first).await);
        assert!(!is_evicted(&second).await && !is_evicted(&third).await && !is_evicted(&quiet).await);
        second.leave();
        let fourth = gate.enter(flood);
        assert!(!is_evicted(&third).await && !is_evicted(&fourth).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_known_has_no_place_to_lose() {
        let gate = Gate::new(1, "test");
        let here = origin("10.0.0.1:1".parse().unwrap());
        let proxy = gate.enter(here);
        let known = proxy.known();
        let other = gate.enter(here);
        assert!(!is_evicted(&proxy).await && !is_evicted(&other).await);
        drop(known);
        assert!(is_evicted(&other).await, "the oldest");
        assert_eq!(proxy.unwelcome(PATIENCE).await, Unwelcome::Silent);
        assert!(proxy.is_unknown());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_origin() {
        let of = |text: &str| origin(text.parse().unwrap());
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1]:2"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[::ffff:10.0.0.1]:1"), of("10.0.0.1:9"));
        let gate = Gate::new(1, "test");
        let one = gate.enter(None);
        gate.make_room();
        assert_eq!(one.unwelcome(PATIENCE).await, Unwelcome::Crowded);
        one.leave();
        assert_eq!(Arc::strong_count(&one), 1);
    }
}
