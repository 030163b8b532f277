//! Headers that configuration must not write: the one list, for all that sets, adds, removes or copies headers.
//!
//! What is not listed is the user's own: a route may say what it likes to its clients and backends, as long as it
//! cannot change where a message ends, what a connection is, or what the proxy and its parts tell each other.

/// What is done with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// It gets this value, whatever it had.
    Set,
    /// It gets one more value.
    Add,
    /// It goes.
    Remove,
    /// A request gets what the authorization server answered.
    Copy,
    /// The authorization server is told that of the request.
    Tell,
}

/// The message that it is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request,
    Response,
}

/// Whose a header is, if it is not the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It says where a message ends, or what a connection is (RFC 9110 sections 7.6, 8.6 and 10.1.1; RFC 9112 sections
    /// 6 and 9).
    Connection,
    /// It is between the parts of fleetgate.
    Ours,
    /// Envoy obeys it: retries, timeouts, health (its router filter).
    Envoy,
    /// It ends loops between gateways (RFC 8586).
    Loop,
    /// The host of a request.
    Host,
}

/// Names that are one owner's, in lower case.
const NAMES: [(&str, Owner); 12] = [
    ("content-length", Owner::Connection),
    ("transfer-encoding", Owner::Connection),
    ("connection", Owner::Connection),
    ("keep-alive", Owner::Connection),
    ("proxy-connection", Owner::Connection),
    ("te", Owner::Connection),
    ("trailer", Owner::Connection),
    ("upgrade", Owner::Connection),
    // Whether a body follows at once.
    ("expect", Owner::Connection),
    ("http2-settings", Owner::Connection),
    ("cdn-loop", Owner::Loop),
    ("host", Owner::Host),
];

/// Beginnings of names that are one owner's, in lower case.
const PREFIXES: [(&str, Owner); 2] = [("x-fleetgate-", Owner::Ours), ("x-envoy-", Owner::Envoy)];

/// Longest name and longest value, as in the API's schema.
const LONGEST: usize = 256;
const LONGEST_VALUE: usize = 4096;

/// What is wrong, and what to do about it.
pub(crate) type Refusal = (String, &'static str);

/// Why a header must not be written; none if it may.
pub(crate) fn refusal(name: &str, writing: Writing, message: Message) -> Option<Refusal> {
    if name.starts_with(':') {
        let remedy = "remove the entry; URLRewrite changes path and host";
        return Some((format!("{name:?} is a part of the message's first line, not a header"), remedy));
    }
    if !is_token(name) {
        return Some((format!("{name:?} is not a header name"), "use letters, digits and '-'"));
    }
    let what = match (owner(name)?, writing, message) {
        // What the server is asked has a host and a length of its own.
        (Owner::Host | Owner::Loop | Owner::Envoy, Writing::Tell, _) => return None,
        (Owner::Connection, Writing::Tell, _) if name.eq_ignore_ascii_case("content-length") => return None,
        (Owner::Connection, ..) => {
            "says where a message ends or what a connection is, which only the proxy knows"
        }
        (Owner::Ours, ..) => "is between the parts of fleetgate",
        // Envoy has read it by then.
        (Owner::Envoy, Writing::Remove, _) => return None,
        (Owner::Envoy, ..) => "is one that Envoy obeys",
        (Owner::Loop, ..) => "ends loops between gateways",
        (Owner::Host, Writing::Set, Message::Request) => return None,
        (Owner::Host, _, Message::Response) => "is one of requests only",
        (Owner::Host, ..) => "is there once in every request: it can only be set",
    };
    Some((format!("{name} {what}"), "remove the entry"))
}

fn owner(name: &str) -> Option<Owner> {
    let name = name.to_ascii_lowercase();
    let whole = NAMES.iter().find(|(known, _)| *known == name);
    let begun = || PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    whole.or_else(begun).map(|(_, owner)| *owner)
}

/// Names that are not even taken from an authorization server, but for those that Envoy keeps to itself.
#[cfg(test)]
pub(crate) fn reserved() -> impl Iterator<Item = &'static str> {
    let kept_by_envoy = |owner: &Owner| matches!(owner, Owner::Host | Owner::Envoy);
    let all = NAMES.iter().filter(move |(_, owner)| !kept_by_envoy(owner)).map(|(name, _)| *name);
    all.chain([lookup::TABLE_HEADER])
}

/// Why a header cannot have a value; none if it can (RFC 9110 section 5.5).
pub(crate) fn value_refusal(value: &str) -> Option<Refusal> {
    let is_bad = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    if value.is_empty() {
        return Some(("is empty".to_owned(), "give a value, or remove the header"));
    }
    if value.len() > LONGEST_VALUE {
        return Some((format!("is longer than {LONGEST_VALUE} bytes"), "shorten it"));
    }
    let problem = "has a line break or another control character";
    value.bytes().any(is_bad).then(|| (problem.to_owned(), "write it in one line"))
}

/// Why a Host header cannot have a value; none if it can (RFC 3986 section 3.2.2 and 3.2.3).
pub(crate) fn host_refusal(value: &str) -> Option<Refusal> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte);
    let problem =
        || (format!("{value:?} is not a host"), "write a DNS name or an IP address, if wanted with a port");
    (value.is_empty() || value.len() > 255 || !value.bytes().all(is_good)).then(problem)
}

/// RFC 9110 token.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::Message::{Request, Response};
    use super::Writing::{Add, Copy, Remove, Set, Tell};
    use super::{NAMES, PREFIXES, host_refusal, refusal, value_refusal};

    #[test]
    fn what_frames_or_hops_is_never_written_in_any_spelling() {
        for name in
            ["content-length", "Transfer-Encoding", "CONNECTION", "te", "Trailer", "upgrade", "Keep-Alive"]
        {
            for writing in [Set, Add, Remove, Copy] {
                for message in [Request, Response] {
                    assert!(refusal(name, writing, message).is_some(), "{name} {writing:?} {message:?}");
                }
            }
        }
        for name in [":path", ":authority", ":x", "", "a b", "a\r\nb", "a:", "\u{e4}"] {
            assert!(refusal(name, Set, Request).is_some(), "{name:?}");
        }
    }

    #[test]
    fn the_users_own_headers_are() {
        for name in [
            "x-a",
            "Server",
            "date",
            "Via",
            "Authorization",
            "content-type",
            "content-encoding",
            "x-envoyage",
        ] {
            for writing in [Set, Add, Remove, Copy, Tell] {
                assert_eq!(refusal(name, writing, Request), None, "{name}");
                assert_eq!(refusal(name, writing, Response), None, "{name}");
            }
        }
    }

    #[test]
    fn a_host_is_set_in_requests_and_nothing_else() {
        assert_eq!(refusal("Host", Set, Request), None);
        for (writing, message) in
            [(Add, Request), (Remove, Request), (Copy, Request), (Set, Response), (Remove, Response)]
        {
            assert!(refusal("hOst", writing, message).is_some(), "{writing:?} {message:?}");
        }
    }

    #[test]
    fn what_envoy_answers_with_can_be_hidden() {
        assert_eq!(refusal("x-envoy-upstream-service-time", Remove, Response), None);
        assert!(refusal("X-Envoy-Retry-On", Set, Request).is_some());
        assert!(refusal("x-envoy-immediate-health-check-fail", Add, Response).is_some());
    }

    #[test]
    fn the_server_is_told_what_the_api_says_that_it_always_is() {
        assert_eq!((refusal("host", Tell, Request), refusal("Content-Length", Tell, Request)), (None, None));
        assert!(refusal("transfer-encoding", Tell, Request).is_some());
        assert!(refusal("x-fleetgate-table", Tell, Request).is_some());
    }

    #[test]
    fn lists_are_in_lower_case() {
        let names = NAMES.iter().chain(&PREFIXES).map(|(name, _)| *name);
        assert!(names.into_iter().all(|name| name == name.to_lowercase()));
        assert!(lookup::TABLE_HEADER.starts_with(PREFIXES[0].0));
    }

    #[test]
    fn values() {
        for bad in ["", "a\r\nb: c", "a\nb", "a\rb", "a\0b", "\u{1}", "\u{7f}", &"x".repeat(4097)] {
            assert!(value_refusal(bad).is_some(), "{bad:?}");
        }
        for good in ["a", "a\tb", "100% of %REQ(host)%", "\u{fc}", " a "] {
            assert_eq!(value_refusal(good), None, "{good:?}");
        }
        for bad in ["", "a b", "a/b", "a?b", "a#b", "user@a", "a\r\n", "\u{fc}"] {
            assert!(host_refusal(bad).is_some(), "{bad:?}");
        }
        for good in ["a.example", "a:8080", "[::1]:80", "10.0.0.1"] {
            assert_eq!(host_refusal(good), None, "{good:?}");
        }
    }
}
