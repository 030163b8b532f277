//! What a request asks of the backend, read from its path, query and headers.

use std::time::Duration;

use hyper::http::request::Parts;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Longest delay that a request may ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Read from one request; anything malformed is as if it were not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Instructions {
    pub(super) status: Option<StatusCode>,
    pub(super) delay: Duration,
    pub(super) retry: Option<Retry>,
    pub(super) set_headers: Vec<(HeaderName, HeaderValue)>,
}

/// Fail the first `failures` requests of `id` with `code`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) id: String,
    pub(super) failures: u32,
    pub(super) code: StatusCode,
}

impl Instructions {
    pub(super) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        Instructions {
            status: path.strip_prefix("/status/").and_then(status),
            delay: parameter(query, "delay").and_then(duration).unwrap_or_default(),
            retry: path.strip_prefix("/retry/").map(|id| Retry {
                id: id.to_owned(),
                failures: parameter(query, "succeedAfter").and_then(|n| n.parse().ok()).unwrap_or(0),
                code: parameter(query, "responseCode")
                    .and_then(status)
                    .unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            }),
            set_headers: set_headers(&parts.headers),
        }
    }
}

/// An answer's status; 1xx would leave the client waiting for the real one.
fn status(text: &str) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(text.as_bytes()).ok()?;
    (!status.is_informational()).then_some(status)
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, v)| v)
}

fn duration(text: &str) -> Option<Duration> {
    let parsed = match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().ok()?),
        None => Duration::from_secs(text.strip_suffix('s')?.parse().ok()?),
    };
    Some(parsed.min(LONGEST_DELAY))
}

fn set_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let values = headers.get_all("x-echo-set-header").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(pair).collect()
}

fn pair(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, set: Option<&str>) -> Instructions {
        let mut request = hyper::Request::get(uri);
        if let Some(set) = set {
            request = request.header("X-Echo-Set-Header", set);
        }
        Instructions::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_status_is_taken_from_the_path() {
        assert_eq!(read("/status/418", None).status, Some(StatusCode::IM_A_TEAPOT));
        for malformed in ["/status/", "/status/abc", "/status/100", "/status/20", "/x/status/200"] {
            assert_eq!(read(malformed, None).status, None, "{malformed}");
        }
    }

    #[test]
    fn a_delay_has_a_unit_and_a_limit() {
        assert_eq!(read("/?x=1&delay=150ms", None).delay, Duration::from_millis(150));
        assert_eq!(read("/?delay=2s", None).delay, Duration::from_secs(2));
        assert_eq!(read("/?delay=9999s", None).delay, LONGEST_DELAY);
        assert_eq!(read("/?delay=150", None).delay, Duration::ZERO);
    }

    #[test]
    fn a_retry_has_defaults() {
        let retry = |id: &str, failures, code| Some(Retry { id: id.into(), failures, code });
        assert_eq!(read("/retry/a", None).retry, retry("a", 0, StatusCode::SERVICE_UNAVAILABLE));
        let full = read("/retry/b?succeedAfter=3&responseCode=500", None).retry;
        assert_eq!(full, retry("b", 3, StatusCode::INTERNAL_SERVER_ERROR));
    }

    #[test]
    fn headers_to_set_are_split_and_malformed_ones_dropped() {
        let set = read("/", Some("a: 1, b:2:3, no-colon, bad name:x")).set_headers;
        let text: Vec<_> = set.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
        assert_eq!(text, ["a=1", "b=2:3"]);
    }
}
