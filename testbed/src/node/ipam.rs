//! Which addresses of a range are given to whom.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::cidr::Cidr;

/// Why an address was not given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The range is used up.
    #[error("all addresses of {0} are in use")]
    Exhausted(String),
    /// Asked for an address that the range does not have.
    #[error("the address {0} is outside the range {1} that this cluster can give")]
    Outside(Ipv4Addr, String),
    /// Asked for an address that another owner has.
    #[error("the address {0} is already given to {1}")]
    Taken(Ipv4Addr, String),
}

/// The addresses of one range and their owners. An owner has at most one.
#[derive(Debug)]
pub(crate) struct Ipam {
    cidr: Cidr,
    owners: BTreeMap<Ipv4Addr, String>,
    /// Offset to try next: a freed address is given again as late as possible.
    next: u32,
}

impl Ipam {
    /// A range of which the first `reserved` addresses are never given.
    pub(crate) fn new(cidr: Cidr, reserved: u32) -> Ipam {
        let owners = (0..reserved).map(|n| (cidr.nth(n), "the node".to_owned())).collect();
        Ipam { cidr, owners, next: reserved }
    }

    /// The address that the owner has.
    pub(crate) fn of(&self, owner: &str) -> Option<Ipv4Addr> {
        self.owners.iter().find(|(_, o)| *o == owner).map(|(address, _)| *address)
    }

    /// Gives any free address.
    pub(crate) fn allocate(&mut self, owner: &str) -> Result<Ipv4Addr, Refusal> {
        for _ in 0..self.cidr.size() {
            let address = self.cidr.nth(self.next);
            self.next = (self.next + 1) % self.cidr.size();
            if self.cidr.has_host(address) && !self.owners.contains_key(&address) {
                self.owners.insert(address, owner.to_owned());
                return Ok(address);
            }
        }
        Err(Refusal::Exhausted(self.cidr.to_string()))
    }

    /// Gives this address, which takes the place of one that the owner had.
    pub(crate) fn claim(&mut self, owner: &str, address: Ipv4Addr) -> Result<Ipv4Addr, Refusal> {
        if !self.cidr.has_host(address) {
            return Err(Refusal::Outside(address, self.cidr.to_string()));
        }
        match self.owners.get(&address) {
            Some(other) if other != owner => Err(Refusal::Taken(address, other.clone())),
            _ => {
                self.release(owner);
                self.owners.insert(address, owner.to_owned());
                Ok(address)
            }
        }
    }

    /// Takes back what the owner has.
    pub(crate) fn release(&mut self, owner: &str) {
        self.owners.retain(|_, o| o != owner);
    }

    /// All owners for whom `keep` says no lose their address.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.owners.retain(|_, owner| owner == "the node" || keep(owner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, last)
    }

    #[test]
    fn no_address_twice_and_freed_ones_late() {
        let mut ipam = Ipam::new("192.0.2.0/29".parse().unwrap(), 2);
        let all: Vec<_> = ["a", "b", "c", "d", "e"].map(|o| ipam.allocate(o).unwrap()).into();
        assert_eq!(all, [ip(2), ip(3), ip(4), ip(5), ip(6)]);
        assert_eq!(ipam.allocate("f"), Err(Refusal::Exhausted("192.0.2.0/29".into())));
        ipam.release("b");
        ipam.release("a");
        assert_eq!(ipam.allocate("f"), Ok(ip(2)), "after a wrap");
        ipam.release("f");
        assert_eq!(ipam.allocate("f"), Ok(ip(3)), "not the one that was freed last");
    }

    #[test]
    fn claims() {
        let mut ipam = Ipam::new("192.0.2.0/29".parse().unwrap(), 1);
        assert_eq!(ipam.claim("a", ip(5)), Ok(ip(5)));
        assert_eq!(ipam.claim("a", ip(5)), Ok(ip(5)));
        assert_eq!(ipam.claim("b", ip(5)), Err(Refusal::Taken(ip(5), "a".into())));
        assert_eq!(ipam.claim("b", ip(99)), Err(Refusal::Outside(ip(99), "192.0.2.0/29".into())));
        assert_eq!(ipam.claim("a", ip(6)), Ok(ip(6)));
        assert_eq!(ipam.claim("b", ip(5)), Ok(ip(5)));
        ipam.retain(|owner| owner == "b");
        assert_eq!((ipam.of("a"), ipam.of("b")), (None, Some(ip(5))));
    }
}
