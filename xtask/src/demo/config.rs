//! A copy of the quickstart example that can be edited, on ports that are free.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::ports::Ports;
use crate::{Outcome, root};

/// The copy, and where its parts listen.
pub(super) struct Quickstart {
    pub(super) config: PathBuf,
    pub(super) gateway: SocketAddr,
    pub(super) blue: SocketAddr,
    pub(super) green: SocketAddr,
}

/// Where fleetgate itself listens.
pub(super) struct Servers {
    pub(super) admin: SocketAddr,
    pub(super) xds: SocketAddr,
}

/// Copies the example to `config` and chooses ports; those of the example and fleetgate's defaults where
/// they are free.
pub(super) fn copy(config: &Path) -> Outcome<(Quickstart, Servers)> {
    let mut ports = Ports::default();
    let (gateway, blue, green) = (ports.take(10080)?, ports.take(18081)?, ports.take(18082)?);
    let servers = Servers { admin: ports.take(19000)?, xds: ports.take(18000)? };
    let replacements = [("10080", gateway), ("18081", blue), ("18082", green)];
    let example = root().join("examples/quickstart");
    let failed = |what: &Path, error: std::io::Error| format!("cannot copy {}: {error}", what.display());
    fs::create_dir_all(config).map_err(|error| failed(config, error))?;
    for entry in fs::read_dir(&example).map_err(|error| failed(&example, error))?.flatten() {
        let file = entry.path();
        let text = fs::read_to_string(&file).map_err(|error| failed(&file, error))?;
        fs::write(config.join(entry.file_name()), with_ports(text, &replacements))
            .map_err(|error| failed(&file, error))?;
    }
    Ok((Quickstart { config: config.to_owned(), gateway, blue, green }, servers))
}

fn with_ports(mut text: String, replacements: &[(&str, SocketAddr)]) -> String {
    for (port, address) in replacements {
        text = text.replace(port, &address.port().to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_has_the_ports_that_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (quickstart, _) = super::copy(&folder.path().join("config")).unwrap();
        let read = |name| std::fs::read_to_string(quickstart.config.join(name)).unwrap();
        assert!(read("gateway.yaml").contains(&format!("port: {}", quickstart.gateway.port())));
        assert!(read("backends.yaml").contains(&format!("port: {}", quickstart.blue.port())));
        assert!(read("backends.yaml").contains(&format!("port: {}", quickstart.green.port())));
    }
}
