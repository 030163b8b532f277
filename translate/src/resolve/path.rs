//! Paths that requests are matched with: RFC 3986, sections 3.3 and 6.2.2.2.

/// A path with everything percent-encoded that no path has as it is: it goes into requests and answers.
pub(crate) fn encoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut encoded = String::with_capacity(path.len());
    for (at, &byte) in bytes.iter().enumerate() {
        match is_good(byte) || (byte == b'%' && octet(bytes, at).is_some()) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// True if all characters are ones that a path may have, or percent-encoded (`HTTPPathMatch`).
pub(crate) fn is_valid(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().all(|(at, &byte)| is_good(byte) || (byte == b'%' && octet(bytes, at).is_some()))
}

/// A path without what is percent-encoded needlessly: Envoy decodes letters, digits, `-`, `.`, `_` and `~` in requests
/// before they are matched.
pub(crate) fn in_normal_form(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut normal, mut at) = (String::with_capacity(path.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let decoded = octet(bytes, at).filter(|&octet| is_unreserved(octet));
        at += if decoded.is_some() { 3 } else { 1 };
        normal.push(char::from(decoded.unwrap_or(byte)));
    }
    normal
}

fn is_good(byte: u8) -> bool {
    is_unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The octet that is percent-encoded at a place, if one is.
fn octet(bytes: &[u8], at: usize) -> Option<u8> {
    let digits = bytes.get(at..at + 3)?.strip_prefix(b"%")?;
    let digits = core::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{encoded, in_normal_form, is_valid};

    #[test]
    fn characters_of_paths() {
        for good in ["/", "/a-b._~!$&'()*+,;=:@c/", "/caf%C3%A9", "/%41%20"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["/a b", "/caf\u{e9}", "/a%", "/a%4", "/a%zz", "/a%+1", "/{a}", "/a\\b", "/a\"", "/[a]"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn what_no_path_has_is_encoded() {
        for (written, path) in [
            ("/a%20b/c@d", "/a%20b/c@d"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a\\b|{}\"", "/a%5Cb%7C%7B%7D%22"),
            ("/100%", "/100%25"),
            ("/%zz", "/%25zz"),
        ] {
            assert_eq!(encoded(written), path);
            assert!(is_valid(path), "{path}");
        }
    }

    #[test]
    fn what_need_not_be_encoded_is_not() {
        for (written, normal) in [
            ("/a%41%7e%2Db", "/aA~-b"),
            ("/caf%c3%A9%20%2B", "/caf%c3%A9%20%2B"),
            ("/%2541", "/%2541"),
            ("/a%", "/a%"),
        ] {
            assert_eq!(in_normal_form(written), normal);
        }
    }
}
