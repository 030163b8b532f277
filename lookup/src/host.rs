//! What of a request decides which table it is routed by, as Envoy reads it.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

/// Hash of a host, a suffix of one, or a path segment. The upper half of XXH3-64: part of the contract
/// between distributor and module.
pub fn hash(bytes: &[u8]) -> u32 {
    (xxh3_64(bytes) >> 32) as u32
}

/// The host as Envoy compares it with domains: lower case, without what follows the last `:` unless that is
/// inside an IPv6 literal (`ignore_port_in_host_matching`).
pub fn host_of(authority: &[u8]) -> Cow<'_, [u8]> {
    let port = authority.iter().rposition(|&byte| byte == b':');
    let host = match port {
        Some(at) if !authority[at..].contains(&b']') => &authority[..at],
        _ => authority,
    };
    if host.iter().any(u8::is_ascii_uppercase) { host.to_ascii_lowercase().into() } else { host.into() }
}

/// The segments of a path: what lies between its slashes, up to the query or the fragment. At least one, which
/// may be empty.
pub fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    let path = &path[..end];
    path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/')
}

/// Number of labels of a host.
pub fn labels(host: &[u8]) -> usize {
    1 + host.iter().filter(|&&byte| byte == b'.').count()
}

/// The last `count` labels of a host that has more.
pub fn suffix(host: &[u8], count: usize) -> Option<&[u8]> {
    let dots = host.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.');
    dots.map(|(at, _)| &host[at + 1..]).nth(count.checked_sub(1)?)
}

/// All domains that cover this one, from narrow to wide: `*.b.com`, `*.com` and `*` for `a.b.com`.
pub fn wider(domain: &str) -> impl Iterator<Item = String> {
    let is_any = domain == "*";
    let mut rest = domain.strip_prefix("*.").unwrap_or(domain);
    let suffixes = std::iter::from_fn(move || {
        let (_, suffix) = rest.split_once('.')?;
        rest = suffix;
        Some(format!("*.{suffix}"))
    });
    suffixes.chain((!is_any).then(|| "*".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{host_of, labels, segments, suffix, wider};

    #[test]
    fn hosts_are_compared_without_case_and_port() {
        for (authority, host) in [
            ("A.Example.com:80", "a.example.com"),
            ("a.example.com", "a.example.com"),
            ("a.example.com:x", "a.example.com"),
            ("a:1:2", "a:1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            (":80", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(authority.as_bytes()).as_ref(), host.as_bytes(), "{authority}");
        }
    }

    #[test]
    fn segments_lie_between_slashes() {
        for (path, expected) in [
            ("/a/b", &["a", "b"][..]),
            ("/a?b/c", &["a"]),
            ("/a#b/c", &["a"]),
            ("/a/?b", &["a", ""]),
            ("/", &[""]),
            ("//a", &["", "a"]),
            ("/a;x=1/", &["a;x=1", ""]),
            ("*", &["*"]),
            ("", &[""]),
        ] {
            let expected: Vec<&[u8]> = expected.iter().map(|segment| segment.as_bytes()).collect();
            assert_eq!(segments(path.as_bytes()).collect::<Vec<_>>(), expected, "{path}");
        }
    }

    #[test]
    fn suffixes_are_of_whole_labels() {
        assert_eq!(labels(b"a.b.com"), 3);
        assert_eq!(suffix(b"a.b.com", 2), Some(&b"b.com"[..]));
        assert_eq!(suffix(b"a.b.com", 1), Some(&b"com"[..]));
        assert_eq!(suffix(b"a.b.com", 3), None);
        assert_eq!(suffix(b"a.b.com", 0), None);
        assert_eq!(suffix(b".b.com", 2), Some(&b"b.com"[..]));
    }

    #[test]
    fn wider_domains_go_from_narrow_to_wide() {
        let all = |domain| wider(domain).collect::<Vec<_>>();
        assert_eq!(all("a.b.com"), ["*.b.com", "*.com", "*"]);
        assert_eq!(all("*.b.com"), ["*.com", "*"]);
        assert_eq!(all("a"), ["*"]);
        assert!(all("*").is_empty());
    }
}
