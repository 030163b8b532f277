//! Requests that are odd, too long or not well formed, and what an Envoy says to them.

/// Envoy takes 60 KiB of headers.
const TOO_LONG: usize = 64 * 1024;
const LONG: usize = 50 * 1024;

/// A status and the rule that it is of, if any.
type Answer = (u16, &'static str);

/// A request to a configuration with the hosts `h1.example.com` (rule `h1`) and so on, the paths `/p1` (rule
/// `p1`) and so on of `one.example.com`, and `*.wild.example.com` (rule `wild`).
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    /// Where there is nothing else.
    pub(super) narrow: Answer,
    /// Where the rule `any` takes all other requests.
    pub(super) wide: Answer,
}

pub(super) fn cases() -> Vec<Case> {
    [long(), hosts(), paths(), absolute(), malformed()].into_iter().flatten().collect()
}

fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// The lines of a head.
fn raw(lines: &str) -> Vec<u8> {
    format!("{lines}\n\n").replace('\n', "\r\n").into_bytes()
}

fn both(name: &'static str, bytes: impl Into<Vec<u8>>, answer: Answer) -> Case {
    Case { name, bytes: bytes.into(), narrow: answer, wide: answer }
}

/// A request that no route but a general one takes.
fn unknown(name: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, bytes: bytes.into(), narrow: (404, ""), wide: (200, "any") }
}

fn long() -> Vec<Case> {
    let (long, too_long) = ("x".repeat(LONG), "x".repeat(TOO_LONG));
    let (labels, segments) = ("x.".repeat(LONG / 2), "/x".repeat(LONG / 2));
    vec![
        both("a host that is too long", get(&too_long, "/"), (431, "")),
        both("a path that is too long", get("h3.example.com", &format!("/{too_long}")), (431, "")),
        unknown("a long host", get(&long, "/")),
        both("a long host of a wildcard", get(&format!("{long}.wild.example.com"), "/"), (302, "wild")),
        both("many labels of a wildcard", get(&format!("{labels}wild.example.com"), "/"), (302, "wild")),
        unknown("many labels", get(&labels, "/")),
        both("a long path", get("h3.example.com", &format!("/{long}")), (302, "h3")),
        both("a long path below a prefix", get("one.example.com", &format!("/p7/{long}")), (302, "p7")),
        both("many segments", get("one.example.com", &format!("/p7{segments}")), (302, "p7")),
        unknown("a long path of no route", get("one.example.com", &format!("/{long}"))),
    ]
}

fn hosts() -> Vec<Case> {
    let bytes = |host: &[u8]| [b"GET / HTTP/1.1\r\nhost: ", host, b"\r\n\r\n"].concat();
    vec![
        unknown("an empty host", get("", "/")),
        both("no host", raw("GET / HTTP/1.1"), (400, "")),
        // Joined with a comma.
        unknown("two hosts", raw("GET / HTTP/1.1\nhost: h3.example.com\nhost: h4.example.com")),
        unknown("HTTP/1.0 without a host", raw("GET / HTTP/1.0")),
        both("HTTP/1.0 with a host", raw("GET / HTTP/1.0\nhost: h3.example.com"), (302, "h3")),
        both("a host that is not UTF-8", bytes(b"h3\xff\xfe.example.com"), (400, "")),
        both("a wildcard's host that is not UTF-8", bytes(b"\xc3\x28.wild.example.com"), (400, "")),
        both("a host with a zero byte", bytes(b"h3\0.example.com"), (400, "")),
        both("a host with a blank", get("h3 .example.com", "/"), (400, "")),
        unknown("a host with a user", get("user@h3.example.com", "/")),
    ]
}

fn paths() -> Vec<Case> {
    let bytes = |path: &[u8]| [b"GET ", path, b" HTTP/1.1\r\nhost: one.example.com\r\n\r\n"].concat();
    vec![
        both("a path that is not UTF-8", bytes(b"/p7/\xff\xc3\x28"), (400, "")),
        both("a first segment that is not UTF-8", bytes(b"/\xff"), (400, "")),
        both("bytes that are not UTF-8, escaped", bytes(b"/p7/%ff%c3%28"), (302, "p7")),
        both("an escaped zero byte", bytes(b"/p7/%00"), (400, "")),
        both("an empty path", bytes(b""), (400, "")),
        both("a path without a slash", bytes(b"p7"), (400, "")),
        both("OPTIONS *", raw("OPTIONS * HTTP/1.1\nhost: h3.example.com"), (404, "")),
        both("OPTIONS * of many paths", raw("OPTIONS * HTTP/1.1\nhost: one.example.com"), (404, "")),
    ]
}

fn absolute() -> Vec<Case> {
    let get = |target: &str| raw(&format!("GET {target} HTTP/1.1\nhost: h4.example.com"));
    vec![
        both("absolute form", get("http://h3.example.com/x"), (302, "h3")),
        both("absolute form with a port", get("http://H3.example.com:99/x"), (302, "h3")),
        both("absolute form without a path", get("http://h3.example.com"), (302, "h3")),
        both("absolute form, many paths", get("http://one.example.com/p7?x"), (302, "p7")),
        both("absolute form of https", get("https://h3.example.com/x"), (403, "")),
        both("absolute form of another scheme", get("ftp://h3.example.com/"), (400, "")),
        both("absolute form without a host", get("http:///x"), (400, "")),
        both("CONNECT", raw("CONNECT h3.example.com:80 HTTP/1.1\nhost: h3.example.com:80"), (404, "")),
        both("CONNECT to one of many paths", raw("CONNECT one.example.com:80 HTTP/1.1\nhost: x"), (404, "")),
        both("CONNECT to no host", raw("CONNECT nobody:80 HTTP/1.1\nhost: nobody:80"), (404, "")),
    ]
}

fn malformed() -> Vec<Case> {
    vec![
        unknown("HTTP/0.9", raw("GET /")),
        both("an unknown method", raw("BREW / HTTP/1.1\nhost: h3.example.com"), (302, "h3")),
        both("a method that is no token", raw("B(W / HTTP/1.1\nhost: h3.example.com"), (400, "")),
        both("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, "")),
    ]
}
