//! Paths that requests are matched with: RFC 3986, sections 3.3 and 6.2.2.2.

/// True if all characters are ones that a path may have, or percent-encoded (`HTTPPathMatch`).
pub(super) fn is_valid(path: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte);
    let bytes = path.as_bytes();
    bytes.iter().enumerate().all(|(at, &byte)| is_good(byte) || (byte == b'%' && octet(bytes, at).is_some()))
}

/// A path without what is percent-encoded needlessly: Envoy decodes letters, digits, `-`, `.`, `_` and `~` in requests
/// before they are matched.
pub(super) fn in_normal_form(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut normal, mut at) = (String::with_capacity(path.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let decoded = octet(bytes, at).filter(|&octet| is_unreserved(octet));
        at += if decoded.is_some() { 3 } else { 1 };
        normal.push(char::from(decoded.unwrap_or(byte)));
    }
    normal
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
    use super::{in_normal_form, is_valid};

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
