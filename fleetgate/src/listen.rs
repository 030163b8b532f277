//! Addresses that fleetgate listens on: loopback TCP or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens, and where its client connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A loopback address; port 0 picks a free one.
    Tcp(SocketAddr),
    /// A Unix socket: `unix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path, e.g. unix:/run/fleetgate/xds.sock".into()),
            // A socket address has room for 108 bytes, its last one a zero.
            Some(path) if path.len() > 107 => {
                Err(format!("{path} is longer than the 107 bytes of a Unix socket's path: use a shorter one"))
            }
            Some(path) => std::path::absolute(path).map(Listen::Unix).map_err(|error| error.to_string()),
            None => loopback(text).map(Listen::Tcp),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads `IP:PORT` (or `localhost:PORT`) of the loopback interface.
///
/// # Errors
/// A sentence, if it is no address or one that others can reach: nothing here has TLS.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("`{text}` is not an address: write IP:PORT, e.g. 127.0.0.1:18000"))?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{address} can be reached from other machines and standalone mode has no mutual TLS yet (it comes \
         with the Kubernetes mode): use a loopback address such as 127.0.0.1:{}",
        address.port()
    ))
}

#[cfg(test)]
mod tests {
    use super::{Listen, loopback};

    #[test]
    fn only_loopback_is_taken() {
        assert_eq!(loopback("127.0.0.1:18000").unwrap().port(), 18000);
        assert_eq!(loopback("localhost:1").unwrap().to_string(), "127.0.0.1:1");
        assert!(loopback("[::1]:1").is_ok());
        assert!(loopback("0.0.0.0:18000").unwrap_err().contains("mutual TLS"));
        assert!(loopback("18000").unwrap_err().contains("IP:PORT"));
    }

    #[test]
    fn a_unix_socket_is_absolute_and_short() {
        let listen: Listen = "unix:/run/x.sock".parse().unwrap();
        assert_eq!(listen.to_string(), "unix:/run/x.sock");
        assert!("unix:".parse::<Listen>().is_err());
        assert!(format!("unix:/{}", "x".repeat(120)).parse::<Listen>().unwrap_err().contains("107"));
    }
}
