//! IPv4 ranges.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 range such as `10.64.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    base: u32,
    /// Length of the network's part in bits, 8 to 30.
    pub(crate) prefix: u8,
}

impl Cidr {
    /// How many addresses the range has, network and broadcast address included.
    pub(crate) fn size(self) -> u32 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The address at this offset; offsets beyond the range wrap around.
    pub(crate) fn nth(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + offset % self.size())
    }

    /// Whether the address is one that a host may have: in the range, neither its first nor its last.
    pub(crate) fn has_host(self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(self.base);
        offset > 0 && offset < self.size() - 1
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let wrong = || format!("{text:?} is no IPv4 range such as 10.64.0.0/16 (a prefix of 8 to 30 bits)");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| (8..=30).contains(p)).ok_or_else(wrong)?;
        let base = u32::from(address) & (u32::MAX << (32 - u32::from(prefix)));
        Ok(Cidr { base, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let cidr: Cidr = "192.0.2.77/24".parse().unwrap();
        assert_eq!(cidr.to_string(), "192.0.2.0/24");
        assert_eq!(cidr.nth(7), Ipv4Addr::new(192, 0, 2, 7));
        assert!(cidr.has_host(Ipv4Addr::new(192, 0, 2, 254)));
        for outside in [[192, 0, 2, 0], [192, 0, 2, 255], [192, 0, 3, 1], [192, 0, 1, 255]] {
            assert!(!cidr.has_host(outside.into()), "{outside:?}");
        }
        for wrong in ["", "10.0.0.0", "10.0.0.0/31", "10.0.0.0/0", "x/16", "::/64"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
