//! A proxy's identity: the certificate by which the xDS server knows its Gateway, in a Secret beside it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::ResourceKey;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use crate::pki::{Authority, Issued, LEAF, gateway_of};

/// Type of the Secret; the source leaves such Secrets alone.
pub(super) const SECRET_TYPE: &str = "fleetgate.dev/xds-identity";

/// A certificate and what it takes to use it.
#[derive(Clone)]
pub(super) struct Identity {
    issued: Issued,
    /// When another one takes its place.
    pub(super) renew_at: SystemTime,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// If the authority cannot sign it.
    pub(super) fn issue(authority: &Authority, gateway: &ResourceKey) -> anyhow::Result<Identity> {
        let now = SystemTime::now();
        Ok(Identity { issued: authority.proxy(gateway, now)?, renew_at: now + LEAF / 3 })
    }

    /// The one of a Secret, if it is for the Gateway, of this authority, and has most of its life before it.
    pub(super) fn of(secret: &Value, authority: &Authority, gateway: &ResourceKey) -> Option<Identity> {
        let part = |name: &str| {
            let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let issued = Issued { chain: part("tls.crt")?, key: part("tls.key")?, authorities: part("ca.crt")? };
        let leaf = Pem::iter_from_buffer(issued.chain.as_bytes()).next()?.ok()?;
        let is_theirs = gateway_of(Some(&leaf.contents)).is_ok_and(|of| of == *gateway);
        let expires = u64::try_from(leaf.parse_x509().ok()?.validity().not_after.timestamp()).ok()?;
        let renew_at = UNIX_EPOCH + Duration::from_secs(expires).saturating_sub(LEAF * 2 / 3);
        let is_good = is_theirs && issued.has_key() && renew_at > SystemTime::now();
        let identity = Identity { issued, renew_at };
        (is_good && identity.is_of(authority)).then_some(identity)
    }

    /// True if the authority signed it, and is trusted with it.
    pub(super) fn is_of(&self, authority: &Authority) -> bool {
        self.issued.authorities == authority.trusted() && self.issued.chain.ends_with(authority.certificate())
    }

    /// The Secret's `data`.
    pub(super) fn data(&self) -> Value {
        let Issued { chain, key, authorities } = &self.issued;
        let encode = |text: &str| STANDARD.encode(text);
        json!({"tls.crt": encode(chain), "tls.key": encode(key), "ca.crt": encode(authorities)})
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proto::{Kind, ResourceKey};
    use serde_json::{Value, json};

    use super::Identity;
    use crate::pki::Authority;

    fn authority() -> Authority {
        let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
        Authority::open(&certificate, &key, "").unwrap()
    }

    #[test]
    fn an_identity_is_kept_while_it_is_good() {
        let (ours, theirs) = (authority(), authority());
        let gateway = |name: &str| ResourceKey::local(Kind::GATEWAY, "default", name);
        let issued = Identity::issue(&ours, &gateway("web")).unwrap();
        let mut secret = json!({"data": issued.data()});
        let found = |secret: &Value, authority: &Authority, name: &str| {
            Identity::of(secret, authority, &gateway(name))
        };
        let kept = found(&secret, &ours, "web").unwrap();
        assert_eq!(kept.data(), issued.data());
        assert!(found(&secret, &ours, "other").is_none(), "another Gateway's");
        assert!(found(&secret, &theirs, "web").is_none(), "another authority's");
        let other = Identity::issue(&ours, &gateway("web")).unwrap();
        secret["data"]["tls.key"] = other.data()["tls.key"].clone();
        assert!(found(&secret, &ours, "web").is_none(), "not its key");
        secret["data"]["tls.crt"] = "AAAA".into();
        assert!(found(&secret, &ours, "web").is_none(), "no certificate");
    }
}
