//! Bearer tokens: one a Gateway, so that a proxy is given its own Gateway's resources and no others.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use proto::{Kind, ResourceKey};

/// Makes and checks tokens with the secret of one state directory.
///
/// A token is `NAMESPACE/NAME.` and 64 hex digits, the keyed BLAKE3 hash of `NAMESPACE/NAME`.
#[derive(Clone)]
pub(crate) struct Tokens {
    secret: [u8; 32],
}

impl Tokens {
    /// Reads the secret from `path`, or makes one there (mode 0600) from the system's random source.
    ///
    /// # Errors
    /// If the file can be neither read nor made, or is not 32 bytes.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Tokens> {
        match fs::read(path) {
            Ok(bytes) => match bytes.try_into() {
                Ok(secret) => Ok(Tokens { secret }),
                Err(_) => bail!(
                    "{} is damaged (not 32 bytes): delete it and restart fleetgate and all its Envoys",
                    path.display()
                ),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = create(path).with_context(|| format!("cannot create {}", path.display()))?;
                Ok(Tokens { secret })
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The token of a Gateway's proxies.
    pub(crate) fn of(&self, gateway: &ResourceKey) -> String {
        let name = gateway.namespaced_name();
        let hash = blake3::keyed_hash(&self.secret, name.as_bytes());
        format!("{name}.{}", hash.to_hex())
    }

    /// The Gateway that a token speaks for.
    ///
    /// # Errors
    /// A sentence for the proxy's log, if the token is missing or not one of ours.
    pub(crate) fn gateway(&self, token: Option<&str>) -> Result<ResourceKey, String> {
        const REMEDY: &str = "start Envoy with the output of `fleetgate bootstrap --gateway NAMESPACE/NAME`";
        let token = token.ok_or_else(|| format!("no bearer token: {REMEDY}"))?;
        let wrong = || format!("the bearer token is not one of this fleetgate: {REMEDY}");
        let (name, hex) = token.rsplit_once('.').ok_or_else(wrong)?;
        let given = blake3::Hash::from_hex(hex).map_err(|_| wrong())?;
        // Comparing two `blake3::Hash`es takes constant time.
        if blake3::keyed_hash(&self.secret, name.as_bytes()) != given {
            return Err(wrong());
        }
        let (namespace, name) = name.split_once('/').ok_or_else(wrong)?;
        Ok(ResourceKey::local(Kind::GATEWAY, namespace, name))
    }
}

/// Writes under another name first, so that a crash leaves no half secret.
fn create(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    match fs::hard_link(&draft, path) {
        // Another process was faster: its secret counts.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::File::open(path)?.read_exact(&mut secret)?;
        }
        other => other?,
    }
    fs::remove_file(&draft)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proto::{Kind, ResourceKey};

    use super::Tokens;

    fn gateway(namespace: &str, name: &str) -> ResourceKey {
        ResourceKey::local(Kind::GATEWAY, namespace, name)
    }

    #[test]
    fn a_token_gives_its_gateway_and_no_other() {
        let tokens = Tokens { secret: [7; 32] };
        let own = gateway("infra", "edge.v2");
        let token = tokens.of(&own);
        assert_eq!(tokens.gateway(Some(&token)).unwrap(), own);
        let forged = token.replace("infra", "other");
        assert!(tokens.gateway(Some(&forged)).unwrap_err().contains("not one of this fleetgate"));
        assert!(Tokens { secret: [8; 32] }.gateway(Some(&token)).is_err());
        for bad in [None, Some(""), Some("infra/edge"), Some("infra/edge.00")] {
            assert!(tokens.gateway(bad).unwrap_err().contains("fleetgate bootstrap"));
        }
    }

    #[test]
    fn the_secret_is_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let first = Tokens::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(first.of(&gateway("a", "b")), Tokens::open(&path).unwrap().of(&gateway("a", "b")));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&path, b"short").unwrap();
        assert!(Tokens::open(&path).err().unwrap().to_string().contains("damaged"));
    }
}
