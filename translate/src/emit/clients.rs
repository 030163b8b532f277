//! What a listener puts up with, so that clients that are out there are served: Envoy refuses them by default.

use envoy_types::pb::envoy::config::core::v3::Http1ProtocolOptions;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

/// The protocol that clients may upgrade to.
pub(crate) const UPGRADE: &str = "websocket";

/// Host of HTTP/1.0 requests that name none (RFC 9112 asks for one from 1.1 on): only listeners and routes without
/// a hostname have them, and no name that anybody can have is made of it (RFC 2606).
const NO_HOST: &str = "unnamed.invalid";

/// HTTP/1.0 is served, and any method (RFC 9110, section 9.1; by HTTP/2 Envoy takes any). An offer to upgrade to a protocol that is not spoken here, as of Java's clients to `TLS/1.2`,
/// is ignored (RFC 9110, section 7.8), where Envoy answers 403.
pub(crate) fn http1() -> Http1ProtocolOptions {
    let pattern = MatchPattern::SafeRegex(RegexMatcher { regex: other_than(UPGRADE), ..Default::default() });
    Http1ProtocolOptions {
        accept_http_10: true,
        allow_custom_methods: true,
        default_host_for_http_10: NO_HOST.to_owned(),
        ignore_http_11_upgrade: vec![StringMatcher { match_pattern: Some(pattern), ..Default::default() }],
        ..Default::default()
    }
}

/// A regular expression for all texts but a lower-case word, in whatever case: RE2 has no negation.
fn other_than(word: &str) -> String {
    let both = |letter: char| format!("{letter}{}", letter.to_ascii_uppercase());
    let (mut expression, mut same) = (String::new(), String::new());
    for letter in word.chars() {
        expression.push_str(&format!("{same}([^{}].*)?|", both(letter)));
        same.push_str(&format!("[{}]", both(letter)));
    }
    expression + &same + ".+"
}

#[cfg(test)]
mod tests {
    use super::{UPGRADE, other_than};

    #[test]
    fn all_but_the_word_are_matched() {
        let expression = format!("^(?:{})$", other_than(UPGRADE));
        let expression = regex::Regex::new(&expression).expect("it is an expression");
        for other in ["", "w", "websocke", "websockets", "TLS/1.2", "h2c", "webXocket", "x"] {
            assert!(expression.is_match(other), "{other:?}");
        }
        for word in ["websocket", "WebSocket", "WEBSOCKET"] {
            assert!(!expression.is_match(word), "{word:?}");
        }
    }
}
