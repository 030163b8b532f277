//! What a backend says of a request.

use std::collections::BTreeMap;

use hyper::http::{HeaderMap, Version, header, request::Parts};
use serde::{Deserialize, Serialize};

/// One request as the backend saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Path and query, as sent.
    pub path: String,
    /// Authority, from `host` or `:authority`.
    pub host: String,
    /// Request method.
    pub method: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub proto: String,
    /// Header names in lower case, with their values in order.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Namespace the backend was given.
    pub namespace: String,
    /// Name of the backend.
    pub pod: String,
    /// Service the backend was given.
    pub service: String,
    /// What TLS agreed on, if there was TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsEcho>,
    /// The request's body, if it had one; bytes that are not UTF-8 are replaced, and one over 1 MiB by a note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// A TLS connection as the backend saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsEcho {
    /// Server name the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Application protocol agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// Subject of the client's verified certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_subject: Option<String>,
}

impl Echo {
    /// The request line and headers; name, TLS and body are filled in by others.
    pub(super) fn of(parts: &Parts) -> Self {
        let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
        let host = parts.headers.get(header::HOST).map(|host| lossy(host.as_bytes()));
        Echo {
            path: parts.uri.path_and_query().map_or_else(String::new, |path| path.as_str().to_owned()),
            host: host.or(authority).unwrap_or_default(),
            method: parts.method.to_string(),
            proto: protocol(parts.version),
            headers: headers(&parts.headers),
            ..Echo::default()
        }
    }

    /// First value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }
}

fn protocol(version: Version) -> String {
    format!("{version:?}")
}

fn headers(map: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in map {
        named.entry(name.as_str().to_owned()).or_default().push(lossy(value.as_bytes()));
    }
    named
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
