//! Private keys: here, and in no event, log or fault.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use proto::{ContentHash, PrivateKeyRef, ResourceKey};
use rustc_hash::FxHashMap;
use zeroize::Zeroizing;

/// Private keys of TLS Secrets, addressed by Secret and certificate. Of each Secret the current key and
/// the one before it are kept, so that a certificate that is still on its way to a proxy finds its key.
/// A key's memory is zeroed when nobody holds it any more.
#[derive(Default)]
pub struct KeyStore {
    secrets: RwLock<FxHashMap<ResourceKey, Vec<Entry>>>,
    listed: AtomicBool,
}

struct Entry {
    certificate: ContentHash,
    key: Bytes,
}

impl KeyStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The PEM private key that belongs to a certificate of a Secret; none if the Secret is gone or has
    /// changed its certificate more than once since.
    pub fn private_key(&self, key: &PrivateKeyRef) -> Option<Bytes> {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let entries = secrets.get(&key.secret)?;
        entries.iter().find(|entry| entry.certificate == key.certificate).map(|entry| entry.key.clone())
    }

    /// Notes that the first complete listing of the source has been taken.
    pub fn set_listed(&self) {
        self.listed.store(true, Ordering::Release);
    }

    /// True once the source has read all that there is.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    pub(crate) fn put(&self, secret: &ResourceKey, certificate: ContentHash, key: Zeroizing<Vec<u8>>) {
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let entries = secrets.entry(secret.clone()).or_default();
        entries.retain(|entry| entry.certificate != certificate);
        entries.insert(0, Entry { certificate, key: Bytes::from_owner(key) });
        entries.truncate(2);
    }

    pub(crate) fn remove(&self, secret: &ResourceKey) {
        self.secrets.write().unwrap_or_else(PoisonError::into_inner).remove(secret);
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.secrets.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "KeyStore({count} secrets, redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::KeyStore;
    use proto::{ContentHash, Kind, PrivateKeyRef, ResourceKey};

    #[test]
    fn keeps_the_current_and_the_previous_key() {
        let store = KeyStore::new();
        let secret = ResourceKey::local(Kind::SECRET, "default", "tls");
        for n in 1..=3_u8 {
            store.put(&secret, ContentHash::of(&[n]), vec![n].into());
        }
        let get = |n: u8| {
            store.private_key(&PrivateKeyRef { secret: secret.clone(), certificate: ContentHash::of(&[n]) })
        };
        assert_eq!((get(1), get(2).unwrap()[0], get(3).unwrap()[0]), (None, 2, 3));
        assert_eq!(format!("{store:?}"), "KeyStore(1 secrets, redacted)");
        store.remove(&secret);
        assert_eq!(get(3), None);
    }
}
