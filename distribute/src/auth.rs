//! Who may have what: the two questions that the embedder answers.

use bytes::Bytes;
use proto::{PrivateKeyRef, ResourceKey};

/// What a proxy brought along to say who it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'a> {
    /// The token of its stream.
    pub bearer_token: Option<&'a str>,
    /// The certificate that its connection proved to hold, DER; verified against the server's authorities.
    pub certificate: Option<&'a [u8]>,
}

/// Says which scope a proxy may have.
pub trait Authenticate: Send + Sync {
    /// The Gateway that the peer may serve. Called once a stream, before anything is read or sent.
    ///
    /// # Errors
    /// A sentence for the operator of the proxy, if its credential is absent or unknown.
    fn scope(&self, peer: Peer<'_>) -> Result<ResourceKey, String>;
}

/// Holds private keys, which never enter a delta.
pub trait PrivateKeys: Send + Sync {
    /// The PEM private key; none if it is not known or belongs to another certificate by now.
    fn private_key(&self, key: &PrivateKeyRef) -> Option<Bytes>;

    /// True once all keys that there are have been read: one that is not known then will not come by itself.
    fn are_all_read(&self) -> bool {
        true
    }
}

/// The token of an `authorization: Bearer …` header.
pub(crate) fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    #[test]
    fn only_a_bearer_token_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(super::bearer(&headers), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic eA=="));
        assert_eq!(super::bearer(&headers), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer  x "));
        assert_eq!(super::bearer(&headers), Some("x"));
    }
}
